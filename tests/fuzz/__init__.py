"""Damaged files: every reader gives a result or a `GDWError`."""
