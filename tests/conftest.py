"""Fixtures that every layer's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers

# The same examples every time: a red test must be red again on the next run, and on another machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
# `make fuzz` tries other and more examples each time.
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("GDW_HYPOTHESIS_PROFILE", "repeatable"))

# Newer versions also draw constants that they find in the modules loaded so far. Then the examples of a test
# would depend on which other tests are collected.
if hasattr(providers, "_get_local_constants"):
    providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The cache of the person who runs the tests is neither read nor changed, by other processes either."""
    os.environ["GDW_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test alone. It is made when it is used."""
    folder = tmp_path / ".gdw-cache"
    monkeypatch.setenv("GDW_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_packaged_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test trains does not depend on the packages of this machine: "auto" finds no backbone."""
    monkeypatch.setattr("gdw.runs.backbone_choice.packaged", lambda kind: None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of benchmark data, which is not part of the project: without it the test is skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GDW_DATA", beside))
    if not folder.is_dir():
        pytest.skip(
            "benchmark data not found: set GDW_DATA to the folder with cifar10/, adult/, clinc150/"
        )
    return folder
