"""Multi-layer perceptrons for tables, features and bags of words."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gdw.errors import ConfigError

WIDE = 512

HEADS = ("linear", "mlp")
"""The networks for values in no order, such as the columns of a table or the features of a backbone."""


def default_hidden(in_features: int) -> tuple[int, ...]:
    """The default sizes of the hidden layers for inputs of this width.

    Wide inputs (embeddings, pixels, bags of words) are close to linearly separable, so one layer of 512 is
    enough. A small table needs two layers for the interactions of its columns, but these can be narrow.
    """
    return (512,) if in_features >= WIDE else (128, 128)


class MLP(nn.Module):
    """Blocks of Linear, BatchNorm, ReLU and dropout, followed by a linear `head`.

    The input is `(B, ...)` and is flattened to `(B, in_features)`; the output is logits `(B, num_classes)`.
    In training mode, BatchNorm needs at least two examples per batch.

    >>> import torch
    >>> MLP(4, 3).eval()(torch.zeros(2, 4)).shape
    torch.Size([2, 3])

    Args:
        in_features: the number of values of an example.
        num_classes: the number of classes.
        hidden: the sizes of the hidden layers; default: see `default_hidden`.
        dropout: the probability of dropping a unit; 0: no dropout layers.

    Raises:
        ConfigError: a size is below 1, or the dropout is outside [0, 1).
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        hidden: Sequence[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = tuple(default_hidden(in_features) if hidden is None else hidden)
        if min((in_features, num_classes, *sizes)) < 1:
            raise ConfigError(
                f"expected layer sizes of 1 or more, found {in_features}, {sizes}, {num_classes}"
            )
        if not 0 <= dropout < 1:
            raise ConfigError(f"expected a dropout in [0, 1), found {dropout}")
        blocks: list[nn.Module] = []
        width = in_features
        for size in sizes:
            # BatchNorm subtracts the mean, so a bias before it would have no effect.
            blocks += [nn.Linear(width, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
            if dropout:
                blocks.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs.flatten(1)))
        return logits


def named_mlp(name: str, in_features: int, num_classes: int) -> MLP:
    """The network that a name describes.

    >>> named_mlp("linear", 4, 3).head
    Linear(in_features=4, out_features=3, bias=True)

    Args:
        name: "linear", without hidden layers; "mlp", "mlp:512,256" or "mlp:256,dropout=0.5".
        in_features: the number of values of an example.
        num_classes: the number of classes.

    Raises:
        ConfigError: the name cannot be read.
    """
    kind, colon, options = name.partition(":")
    if kind == "linear":
        if colon:
            raise ConfigError(f"cannot read model {name!r}: expected 'linear' without options")
        return MLP(in_features, num_classes, hidden=())
    hidden: list[int] = []
    dropout = 0.0
    try:
        for option in options.split(",") if colon else ():
            key, equals, value = option.partition("=")
            if equals and key.strip() == "dropout":
                dropout = float(value)
            else:
                hidden.append(int(option))
    except ValueError:
        raise ConfigError(
            f"cannot read model {name!r}: expected hidden sizes and perhaps a dropout, "
            f"as in 'mlp:512,256' or 'mlp:256,dropout=0.5'; found {option!r}"
        ) from None
    return MLP(in_features, num_classes, hidden=hidden or None, dropout=dropout)
