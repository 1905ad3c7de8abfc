"""What a folder with a model holds, read from its JSON files: importing a library takes seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gdw.errors import ConfigError, shown

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind

FolderLibrary = Literal["hf", "sentence-transformers", "timm"]

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "vocab.json")


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model.

    Attributes:
        path: the folder.
        library: what loads it.
        kind: what it takes; None if the files do not say.
        config: the content of config.json; empty where there is none.
    """

    path: Path
    library: FolderLibrary
    kind: BackboneKind | None
    config: Mapping[str, Any]


def read_folder(path: Path, *, library: str = "folder") -> ModelFolder:
    """What `path` holds.

    Args:
        path: a folder.
        library: the library that the user named; "folder" if none.

    Raises:
        ConfigError: the folder does not exist, holds no model, or its weights are not safetensors.
    """
    if not path.exists():
        raise ConfigError(f"no folder {shown(path)}: expected the folder of a backbone")
    if not path.is_dir():
        raise ConfigError(
            f"{shown(path)} is a file: expected the folder that holds it, with its config.json"
        )
    found = _recognised(path)
    if library == "hf" and found.library == "sentence-transformers":
        # The transformer alone, with the mean over its tokens.
        found = ModelFolder(path, "hf", found.kind, found.config)
    if library not in ("folder", found.library):
        raise ConfigError(
            f"{shown(path)} holds a model of {found.library}: write {found.library}:{shown(path)}"
        )
    _require_safetensors(path, found.library)
    return found


def read_json(path: Path) -> Any:
    """The content of a JSON file; an empty mapping if there is no such file.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {shown(path)} ({error}): copy the model again") from error


def _recognised(path: Path) -> ModelFolder:
    config = read_json(path / "config.json")
    if not isinstance(config, dict):
        config = {}
    if (path / "modules.json").is_file():
        return ModelFolder(path, "sentence-transformers", "text", config)
    if "model_type" in config:
        return ModelFolder(path, "hf", _kind(path, config), config)
    if "architecture" in config:
        return ModelFolder(path, "timm", "image", config)
    if (path / "adapter_config.json").is_file():
        raise ConfigError(
            f"{shown(path)} holds a LoRA adapter, not a whole model: merge it with peft "
            "(merge_and_unload) and save the result with save_pretrained"
        )
    raise ConfigError(
        f"{shown(path)} holds no model: expected modules.json (sentence-transformers) or config.json with "
        "a model_type (transformers) or an architecture (timm)"
    )


def _kind(path: Path, config: Mapping[str, Any]) -> BackboneKind | None:
    if "vision_config" in config or (path / "preprocessor_config.json").is_file():
        return "image"
    if "num_channels" in config or "image_size" in config:
        return "image"
    if "vocab_size" in config or any((path / name).is_file() for name in _TOKENIZER):
        return "text"
    return None


def _require_safetensors(path: Path, library: FolderLibrary) -> None:
    inside = sorted(path.glob("*")) + sorted(path.glob("0_*/*"))
    if any(file.suffix == ".safetensors" for file in inside):
        return
    pickled = [file for file in inside if file.suffix in _PICKLED]
    if not pickled:
        raise ConfigError(
            f"{shown(path)} holds no weights: expected model.safetensors; copy the whole model"
        )
    raise ConfigError(
        f"{shown(pickled[0])} is pickled, which can run code, so gdw does not read it: "
        f"{_conversion(path, library)}"
    )


def _conversion(path: Path, library: FolderLibrary) -> str:
    where = repr(str(path))
    if library == "timm":
        return (
            'convert it with python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load({where} + '/pytorch_model.bin', weights_only=True), "
            f"{where} + '/model.safetensors')\""
        )
    if library == "sentence-transformers":
        one = (
            f"from sentence_transformers import SentenceTransformer as S; S({where}).save({where})"
        )
    else:
        one = (
            "from transformers import AutoModel as A; "
            f"A.from_pretrained({where}).save_pretrained({where})"
        )
    return f'if you trust it, convert it with python -c "{one}"'
