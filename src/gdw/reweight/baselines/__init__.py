"""The methods that GDW and robust are compared with, by family."""
