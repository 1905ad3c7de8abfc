"""A model's tensors by the names that the model itself gives them, whatever compiles or copies it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from gdw.hypergradient.preserve import INNER

_T = TypeVar("_T")

# A model may have a part that is called `module` itself; in these classes it is the model.
_COPIED = (DataParallel, DistributedDataParallel, AveragedModel)


class OwnNames:
    """The state dict of a model without the names of wrappers around it or its parts.

    >>> wrapped = nn.DataParallel(nn.Sequential(nn.Linear(2, 1)))
    >>> list(wrapped.state_dict()), list(OwnNames(wrapped).state_dict())
    (['module.0.weight', 'module.0.bias'], ['0.weight', '0.bias'])
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._own = {name: _own_name(model, name) for name in model.state_dict()}

    def state_dict(self) -> dict[str, Any]:
        return {self._own[name]: value for name, value in self._model.state_dict().items()}

    def load_state_dict(
        self, state: Mapping[str, Any], strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Load tensors by their names in this model, or in one that was wrapped in another way.

        Returns:
            The names that are missing, and those that the model does not have.
        """
        full = {own: name for name, own in self._own.items()}
        given = {full.get(name, name): value for name, value in self.renamed(state).items()}
        missing, unexpected = self._model.load_state_dict(given, strict=strict)
        return [self._own.get(name, name) for name in missing], list(unexpected)

    def renamed(self, state: Mapping[str, _T]) -> dict[str, _T]:
        """A state dict by the names of this model, if another one was wrapped when it was saved."""
        return without_wrappers(state, self._own.values())

    def first_difference(self, state: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
        """The first tensor whose shape, here and in a state dict, is not the same: name, there, here."""
        states = self.renamed(state), self.state_dict()
        there, here = ({name: tuple(value.shape) for name, value in s.items()} for s in states)
        names = (name for name in {**there, **here} if there.get(name) != here.get(name))
        return next(((name, there.get(name), here.get(name)) for name in names), None)


def without_wrappers(state: Mapping[str, _T], own: Collection[str]) -> dict[str, _T]:
    """A state dict by the names `own` of a model, without those of wrappers.

    `module.` is taken off where it makes more names fit: a model may have a part of that name.
    """
    known = set(own)
    if known >= state.keys():
        return dict(state)
    plain = {".".join(p for p in name.split(".") if p not in INNER): name for name in state}
    forms = [plain]
    while any(name.startswith("module.") for name in forms[-1]):
        forms.append({name.removeprefix("module."): n for name, n in forms[-1].items()})
    best = max(forms, key=lambda form: len(known & form.keys()))
    return {name: state[original] for name, original in best.items()}


def _own_name(model: nn.Module, name: str) -> str:
    module: nn.Module | None = model
    parts = []
    for part in name.split("."):
        wrapped = part in INNER or (part == "module" and isinstance(module, _COPIED))
        if not wrapped:
            parts.append(part)
        module = None if module is None else module._modules.get(part)
    return ".".join(parts)
