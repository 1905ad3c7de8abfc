"""The example of `docs/certificate.md` runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

import gdw

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "certificate.md"


def test_the_example_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = DOCUMENT.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    pixels, digits = load_digits(return_X_y=True)
    true = np.array([f"digit {k}" for k in digits[:600]])
    rng = np.random.default_rng(0)
    y = np.where(rng.random(600) < 0.1, rng.permutation(true), true)
    rows = rng.choice(600, 100, replace=False)
    checked = SimpleNamespace(
        index=rows, labels=true[rows].tolist(), selection_probability=np.full(100, 100 / 600)
    )
    monkeypatch.setattr(gdw.verify, "read", lambda path: checked)
    exec(code, {"X": pixels[:600] / 16, "y": y})
    printed = capsys.readouterr().out.splitlines()
    assert "of the 600 labels are wrong, with 95% confidence" in printed[0]
    assert len(printed) == 3
