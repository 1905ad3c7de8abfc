"""Suggestion: which rows of some data a person should verify first."""

from gdw._lazy import lazy

_HOME = {
    "Choice": "gdw.suggestion.strategies",
    "Opinions": "gdw.suggestion.opinions",
    "STRATEGIES": "gdw.suggestion.strategies",
    "Suggestion": "gdw.suggestion.suggesting",
    "choose": "gdw.suggestion.strategies",
    "cross_check": "gdw.suggestion.left_out",
}

__all__ = ["STRATEGIES", "Choice", "Opinions", "Suggestion", "choose", "cross_check"]

__getattr__ = lazy(__name__, _HOME)
