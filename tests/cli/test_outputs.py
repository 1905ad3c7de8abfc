"""Outputs of the command line: over no input, over no file without --force, and results without a place."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gdw.errors import OutputError
from tests.cli.conftest import Run
from tests.cli.test_mistakes import one_line


@pytest.fixture
def trained(train: Run, here: Path) -> Path:
    result = train("--method", "plain", "--epochs", 1)
    assert result.exit_code == 0, result.output
    return here


def test_no_output_overwrites_what_a_command_reads(trained: Path, gdw: Run) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    (trained / "also.html").symlink_to("test.csv")
    commands = [
        ("evaluate", "run", "test.csv", "--json", "test.csv"),
        ("evaluate", "run", "test.csv", "--json", "clean.csv"),
        ("evaluate", "run", "test.csv", "--json", "run/model.safetensors"),
        ("evaluate", "run", "test.csv", "--limit", 5, "--json", "run/../run/Audit.json"),
        ("predict", "run", "test.csv", "--output", "test.csv"),
        ("predict", "run", "test.csv", "--output", "data.csv"),
        ("audit", "run", "--apply", "KEEP", "--output", "data.csv"),
        ("audit", "run", "--apply", "KEEP", "--output", "run/label_issues.csv"),
        ("report", "run", "--test", "test.csv", "--output", "also.html"),
        ("bench", "--from", "run/encoder/data.json", "--json", "run/encoder/data.json"),
    ]
    for words in commands:
        for force in ((), ("--force",)):
            one_line(
                gdw(*words, *force), r"would overwrite .*which this command reads|of the run itself"
            )
    (trained / "also.html").unlink()
    after = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert after == before


def test_a_file_is_overwritten_with_force_only(trained: Path, gdw: Run) -> None:
    commands = {
        "figures.json": ("evaluate", "run", "test.csv", "--limit", 5, "--json"),
        "p.csv": ("predict", "run", "test.csv", "--output"),
        "p.npy": ("audit", "run", "--pred-probs"),
        "kept.csv": ("audit", "run", "--apply", "KEEP", "--output"),
        "page.html": ("report", "run", "--output"),
    }
    for name, words in commands.items():
        (trained / name).write_text("mine")
        one_line(gdw(*words, name), rf"{name} exists already: .*--force")
        assert (trained / name).read_text() == "mine"
        done = gdw(*words, name, "--force")
        assert done.exit_code == 0, done.output
        assert (trained / name).read_bytes() != b"mine"
    for _ in range(2):
        assert gdw("report", "run").exit_code == 0
        assert gdw("report", "run", "--output", "run/report.html").exit_code == 0
    assert not [path for path in trained.rglob(".*") if path.is_file()]


def test_a_run_has_a_folder_of_its_own(here: Path, gdw: Run) -> None:
    for folder in ("photos/cat", "verified/cat", "mine", "empty"):
        (here / folder).mkdir(parents=True)
    (here / "link").symlink_to("photos")
    (here / "mine/f").touch()
    words = ("train", "photos", "--meta", "verified", "--output")
    inside = "is inside the data photos: choose a folder outside"
    one_line(gdw(*words, "photos/runs/a"), f"--output photos/runs/a {inside}")
    one_line(gdw(*words, "link/run"), f"--output link/run {inside}")
    one_line(gdw(*words, "photos"), "--output photos is the data photos: choose")
    one_line(gdw(*words, "verified"), "--output verified is the data verified: choose")
    one_line(
        gdw(*words, "mine"), r"--output mine holds other files \('f'\): choose a new or an empty"
    )
    assert sorted(path.name for path in (here / "mine").iterdir()) == ["f"]
    for name in (".hidden", "encoder"):
        (here / "empty" / name).touch()
    one_line(gdw(*words, "empty"), "the folder photos has no images")


def test_a_run_that_cannot_be_written_shows_its_results(
    trained: Path, gdw: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, write: object) -> None:
        if path.parent.name == "run":
            raise OutputError(errno.EROFS, "Read-only file system", str(path))
        write(path)  # type: ignore[operator]

    for module in ("files.documents", "audit.audit_files"):
        monkeypatch.setattr(f"gdw.{module}.write_atomically", read_only)
    evaluated = gdw("evaluate", "run", "test.csv")
    assert evaluated.exit_code == 0
    assert "balanced accuracy" in evaluated.stdout
    assert evaluated.stderr == (
        "gdw: note: cannot write run/evaluation.json: Read-only file system; the result is shown here but "
        "not kept in the run folder (--json FILE keeps it)\n"
    )
    assert "\n" not in gdw("evaluate", "run", "test.csv", "--json", "-").stdout.strip()
    audited = gdw("audit", "run")
    assert audited.exit_code == 0
    assert "training labels look wrong" in audited.stdout
    assert "written into" not in audited.stdout
    assert "check label_issues.csv" not in audited.stdout
    assert "run/noise_matrix.csv: Read-only file system; the result is shown" in audited.stderr
    one_line(gdw("report", "run"), r"run/report.html: Read-only .*with --output FILE.html")
    page = gdw("report", "run", "--test", "test.csv", "--output", "page.html")
    assert page.exit_code == 0
    assert "balanced" in (trained / "page.html").read_text()
    assert gdw("predict", "run", "test.csv", "--output", "p.csv").exit_code == 0
