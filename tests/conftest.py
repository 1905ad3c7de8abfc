"""Fixtures that every layer's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
