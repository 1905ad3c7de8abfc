"""`gdw experiment` on a cut-down of the shipped smoke protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from gdw.cli.app import app
from gdw.experiments.protocol_files import find_protocol


def gdw(*words: object) -> Result:
    return CliRunner().invoke(app, ["experiment", *map(str, words)])


@pytest.fixture
def short_smoke(tmp_path: Path) -> Path:
    """`smoke` with two epochs and three methods."""
    content = yaml.safe_load(find_protocol("smoke").read_text(encoding="utf-8"))
    content["base"]["training"]["epochs"] = 2
    content["methods"] = {name: content["methods"][name] for name in ("plain", "mwn", "robust")}
    path = tmp_path / "smoke.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_smoke_from_start_to_page(short_smoke: Path, tmp_path: Path) -> None:
    output = tmp_path / "grid"
    part = ("--only", "noise=uniform:0.4", "--only", "imbalance=5", "--only", "seed=0", "--jobs", 1)
    shown = gdw(short_smoke, "--output", output, *part, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "3 runs: 3 waiting" in shown.output
    assert not output.exists()
    done = gdw(short_smoke, "--output", output, *part)
    assert done.exit_code == 0, done.output
    assert "[3/3]" in done.output
    page = (output / "results.html").read_text(encoding="utf-8")
    assert "robust (recommended)" in page
    again = gdw(short_smoke, "--output", output, *part)
    assert "3 runs, 3 done" in again.output
    assert again.exit_code == 0
    (output / "results.md").unlink()
    document = tmp_path / "results.md"
    redone = gdw("--results", output, "--markdown", document)
    assert redone.exit_code == 0, redone.output
    assert (output / "results.md").is_file()
    assert "gdw experiment smoke --output DIR" in document.read_text(encoding="utf-8")
    assert "So far 1 of 2 seeds." in document.read_text(encoding="utf-8")


def test_a_failed_cell_is_the_exit_status(short_smoke: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(short_smoke.read_text(encoding="utf-8"))
    del content["reference"]
    content["methods"] = {"bad": {"method": "plain", "training": {"lr": 1e30}}}
    short_smoke.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = gdw(
        short_smoke,
        "--output",
        tmp_path / "grid",
        "--only",
        "seed=0",
        "--only",
        "noise=uniform*",
        "--jobs",
        1,
    )
    assert done.exit_code == 1
    assert "2 runs failed" in done.output
    assert "training diverged" in (tmp_path / "grid" / "results.md").read_text(encoding="utf-8")


def test_the_shipped_protocols_are_listed() -> None:
    shown = gdw("--list")
    assert shown.exit_code == 0
    for name in (
        "smoke",
        "small",
        "paper-cifar10",
        "paper-cifar100",
        "paper-fast",
        "paper-gpu",
        "paper-short",
        "clothing1m",
        "cifar10n",
        "food101n",
    ):
        assert f"\n{name}: " in f"\n{shown.output}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a protocol"),
        (("smoke",), "name the folder of the grid: --output DIR"),
        (("smok", "--output", "x"), "Did you mean 'smoke'"),
        (("cifar10n", "--output", "x", "--only", "method=plain"), "name it with --data-root DIR"),
        (("--results", "nowhere"), "holds no grid"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = gdw(*words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_the_command_that_goes_on(
    short_smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gdw.experiments.grid.Grid.run", interrupted)
    output = tmp_path / "a grid"
    done = gdw(short_smoke, "--output", output, "--jobs", 1, "--only", "seed=0")
    assert done.exit_code == 130
    assert done.stderr.strip() == (
        "gdw: stopped; what is done is kept. Go on with: "
        f"gdw experiment {short_smoke} --output '{output}' --jobs 1 --only seed=0"
    )
