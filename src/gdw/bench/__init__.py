"""What a step costs: every method beside plain SGD and beside installable peers, as ratios in one run."""
