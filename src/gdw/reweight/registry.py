"""The methods by name, and by the spellings of gdw 0.1.0. A new method is one class and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Container, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gdw.errors import ConfigError, listed, nearest

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from gdw.reweight.base import Reweighter


class Entry(NamedTuple):
    """One method of the registry.

    Attributes:
        home: its module below `gdw.reweight` and its class, as `"module:Class"`; or the class itself.
        family: the heading under which it is listed.
        summary: what it does, in one line.
    """

    home: str | type[Reweighter]
    family: str
    summary: str


_MAIN, _CLEAN = "Recommended and learned weights", "Plain training and clean examples"
_NOISE, _IMBALANCE = "Label noise", "Class imbalance"

# fmt: off
_ENTRIES: dict[str, Entry] = {
    "robust": Entry("robust:Robust", _MAIN, "recommended: estimates the true label of each example, which gives class-level weights in closed form"),
    "gdw": Entry("gdw:GDW", _MAIN, "GDW: class-level weights learned by a bilevel step, as published"),
    "gdw_unconstrained": Entry("gdw:UnconstrainedGDW", _MAIN, "GDW without the zero-mean constraint (an ablation)"),
    "mwn": Entry("meta_weight_net:MetaWeightNet", _MAIN, "Meta-Weight-Net: instance weights from a network that reads the loss"),
    "l2rw": Entry("l2rw:L2RW", _MAIN, "L2RW: instance weights from one meta gradient"),
    "plain": Entry("plain:Plain", _CLEAN, "ordinary training on the given labels"),
    "plain_clean": Entry("baselines.clean_data:PlainClean", _CLEAN, "ordinary training on given and clean examples"),
    "clean_only": Entry("baselines.clean_data:CleanOnly", _CLEAN, "ordinary training on the clean examples alone"),
    "fine_tune": Entry("baselines.clean_data:FineTune", _CLEAN, "given labels first, clean examples in the last epochs"),
    "class_balanced": Entry("baselines.imbalance:ClassBalanced", _IMBALANCE, "weights by the effective number of a class"),
    "inverse_frequency": Entry("baselines.imbalance:InverseFrequency", _IMBALANCE, "weights by the inverse frequency of a class"),
    "focal": Entry("baselines.imbalance:Focal", _IMBALANCE, "focal loss: well-classified examples count less"),
    "ldam": Entry("baselines.imbalance:LDAM", _IMBALANCE, "LDAM: wider margins for rare classes"),
    "logit_adjustment": Entry("baselines.imbalance:LogitAdjustment", _IMBALANCE, "class frequencies added to the training logits"),
    "label_smoothing": Entry("baselines.noise_losses:LabelSmoothing", _NOISE, "a share of each target spread over all classes"),
    "soft_bootstrap": Entry("baselines.noise_losses:SoftBootstrap", _NOISE, "targets mixed with the predicted probabilities"),
    "hard_bootstrap": Entry("baselines.noise_losses:HardBootstrap", _NOISE, "targets mixed with the predicted class"),
    "gce": Entry("baselines.noise_losses:GCE", _NOISE, "generalised cross-entropy: between cross-entropy and mean absolute error"),
    "sce": Entry("baselines.noise_losses:SCE", _NOISE, "symmetric cross-entropy: cross-entropy plus its reverse"),
    "elr": Entry("baselines.noise_losses:ELR", _NOISE, "early-learning regularisation: predictions kept near their average"),
    "forward": Entry("baselines.noise_matrix:ForwardCorrection", _NOISE, "predictions multiplied by the noise matrix"),
    "glc": Entry("baselines.noise_matrix:GLC", _NOISE, "gold loss correction: forward correction, and the clean examples"),
    "co_teaching": Entry("baselines.co_teaching:CoTeaching", _NOISE, "two networks that select easy examples for each other"),
    "cufit": Entry("baselines.cufit:CUFIT", _NOISE, "CUFIT: a linear probe selects examples for a network, which selects for the model"),
    "cleanlab": Entry("baselines.confident_learning:ConfidentLearning", _NOISE, "likely label errors removed by cleanlab, then plain training"),
    "posterior": Entry("baselines.posterior:PosteriorLabels", _NOISE, "soft labels from the clean examples, corrected by the given label"),
}
# fmt: on


ONLY_IN_GRIDS = ("wann", "ni_erm")
"""Further names, of classifiers that train no network: those of `gdw.experiments.contenders`."""


class Methods(MutableMapping[str, "type[Reweighter]"]):
    """A mapping from name to class, in the order of the registry. A class is imported on first use.

    `METHODS["mine"] = MyMethod` adds a method of your own: the trainer then knows it by that name.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    def __repr__(self) -> str:
        return f"Methods({listed(self, 40)})"

    def __getitem__(self, name: str) -> type[Reweighter]:
        home = self._entries[name].home
        if not isinstance(home, str):
            return home
        module, _, attribute = home.partition(":")
        method: type[Reweighter] = getattr(
            importlib.import_module(f"gdw.reweight.{module}"), attribute
        )
        return method

    def __setitem__(self, name: str, method: type[Reweighter]) -> None:
        summary = (method.__doc__ or method.__name__).strip().splitlines()[0]
        self._entries[name] = Entry(method, "Added", summary)

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def summary(self, name: str) -> str:
        """What the method does, in one line."""
        return self._entries[name].summary

    def families(self) -> dict[str, list[tuple[str, str]]]:
        """Name and summary of each method, by family. Imports no method."""
        families: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self._entries.items():
            families.setdefault(entry.family, []).append((name, entry.summary))
        return families

    def hint(self, option: str) -> str:
        """The methods that have the option, or else the nearest option of any method, as a sentence."""
        owners: dict[str, list[str]] = {}
        for name in self:
            for known in self[name].Options.model_fields:
                owners.setdefault(known, []).append(repr(name))
        if option in owners:
            return f" It is an option of the method {' or '.join(owners[option][:3])}."
        return nearest(option, owners)

    def is_listed(self, name: str) -> bool:
        """Whether `name` is a method of gdw, which has a default for each of its options."""
        return name in self._entries and isinstance(self._entries[name].home, str)

    def require(self, name: str) -> type[Reweighter]:
        """The class of that name.

        Raises:
            ConfigError: there is no such method; names the nearest known one.
        """
        if name in ONLY_IN_GRIDS:
            raise ConfigError(
                f"method {name!r} trains no network: gdw experiment compares it with the others (gdw methods "
                f"{name} describes it)"
            )
        if name not in self._entries:
            raise ConfigError(
                f"unknown method {name!r}: expected one of {', '.join(self)}.{nearest(name, self)}"
            )
        return self[name]


