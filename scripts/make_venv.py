"""Make the virtual environment of `make demo` and `make test`: `python make_venv.py FOLDER`.

If the Python that runs this has PyTorch, the new environment sees it, and with it the other packages there,
so that several gigabytes are not downloaded again. Nothing is installed into that Python or changed in it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYTHON = (3, 10)
SHARED = "gdw_shared_packages.pth"
"""The file in the new environment that names the folders of packages of the other one."""


# What the new environment is asked.
_ASK = """
import importlib.util, sys, sysconfig
print(sys.version_info[:2])
print(sysconfig.get_path("purelib"))
print(importlib.util.find_spec("torch") is not None)
"""


def main(folder: Path) -> int:
    """Make or complete the environment `folder`; returns the exit status."""
    if sys.version_info < PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        print(
            f"gdw needs Python 3.10 or newer, found {found}: name one, as in make demo PYTHON=python3.11"
        )
        return 1
    if folder.resolve() == Path(sys.prefix).resolve():
        print(f"installing into {folder}, which is active")
        return 0
    done = subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False)
    if done.returncode:
        return done.returncode
    answer = subprocess.run(
        [str(folder / "bin" / "python"), "-c", _ASK], check=True, capture_output=True, text=True
    )
    found, packages, has_torch = answer.stdout.splitlines()
    if found != str(sys.version_info[:2]):
        print(f"{folder} belongs to another Python than {sys.executable}: run make clean first")
        return 1
    if has_torch == "True":
        print(f"using the PyTorch that {folder} has")
    else:
        _share_torch(Path(packages))
    return 0


def _share_torch(packages: Path) -> None:
    """Let the environment with these packages see PyTorch and what else this Python has; say what happens."""
    torch = _torch()
    if torch is None or _numbers(torch) < _numbers(_needed()):
        old = f" ({sys.executable} has {torch}, gdw needs {_needed()})" if torch else ""
        print(
            f"PyTorch will be downloaded{old}: on Linux with CUDA libraries, 5.5 GB and some minutes. "
            "README, Install, says how to have the smaller one for CPUs, or to use yours"
        )
        (packages / SHARED).unlink(missing_ok=True)
    else:
        places = [
            p
            for p in sys.path
            if Path(p).name in ("site-packages", "dist-packages") and Path(p).is_dir()
        ]
        (packages / SHARED).write_text("".join(f"{place}\n" for place in places))
        print(f"using PyTorch {torch} of {sys.prefix}; nothing is installed there")


def _torch() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _needed() -> str:
    """The oldest version of PyTorch that gdw works with."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    found = re.search(r'"torch>=([\d.]+)"', project.read_text(encoding="utf-8"))
    assert found is not None, "pyproject.toml names the version"
    return found[1]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
