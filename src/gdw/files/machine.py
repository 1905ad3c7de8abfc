"""Describe the machine and the versions of a measurement."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from gdw._version import __version__


def describe_machine() -> dict[str, str | int]:
    """Return processor, threads and versions, for the head of a table."""
    import torch

    packages = {}
    for name in ("higher", "torchopt", "betty-ml"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "gdw": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        **packages,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
