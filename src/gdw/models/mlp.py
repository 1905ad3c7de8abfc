"""Multi-layer perceptrons, for tables, features and bags of words."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gdw.errors import ConfigError

WIDE = 512


def default_hidden(in_features: int) -> tuple[int, ...]:
    """Hidden sizes for inputs of this width.

    Wide inputs (embeddings, pixels, bags of words) are close to linearly separable and one layer of
    512 serves them; a small table needs depth for its interactions and little width.
    """
    return (512,) if in_features >= WIDE else (128, 128)


class MLP(nn.Module):
    """Blocks of Linear, BatchNorm, ReLU and dropout, then a linear `head`.

    Takes `(B, ...)`, flattened to `(B, in_features)`, and gives logits `(B, num_classes)`.
    BatchNorm needs at least two examples a batch in train mode.

    Raises `ConfigError` for sizes below 1 or a dropout outside [0, 1).
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
            # BatchNorm subtracts the mean, so a bias before it would be a parameter without effect
            blocks += [nn.Linear(width, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
            if dropout:
                blocks.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs.flatten(1)))
        return logits
