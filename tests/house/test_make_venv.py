"""The environment of `make demo` uses a PyTorch that is there, and says where it comes from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_venv.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_venv", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("torch", "shares", "message"),
    [
        ("2.9.1+cpu", True, "using PyTorch 2.9.1+cpu of"),
        ("2.6.0", True, "nothing is installed there"),
        ("1.13.1", False, "has 1.13.1, gdw needs 2.6): on Linux with CUDA"),
        (None, False, "PyTorch will be downloaded: on Linux"),
    ],
)
def test_a_pytorch_that_is_new_enough_is_shared(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torch: str | None,
    shares: bool,
    message: str,
) -> None:
    theirs = tmp_path / "theirs" / "site-packages"
    theirs.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(theirs), "/gone/site-packages"])
    monkeypatch.setattr(script, "_torch", lambda: torch)
    script._share_torch(tmp_path)
    shared = tmp_path / script.SHARED
    assert shared.exists() == shares
    assert not shares or shared.read_text() == f"{theirs}\n"
    assert message in capsys.readouterr().out


def test_an_old_python_is_refused(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    assert script.main(tmp_path / "venv") == 1
    assert "found 3.8: name one, as in make demo PYTHON=" in capsys.readouterr().out
    assert not (tmp_path / "venv").exists()


def test_the_environment_that_is_active_is_left_as_it_is(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("nothing is to be done"))
    assert script.main(Path(sys.prefix)) == 0
    assert "which is active" in capsys.readouterr().out


def test_a_new_environment_sees_the_packages_of_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    made = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True, text=True
    )
    assert f"of {sys.prefix}; nothing is installed there" in made.stdout
    ask = (
        "import importlib.util as u; print(u.find_spec('torch').origin, u.find_spec('pip').origin)"
    )
    answer = subprocess.run(
        [str(folder / "bin" / "python"), "-c", ask], check=True, capture_output=True, text=True
    )
    again = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True, text=True
    )
    assert f"using the PyTorch that {folder} has" in again.stdout
    torch, pip = answer.stdout.split()
    assert str(folder) not in torch
    assert str(folder) in pip
