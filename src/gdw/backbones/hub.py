"""Models of the Hugging Face Hub: what is in the local cache, and what would be fetched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from gdw.errors import ConfigError, one_line

# Neither pickled weights, nor the same weights for other programs.
_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
_UNWANTED = ("onnx/*", "openvino/*", "*.msgpack", "coreml/*")
_SECONDS = 10
_WITHOUT = "use a local folder, package:minilm or package:efficientnet-lite0, or --backbone none"


def snapshot(repository: str) -> Path | None:
    """The folder of a model that is in the cache of the Hub on this machine; None if it is not."""
    try:
        from huggingface_hub import snapshot_download, try_to_load_from_cache
    except ImportError:
        return None
    try:
        if not isinstance(try_to_load_from_cache(repository, "config.json"), str):
            return None
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if any(folder.glob("**/*.safetensors")) else None


def require_fetchable(repository: str, name: str) -> None:
    """Check that a model of the Hub is in the cache, or can be fetched; one request, without retries.

    Raises:
        ConfigError: it is not in the cache, and the Hub cannot be reached, has no such model, or has its
            weights in pickled form only.
    """
    if snapshot(repository) is None:
        _sizes(repository, name)


def fetched(repository: str, name: str) -> Path:
    """The folder of a model of the Hub. It is fetched unless it is in the cache.

    Raises:
        ConfigError: as for `require_fetchable`.
    """
    folder = snapshot(repository)
    if folder is not None:
        return folder
    sizes = _sizes(repository, name)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                repository, allow_patterns=list(_WANTED), ignore_patterns=list(_UNWANTED)
            )
        )
    except Exception as error:
        raise _unreachable(repository, name, one_line(error), size_in_words(sizes)) from error


def is_offline() -> bool:
    """Whether the user told the libraries of the Hub to stay offline."""
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def size_in_words(size: int) -> str:
    """A number of bytes in words, ` (91 MB)`; empty for 0, an unknown size."""
    return f" ({max(1, round(size / 1e6)):,} MB)" if size else ""


@cache
def _sizes(repository: str, name: str) -> int:
    """How many bytes `fetched` would fetch. The Hub is asked once: a run looks at the name several times."""
    if is_offline():
        raise _unreachable(repository, name, "HF_HUB_OFFLINE is set", "")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        found = HfApi().model_info(repository, files_metadata=True, timeout=_SECONDS)
    except GatedRepoError as error:
        raise ConfigError(
            f"backbone {name!r} is for registered users of huggingface.co/{repository}: accept its terms "
            "there and log in with hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"huggingface.co has no model {repository!r}, or you may not read it: check the name"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{repository!r} is neither a folder nor a name of the Hub: expected a folder or 'user/model'"
        ) from error
    except Exception as error:
        raise _unreachable(repository, name, one_line(error), "") from error
    sizes = {str(file.rfilename): file.size or 0 for file in found.siblings or []}
    _require_weights(sizes, repository)
    return sum(size for file, size in sizes.items() if _is_wanted(file))


def _require_weights(files: Iterable[str], repository: str) -> None:
    """Check that there are weights among the files of a repository; `ConfigError` if not."""
    names = _ending_in(files, ".safetensors", ".bin", ".pt")
    if _ending_in(names, ".safetensors"):
        return
    only = f", only pickled weights ({names[0]}), which can run code" if names else ""
    raise ConfigError(
        f"huggingface.co/{repository} has no safetensors{only}: choose another model, or convert it "
        "(save_pretrained of transformers) into a folder"
    )


def _ending_in(names: Iterable[str], *endings: str) -> list[str]:
    return [name for name in names if name.endswith(endings)]


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, one) for one in _WANTED) and not any(
        fnmatch(name, one) for one in _UNWANTED
    )


def _unreachable(repository: str, name: str, reason: str, size: str) -> ConfigError:
    return ConfigError(
        f"backbone {name!r} is not on this machine: {repository} would be fetched from huggingface.co{size}, "
        f"but it cannot be reached ({reason[:100]}); {_WITHOUT}"
    )
