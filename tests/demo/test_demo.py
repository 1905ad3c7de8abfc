"""The demonstration with one seed: the files that it writes, and that its page says what was run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gdw.cli.app import app
from gdw.demo.comparison import DOCUMENT, Outcome, header, mean_and_spread, table
from gdw.demo.contenders import CLEAN_PER_CLASS, CONTENDERS, write_digits
from gdw.demo.example_files import COMMANDS
from gdw.runs import evaluate, load


def test_the_data_are_apart_balanced_and_true(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    files = write_digits(tmp_path / "data", seed=0)
    parts = {name: np.load(path) for name, path in vars(files).items()}
    assert np.bincount(parts["clean"]["y"]).tolist() == [CLEAN_PER_CLASS] * 10
    assert np.bincount(parts["test"]["y"]).tolist() == [50] * 10
    scans = {image.tobytes(): y for image, y in zip(*load_digits(return_X_y=True), strict=True)}
    seen = [
        (x.astype(np.float64).tobytes(), y)
        for part in parts.values()
        for x, y in zip(part["X"], part["y"], strict=True)
    ]
    assert len(seen) == 1797
    assert all(scans[x] == y for x, y in seen)


def test_mean_and_spread() -> None:
    assert mean_and_spread([0.5]) == "50.0"
    assert mean_and_spread([0.4, 0.6]) == "50.0 ± 14.1"


def test_the_time_in_the_table_is_the_sum_that_its_header_says() -> None:
    outcome = Outcome("a", accuracy=[0.5, 0.5], seconds=[2.0, 3.0])
    assert table({"a": outcome}) == [("a", "50.0 ± 0.0", "5")]
    assert header(2)[-1] == "training time, s, sum over 2 seeds"
    assert header(1)[-1] == "training time, s"


@pytest.mark.slow
def test_gdw_demo_leaves_runs_results_picture_and_page(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = CliRunner().invoke(app, ["demo", "--output", str(folder), "--seeds", "1"])
    assert done.exit_code == 0, done.output
    results = DOCUMENT.read(folder / "results.json")
    assert list(results) == list(CONTENDERS)
    for name, outcome in results.items():
        assert f"{outcome['title']}: {outcome['accuracy'][0]:.1%}" in done.output
        assert np.mean(outcome["curves"][0][-5:]) == pytest.approx(outcome["accuracy"][0])
        run = load(folder / "runs" / f"{name}-seed-0")
        test = run.read(str(folder / "data" / "seed-0" / "test.npz"), label="label")
        assert evaluate(run, test)["accuracy"] == pytest.approx(outcome["curves"][0][-1])
    assert 0.3 < results["robust"]["wrong_labels"][0] < 0.42
    for line in (f"cd {shlex.quote(str(folder / 'example'))}", *COMMANDS):
        assert f"\n  {line}\n" in done.output
    assert len(list((folder / "example" / "scans").glob("*/*.png"))) == 1247
    page = (folder / "report.html").read_text()
    assert "<svg" in page
    assert "robust (recommended)</strong> also gives every example a weight for every class" in page
    assert not re.search(r'(src|href)="http', page)  # opens offline
    assert (folder / "learning_curves.png").stat().st_size > 10_000
    again = CliRunner().invoke(app, ["demo", "--output", str(folder)])
    assert again.exit_code == 2
    assert "exists already" in again.stderr
