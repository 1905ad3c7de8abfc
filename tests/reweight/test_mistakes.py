"""Mistakes in a loop of one's own: each is one line that says how to mend it, and the advice works."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw import prepare
from gdw.errors import ConfigError, DataError, GDWError, ModelError
from gdw.reweight import GDW, Robust

X, Y = torch.randn(6, 5), torch.arange(6) % 3
PAIR = X, Y
MANY = torch.tensor([1.0, 1.0, 0.0]).expand(6, 3)  # two classes for each example


def linear(**options: Any) -> GDW:
    model = nn.Linear(5, 3)
    return GDW(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)


def softmax(**options: Any) -> GDW:
    return linear(loss=nn.CrossEntropyLoss(**options))


def robust() -> Robust:
    model = nn.Linear(5, 3)
    return Robust(model, torch.optim.SGD(model.parameters(), lr=0.1))


def single(**options: Any) -> GDW:
    model = nn.Linear(5, 1)
    return GDW(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)


def returning(change: Any) -> GDW:
    return linear(forward=lambda model, x: change(model(x)))


class Outputs(nn.Linear):
    """Returns its logits inside of something else."""

    inside: Any = staticmethod(lambda z: z)

    def forward(self, x: Tensor) -> Any:
        return self.inside(super().forward(x))


def outputs(inside: Any) -> GDW:
    model = Outputs(5, 3)
    model.inside = inside
    return GDW(model, torch.optim.SGD(model.parameters(), lr=0.1))


MISTAKES: list[tuple[type[GDWError], str, Any]] = [
    (DataError, "if 255 marks targets without a label, give the method ignore_index=255; otherwise give",
     lambda: linear().backward((X, Y.where(Y > 0, 255)), PAIR)),
    (DataError, "target is class 3: .* count classes from 0", lambda: linear().backward((X, Y + 1), PAIR)),
    (DataError, "^the meta batch: there are 3 logits .* but a target is class 3",
     lambda: linear().backward(PAIR, (X, Y + 1))),
    (DataError, "^the meta batch: there are 3 logits .* but a target is class 3",
     lambda: linear(hypergradient="head").backward(PAIR, (X, Y + 1))),
    (DataError, r"pass targets.squeeze\(1\)$", lambda: linear().backward((X, Y[:, None]), PAIR)),
    (DataError, r"pass targets.argmax\(1\) or targets.float\(\)",
     lambda: linear().backward((X, F.one_hot(Y, 3)), PAIR)),
    (DataError, "must sum to one .* those of row 0 sum to 2: for several classes .*loss='binary_cross_ent",
     lambda: linear().backward((X, MANY), PAIR)),
    (DataError, "^the meta batch: .* must sum to one .* those of row 0 sum to 2",
     lambda: linear(hypergradient="head").backward(PAIR, (X, MANY))),
    (DataError, "those of row 0 sum to 2", lambda: softmax(reduction="none").backward((X, MANY), PAIR)),
    (DataError, "for several classes .* in a loop of your own, with targets.float",
     lambda: linear().backward((X, MANY.bool()), PAIR)),
    (DataError, "those of row 5 sum to 0: leave out examples without a class",
     lambda: linear().backward((X, F.one_hot(Y, 3).float() * (torch.arange(6)[:, None] < 5)), PAIR)),
    (DataError, r"sum to 1.5: divide them by their sum, targets / targets.sum\(1, keepdim=True\)",
     lambda: linear().backward((X, torch.full((6, 3), 0.5)), PAIR)),
    (DataError, "with two or more classes, got .6, 1.: a binary classifier needs two logits",
     lambda: single().backward((X, torch.ones(6, 1)), PAIR)),
    (DataError, r"class indices are integers, targets.long\(\)",
     lambda: linear().backward((X, Y.float()), PAIR)),
    (DataError, "targets are on meta, but the logits on cpu: move the batch",
     lambda: linear().backward((X, Y.to("meta")), PAIR)),
    (DataError, "targets of the training batch should be class numbers .* found list",
     lambda: linear().backward((X, ["cat"] * 6), PAIR)),
    (DataError, "the targets of the meta batch should be class numbers .* found list",
     lambda: linear().backward(PAIR, (X, [[0], [1, 2]]))),
    (DataError, "binary_cross_entropy needs one target .* found shape \\(6,\\): .*loss='cross_entropy'",
     lambda: linear(loss="binary_cross_entropy").backward(PAIR, PAIR)),
    (DataError, r"pass targets.unsqueeze\(1\)",
     lambda: single(loss="binary_cross_entropy").backward((X, Y.clamp(max=1)), PAIR)),
    (DataError, "needs targets from 0 to 1, found targets from 0 to 2",
     lambda: linear(loss="binary_cross_entropy").backward((X, Y[:, None].expand(6, 3)), PAIR)),
    (DataError, "found dict with the keys 'x', 'labels': pass \\(batch, batch.pop",
     lambda: linear().backward({"x": X, "labels": Y}, PAIR)),  # type: ignore[arg-type]
    (DataError, r"keys 'x', 'label': pass \(batch, batch.pop\('label'\)\)",
     lambda: linear().backward({"x": X, "label": Y}, PAIR)),  # type: ignore[arg-type]
    (DataError, r"keys 'x', 'Target': pass \(batch, batch.pop\('Target'\)\)",
     lambda: linear().backward({"x": X, "Target": Y}, PAIR)),  # type: ignore[arg-type]
    (DataError, r"keys 'x', 'z': pass \(batch, targets\), .*batch.pop\(KEY\)",
     lambda: linear().backward({"x": X, "z": Y}, PAIR)),  # type: ignore[arg-type]
    (DataError, r"the meta batch .* of length 3: several inputs are one tuple.*indices=",
     lambda: linear().backward(PAIR, (X, Y, Y))),  # type: ignore[arg-type]
    (DataError, "found a single number: backward takes the batch, not the loss",
     lambda: linear().backward(F.cross_entropy(nn.Linear(5, 3)(X), Y))),  # type: ignore[arg-type]
    (DataError, "one value per example, .* use reduction='none'",
     lambda: linear(loss=F.cross_entropy).backward(PAIR, PAIR)),
    (ConfigError, r"returns their mean: pass nn.CrossEntropyLoss\(..., reduction='none'\) or leave loss out",
     lambda: softmax()),
    (ConfigError, r"returns their sum: pass nn.CrossEntropyLoss\(..., reduction='none'\)$",
     lambda: softmax(reduction="sum", ignore_index=255)),
    (ConfigError, "no loss per example: pass loss='binary_cross_entropy', which adds up",
     lambda: linear(loss=nn.BCEWithLogitsLoss(reduction="none"))),
    (DataError, r"but returned shape \(6, 3\): add up the classes, .sum\(1\)",
     lambda: linear(loss=nn.MSELoss(reduction="none")).backward((X, MANY), (X, MANY))),
    (DataError, r"the loss failed on logits of shape \(6, 3\) and targets of shape \(6,\) and type",
     lambda: linear(loss=F.binary_cross_entropy_with_logits).backward(PAIR, PAIR)),
    (ConfigError, "found the class CrossEntropyLoss: make an object of it",
     lambda: linear(loss=nn.CrossEntropyLoss)),
    (ModelError, "train: found class 255, .* leave such examples out if 255 means",
     lambda: prepare(robust(), (X, Y.where(Y > 0, 255)), PAIR, epochs=1, progress="none")),
    (DataError, "^train: .* those of row 0 sum to 2: for several classes",
     lambda: prepare(robust(), (X, MANY), PAIR, epochs=1, progress="none")),
    (ModelError, r"got tuple of length 2: pass forward=lambda model, inputs: model\(inputs\)\[0\]",
     lambda: outputs(lambda z: (z, z)).backward(PAIR, PAIR)),
    (ModelError, r"got dict with the keys 'out', 'aux': pass forward=.*model\(inputs\)\['out'\]",
     lambda: outputs(lambda z: {"out": z, "aux": z}).backward(PAIR, PAIR)),
    (ModelError, "logits must be floating point of shape",
     lambda: returning(lambda z: z[:, 0]).backward(PAIR, PAIR)),
    (ModelError, r"the logits have no gradient: .* outside of torch.no_grad\(\)",
     lambda: returning(torch.Tensor.detach).backward(PAIR, PAIR)),
    (ConfigError, "its optimizer, in this order, found SGD and Linear",
     lambda: GDW(torch.optim.SGD(nn.Linear(5, 3).parameters(), lr=0.1), nn.Linear(5, 3))),  # type: ignore[arg-type]
    (ConfigError, "in this order, found Linear and generator",
     lambda: GDW(nn.Linear(5, 3), nn.Linear(5, 3).parameters())),  # type: ignore[arg-type]
    (ConfigError, "holds no trainable parameter of this model",
     lambda: GDW(nn.Linear(5, 3), torch.optim.SGD(nn.Linear(5, 3).parameters(), lr=0.1))),
    (ConfigError, "holds no trainable parameter of this model",
     lambda: (m := nn.Linear(5, 3).requires_grad_(False))
     and GDW(m, torch.optim.SGD(m.parameters(), lr=0.1))),
    (ConfigError, "ignore_index: .*whole number", lambda: linear(ignore_index=2.5)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "message", "mistake"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_a_mistake_is_one_line_with_the_fix(
    kind: type[GDWError], message: str, mistake: Any
) -> None:
    with pytest.raises(kind, match=message) as caught:
        mistake()
    assert "\n" not in str(caught.value)


def test_the_advice_on_several_classes_works() -> None:
    step = linear(loss="binary_cross_entropy").backward((X, MANY), (X, MANY))
    assert step.weights.isfinite().all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_soft_labels_stay(kind: torch.dtype) -> None:
    soft = torch.randn(6, 3).softmax(1).to(kind)
    for reweighter in (linear(), softmax(reduction="none")):
        assert reweighter.backward((X, soft), (X, soft)).weights.shape == (6, 3)


def test_without_gradients_it_says_so() -> None:
    with torch.no_grad(), pytest.raises(ModelError, match=r"outside of torch.no_grad\(\)"):
        linear().backward(PAIR, PAIR)


def test_outputs_with_logits_inside_are_taken() -> None:
    reweighter = outputs(lambda z: {"loss": z.sum(), "logits": z})
    assert reweighter.backward(PAIR, PAIR).logits.shape == (6, 3)
