"""Spellings of gdw 0.1.0 that still work, with a line that says what to write now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Options of the bilevel step: with one of them set, preset="robust" meant that step.
_BILEVEL = (
    "hypergradient",
    "head",
    "outer_lr",
    "clip",
    "min_weight",
    "zero_mean",
    "weighting_network",
    "weighting_lr",
    "meta_every",
)
_DEFAULTS = {
    "hypergradient": "finite_difference",
    "zero_mean": True,
    "meta_every": 1,
}


def modernised(method: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any], str | None]:
    """Translate a method and its options from the spelling of gdw 0.1.0.

    In 0.1.0 the recommended method was `GDW(preset="robust")`, with its parts in `posterior={...}`. It is now
    the method `robust`. With an option of the bilevel step the same preset meant the bilevel step with large
    steps, now `preset="short"`.

    Args:
        method: a name of the registry, or an unknown one.
        options: options of the method.

    Returns:
        The method and options to use, and one line that says what changed; None if nothing did.
    """
    options = dict(options)
    posterior = options.get("posterior")
    if method != "gdw" or (options.get("preset") != "robust" and posterior is None):
        return method, options, None
    options.pop("posterior", None)
    given = {k: v for k, v in options.items() if v is not None and v != _DEFAULTS.get(k)}
    bilevel = [name for name in _BILEVEL if name in given]
    wants_posterior = posterior is True or isinstance(posterior, Mapping)
    if posterior is False or (bilevel and not wants_posterior):
        if options.get("preset") == "robust":
            options["preset"] = "short"
            return method, options, "preset 'robust' of method 'gdw' is now called 'short'"
        return method, options, "method 'gdw' has no option 'posterior' any more: leave it out"
    kept = {k: options[k] for k in ("forward", "label_smoothing") if k in options}
    parts = dict(posterior) if isinstance(posterior, Mapping) else {}
    return "robust", {**kept, **parts}, "method 'gdw' with preset 'robust' is now method 'robust'"
