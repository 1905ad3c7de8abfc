"""The trainer's side of `Reweighter.prepare`: small plain runs with the run's own model and options."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map
from torch.utils.data import default_collate

from gdw.data.examples import Examples
from gdw.hypergradient.inputs import Forward, plain_tree
from gdw.reweight import Reweighter
from gdw.reweight.preparation import Predict, Subset
from gdw.reweight.robust.method import CorrectedPlain
from gdw.seeding import generator
from gdw.train import feed
from gdw.train.config import TrainConfig
from gdw.train.evaluation import evaluation_mode, whereabouts
from gdw.train.streams import Sets

Build = Callable[[nn.Module, Optimizer], Reweighter]
FitPlainly = Callable[[TrainConfig, nn.Module, Examples, "Build | None"], None]


class TrainerPreparation:
    """`gdw.reweight.Preparation` of a run; every process does the same and so finds the same.

    `fit_plainly(config, model, data, build)` trains a model in place, by the reweighter that `build` makes.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        sets: Sets,
        model: nn.Module,
        forward: Forward,
        fit_plainly: FitPlainly,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._sets = sets
        self._model = model
        self._forward = forward
        self._fit_plainly = fit_plainly
        self._say = say
        self.epochs = config.epochs
        self.batch_size = config.batch_size
        self.seed = config.seed

    @cached_property
    def given(self) -> Tensor:
        return targets_of(self._sets.train)

    @cached_property
    def clean(self) -> Tensor | None:
        return None if self._sets.meta is None else targets_of(self._sets.meta)

    @cached_property
    def num_classes(self) -> int:
        few = Subset("given", torch.arange(min(2, len(self._sets.train))))
        return self._predict(self._model, few).shape[1]

    def say(self, what: str) -> None:
        self._say(what)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        self._say(what or "training a first model")
        model = copy.deepcopy(self._model)
        # A run's checkpoints, devices and method are no business of a model that only prepares it.
        own = int(generator(self._config.seed, "preparation", "fit", seed).integers(2**31))
        config = self._config.model_copy(
            update={
                "method": "plain",
                "method_options": {},
                "epochs": epochs or self._config.epochs,
                "warmup_epochs": min(self._config.warmup_epochs, (epochs or 2) / 2),
                "seed": own,
                "progress": "none",
            }
        )
        build = None if offset is None else self._corrected(subsets, offset, noise)
        self._fit_plainly(config, model, _chosen(subsets, self._sets), build)
        return lambda subset: self._predict(model, subset)

    def _corrected(self, subsets: Sequence[Subset], offset: Tensor, noise: Tensor | None) -> Build:
        doubtful = torch.cat([torch.full((len(s.indices),), s.part == "given") for s in subsets])

        def build(model: nn.Module, optimizer: Optimizer) -> Reweighter:
            return CorrectedPlain(
                model,
                optimizer,
                doubtful=doubtful,
                offset=offset,
                noise=noise,
                forward=self._forward,
            )

        return build

    def _predict(self, model: nn.Module, subset: Subset) -> Tensor:
        device, dtype = whereabouts(model)
        chosen = _chosen([subset], self._sets)
        size = self._config.eval_batch_size
        slices = [list(range(i, min(i + size, len(chosen)))) for i in range(0, len(chosen), size)]
        probabilities = []
        with evaluation_mode(model), torch.no_grad():
            for batch in feed.batches(chosen, slices):
                inputs, _ = feed.place(batch, device=device, dtype=dtype)
                probabilities.append(self._forward(model, inputs).float().softmax(1).cpu())
        return torch.cat(probabilities)


class _Selected:
    """`gdw.data.Inputs` of several subsets, one behind the other."""

    def __init__(self, subsets: Sequence[Subset], sets: Sets) -> None:
        self._parts = [_part(subset, sets) for subset in subsets]
        self._indices = torch.cat([s.indices for s in subsets])
        self._part_of = torch.repeat_interleave(torch.tensor([len(s.indices) for s in subsets]))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, indices: Any) -> Any:
        """Inputs of a batch in the order of `indices`; a tensor, or a tuple or mapping of tensors."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        wanted, part_of = self._indices[chosen], self._part_of[chosen]
        pieces, places = [], []
        for k, part in enumerate(self._parts):
            here = (part_of == k).nonzero().squeeze(1)
            if len(here):
                pieces.append(_inputs(part, wanted[here].tolist()))
                places.append(here)
        order = torch.cat(places).argsort()
        return tree_map(lambda *tensors: torch.cat(tensors)[order], *pieces)


def _chosen(subsets: Sequence[Subset], sets: Sets) -> Examples:
    targets = [
        targets_of(_part(s, sets))[s.indices] if s.targets is None else s.targets for s in subsets
    ]
    width = max((t.shape[1] for t in targets if t.dim() == 2), default=0)
    if width:
        # Classes beside probabilities: both as probabilities.
        targets = [t if t.dim() == 2 else F.one_hot(t.long(), width).float() for t in targets]
    return Examples(_Selected(subsets, sets), torch.cat(targets))


def _part(subset: Subset, sets: Sets) -> Any:
    if subset.part == "given":
        return sets.train
    assert sets.meta is not None, "a method that asks for clean examples says so by needs_clean"
    return sets.meta


def _inputs(part: Any, indices: list[int]) -> Any:
    if isinstance(part, Examples):
        return part.__getitems__(indices)[0]
    return plain_tree(default_collate([part[i][0] for i in indices]))


def targets_of(dataset: Any) -> Tensor:
    """The targets of a map-style data set, on the CPU; one without a tensor `targets` is read for them."""
    known = getattr(dataset, "targets", None)
    if isinstance(known, Tensor):
        return known.cpu()
    order = [list(range(i, min(i + 512, len(dataset)))) for i in range(0, len(dataset), 512)]
    return torch.cat([targets.cpu() for _, targets in feed.batches(dataset, order)])
