"""What the preparation of posterior labels does, each part to be left out for an ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gdw.errors import ConfigError, nearest
from gdw.reweight.options import check_whole


@dataclass(frozen=True)
class PosteriorOptions:
    """Parts of `gdw.reweight.posterior_search.find_posterior`.

    Attributes:
        folds: out-of-fold models of the training set; 0: the models of the clean examples alone decide.
        balance: offset the logits of given examples by `log(π / ρ)` in the run itself.
        own: let the model in training have a say in its targets, as far as out-of-fold models were believed.
        leave_out: leave out what is confidently contradicted and not known better.
        soften: train towards what models that have not seen a clean example say of it too, beside its label.
    """

    folds: int = 3
    balance: bool = True
    own: bool = True
    leave_out: bool = True
    soften: bool = True

    @classmethod
    def parse(cls, given: bool | Mapping[str, Any] | None) -> PosteriorOptions:
        """From the option `posterior` of `GDW`. Raises `ConfigError` for what is no such option."""
        if given is None or isinstance(given, bool):
            return cls()
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"posterior must be true, false or a mapping of options, got {given!r}"
            )
        known = [field.name for field in fields(cls)]
        for name, value in given.items():
            if name not in known:
                raise ConfigError(
                    f"posterior has no option {name!r}: it takes {', '.join(known)}."
                    f"{nearest(str(name), known)}"
                )
            if name != "folds" and not isinstance(value, bool):
                raise ConfigError(f"posterior: {name} must be true or false, got {value!r}")
        made = cls(**given)
        if made.folds != 0:
            check_whole("posterior: folds", made.folds, 2)
        return made
