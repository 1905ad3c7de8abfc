"""A pretrained network with a new classifier, of which some parts are trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError, one_line
from gdw.files.documents import Document

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone

Finetune = Literal["head+norm", "lora", "all"]

NETWORK = "network.json"
"""The file of a saved encoder that `write_network` writes."""

_DOCUMENT = Document(format=1, remedy="restore it from a copy of the run, or train again")


class Finetuned(nn.Module):
    """A backbone and a linear classifier: inputs of the backbone to logits `(B, C)`.

    The features are brought to mean 0 and variance 1 for each example, because backbones differ in the scale
    of their features. Parts that are not trained stay in evaluation mode, so that dropout and the statistics
    of BatchNorm do not change what they compute.

    Args:
        backbone: from its inputs to features `(B, F)`.
        width: F.
        num_classes: C.
        trains_all: whether every part of the backbone is trained.
    """

    def __init__(
        self, backbone: nn.Module, width: int, num_classes: int, *, trains_all: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.scale = nn.LayerNorm(width, elementwise_affine=False)
        self.head = nn.Linear(width, num_classes)
        self._trains_all = trains_all
        self.train()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.scale(self.backbone(inputs)))  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> Finetuned:
        super().train(mode)
        if not self._trains_all:
            self.backbone.eval()
        return self


def build_finetuned(
    backbone: Backbone, num_classes: int, finetune: Finetune, *, seed: int
) -> Finetuned:
    """The network for fine-tuning. Its backbone is `backbone.module` itself, not a copy.

    Args:
        backbone: the pretrained network.
        num_classes: the number of classes.
        finetune: what is trained besides the classifier: "head+norm", the scales and shifts of all
            normalisation layers; "lora", small additions to the layers (see `gdw.models.lora`); "all".
        seed: of the initial parameters that are new; the global random state does not change.

    Raises:
        ConfigError: the backbone has no parts of that kind.
        MissingDependencyError: "lora" needs peft, which is not installed.
    """
    model = _built(backbone.module, backbone.width, backbone.name, num_classes, finetune, seed)
    if finetune == "lora":
        _try_once(model, backbone)
    return model


def _try_once(model: Finetuned, backbone: Backbone) -> None:
    """Run the network: some read the settings of layers that LoRA has replaced."""
    from gdw.backbones.assemble import example_input

    example = example_input(backbone.kind, backbone.preprocessing.settings)
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.backbone(example.to(device))
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"backbone {backbone.name!r} does not run with the layers of LoRA ({one_line(error)[:150]}): use "
            "finetune 'head+norm' or 'all'"
        ) from error


def write_network(folder: Path, backbone: Backbone, finetune: Finetune) -> None:
    """Write what `read_network` needs into `folder`, beside the encoder.

    Raises:
        ConfigError: the backbone is a module of the user, which cannot be built again from a file.
    """
    if not backbone.architecture:
        raise ConfigError(
            f"backbone {backbone.name!r} is a module of yours, which a run cannot load again: train it with "
            "gdw.Trainer, or give the backbone by name"
        )
    content = {
        "name": backbone.name,
        "kind": backbone.kind,
        "width": backbone.width,
        "fingerprint": backbone.fingerprint,
        "finetune": finetune,
        "architecture": dict(backbone.architecture),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _DOCUMENT.write(folder / NETWORK, content)


def read_network(folder: Path, num_classes: int) -> Finetuned:
    """The network that `write_network` described, with random weights; the run has the trained ones.

    Neither the Hub nor the folder of the backbone is needed.

    Raises:
        RunError: the file is missing or damaged.
        MissingDependencyError: the library of the backbone is not installed.
    """
    from gdw.backbones.rebuilding import rebuilt

    path = folder / NETWORK
    content = _DOCUMENT.read(path)
    try:
        name, width, finetune = str(content["name"]), int(content["width"]), content["finetune"]
        module = rebuilt(content["architecture"])
        return _built(module, width, name, num_classes, finetune, 0)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _DOCUMENT.damaged(path, error) from error


def _built(
    module: nn.Module, width: int, name: str, num_classes: int, finetune: Any, seed: int
) -> Finetuned:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if finetune == "lora":
            from gdw.models.lora import add_lora

            add_lora(module, name)
        elif finetune == "head+norm":
            _train_norms_only(module, name)
        elif finetune == "all":
            module.requires_grad_(True)
        else:
            raise ConfigError(
                f"expected finetune 'head+norm', 'lora' or 'all', found {finetune!r}: choose one"
            )
        return Finetuned(module, width, num_classes, trains_all=finetune == "all")


def _train_norms_only(module: nn.Module, name: str) -> None:
    module.requires_grad_(False)
    # Libraries have normalisation layers of their own, such as LlamaRMSNorm and LayerNorm2d.
    norms = [layer for layer in module.modules() if "Norm" in type(layer).__name__]
    parameters = [p for layer in norms for p in layer.parameters(recurse=False)]
    if not parameters:
        raise ConfigError(
            f"backbone {name!r} has no normalisation layers to train: use finetune 'all' (--finetune all) "
            "or leave finetune out"
        )
    for parameter in parameters:
        parameter.requires_grad = True
