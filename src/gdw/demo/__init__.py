"""The demonstration: six ways to train on scans with wrong labels and unbalanced classes, compared."""
