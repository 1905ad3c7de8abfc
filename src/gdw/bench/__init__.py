"""What a training step costs: every method compared with plain SGD and with other packages."""
