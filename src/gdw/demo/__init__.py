"""The demonstration: real scans, spoiled labels, unbalanced classes, and what each method makes of it."""
