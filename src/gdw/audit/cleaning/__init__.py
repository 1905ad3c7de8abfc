"""A copy of the user's data without suspicious rows, or with other labels: one module a format."""

from gdw.audit.cleaning.apply import Cleaned, apply, check_output

__all__ = ["Cleaned", "apply", "check_output"]