METHODS = Methods(_ENTRIES)


def check_options(method: str, options: Mapping[str, Any], *, hidden: Container[str] = ()) -> None:
    """Check that the method exists and that it accepts these options. No model is built.

    `hidden` holds the options that messages do not name, because they cannot be given here.

    Raises:
        ConfigError: an unknown method or option, with the nearest known one, or a value that does not fit.
    """
    if not options and METHODS.is_listed(method):
        return
    known = METHODS.require(method).Options
    for name in options:
        if name not in known.model_fields:
            hint = nearest(name, known.model_fields) or METHODS.hint(name)
            takes = ", ".join(field for field in known.model_fields if field not in hidden)
            raise ConfigError(
                f"method {method!r} has no option {name!r}: it takes {takes or 'none'}.{hint}"
            )
    try:
        known(**options)
    except ConfigError as error:
        raise ConfigError(f"method {method!r}: {error}") from None


def build(method: str, model: nn.Module, optimizer: Optimizer, **options: Any) -> Reweighter:
    """Build a reweighter by name, for example `build("gdw", model, optimizer, clip=0.5)`.

    Raises:
        ConfigError: an unknown method or option.
    """
    check_options(method, options)
    return METHODS[method](model, optimizer, **options)


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
    posterior, preset = options.get("posterior"), options.get("preset")
    if method != "gdw" or (preset != "robust" and posterior is None):
        return method, dict(options), None
    options = {name: value for name, value in options.items() if name != "posterior"}
    if _meant_robust(options, posterior):
        kept = {name: options[name] for name in ("forward", "label_smoothing") if name in options}
        parts = posterior if isinstance(posterior, Mapping) else {}
        note = "method 'gdw' with preset 'robust' is now method 'robust'"
        return "robust", {**kept, **parts}, note
    if preset == "robust":
        note = "preset 'robust' of method 'gdw' is now called 'short'"
        return method, {**options, "preset": "short"}, note
    return method, options, "method 'gdw' has no option 'posterior' any more: leave it out"


def _meant_robust(options: Mapping[str, Any], posterior: Any) -> bool:
    if posterior is False:
        return False
    return posterior is True or isinstance(posterior, Mapping) or not _sets_bilevel(options)


def _sets_bilevel(options: Mapping[str, Any]) -> bool:
    """Whether an option of the bilevel step is set to another value than the default of 0.1.0."""
    given = {name: value for name, value in options.items() if value is not None}
    return any(name in given and given[name] != _DEFAULTS.get(name) for name in _BILEVEL)
