"""The models and batches on which steps are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.bench.results import require_suite
from gdw.models.mlp import MLP
from gdw.models.resnet_cifar import CifarResNet
from gdw.models.wide_resnet import WideResNet

Batch = tuple[Tensor, Tensor]

LR = 0.1


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer with which every contestant trains the model."""
    return torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)


class Transformer(nn.Module):
    """A small encoder with fused scaled-dot-product attention: 4 layers of width 128 over 64 tokens."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.1, batch_first=True)
        # On a CPU attention with dropout is not fused.
        layer.self_attn.dropout = 0.0
        self.embed = nn.Embedding(1000, 128)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(128, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `(B, C)` of tokens `(B, 64)`, int64."""
        encoded: Tensor = self.encoder(self.embed(tokens))
        logits: Tensor = self.head(encoded.mean(1))
        return logits


@dataclass(frozen=True)
class Workload:
    """A model, the size of its batches and its number of classes.

    Attributes:
        model: a name in `MODELS`.
        batch: examples in the training batch and in the meta batch.
        classes: the number of classes.
        precision: "32" or "bf16" (autocast).
        channels_last: whether model and images are channels-last.
        compiled: whether the model is compiled with `torch.compile`.
    """

    model: str
    batch: int = 100
    classes: int = 10
    precision: str = "32"
    channels_last: bool = False
    compiled: bool = False

    def build(self) -> nn.Module:
        """The model in train mode, with the same weights every time."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = MODELS[self.model][0](self.classes)
        model = model.to(memory_format=self._format()).train()
        if self.compiled:
            model.compile()
        return model

    def batches(self) -> tuple[Batch, Batch]:
        """A training and a meta batch of `batch` examples each."""
        generator = torch.Generator().manual_seed(1)
        make = MODELS[self.model][1]
        labels = [torch.randint(self.classes, (self.batch,), generator=generator) for _ in range(2)]
        train, meta = ((make(self.batch, generator), y) for y in labels)
        if self.channels_last:
            train, meta = ((x.to(memory_format=self._format()), y) for x, y in (train, meta))
        return train, meta

    def forward(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The logits `(N, C)`, computed in the precision of the workload."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = model(inputs)
        return logits

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean cross entropy of a batch, as in plain training."""
        return F.cross_entropy(self.forward(model, batch[0]).float(), batch[1])

    @property
    def options(self) -> dict[str, object]:
        """What the methods of this package are told of the model."""
        return {"forward": self.forward}

    @property
    def has_images(self) -> bool:
        """Whether the inputs are images `(N, 3, H, W)`."""
        return MODELS[self.model][1] is _images

    def describe(self) -> str:
        """The workload in a few words, for a title."""
        words = [self.model, f"batch {self.batch}", f"{self.classes:,} classes"]
        words += ["bfloat16"] if self.precision == "bf16" else []
        words += ["channels-last"] if self.channels_last else []
        words += ["compiled"] if self.compiled else []
        return ", ".join(words)

    def _format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.preserve_format


def _images(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=generator)


MODELS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int, torch.Generator], Tensor]]] = {
    "mlp": (
        lambda c: MLP(256, c, hidden=[512]),
        lambda n, g: torch.randn(n, 256, generator=g),
    ),
    "resnet32": (lambda c: CifarResNet(32, c), _images),
    "wrn-16-2": (lambda c: WideResNet(16, 2, c), _images),
    "transformer": (
        Transformer,
        lambda n, g: torch.randint(1000, (n, 64), generator=g),
    ),
}


def suite(name: str) -> list[Workload]:
    """The workloads of a suite.

    Args:
        name: `standard`, `quick` (takes a minute), `compiled`, `loading`, `threads` and `operations` (without
            workloads: they measure something else), or the name of one model.

    Raises:
        ConfigError: there is no suite of that name.
    """
    from gdw.bench.language_model import NAME, LanguageModel

    require_suite(name)
    if name in MODELS:
        return [Workload(name)]
    if name == NAME:
        return [LanguageModel()]
    resnet = Workload("resnet32")
    if name in ("loading", "threads", "operations"):
        return []
    if name == "compiled":
        return [replace(resnet, compiled=True), Workload("transformer", compiled=True)]
    if name == "quick":
        return [Workload("mlp"), replace(resnet, batch=16)]
    return [
        *(Workload(model) for model in MODELS),
        replace(resnet, channels_last=True),
        replace(resnet, precision="bf16"),
        replace(resnet, precision="bf16", channels_last=True),
        *(replace(resnet, batch=batch) for batch in (32, 512)),
        *(Workload("mlp", classes=classes) for classes in (100, 1_000, 20_000)),
        LanguageModel(),
    ]
