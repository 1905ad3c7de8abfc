"""What a user may let be written: nothing over an input, and nothing over a file without force."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gdw.errors import ConfigError, OutputError, RunError
from gdw.files.documents import OutputLock
from gdw.files.outputs import check_output, output_file


def test_a_file_that_exists_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    check_output(path)
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"out.json exists already: .*overwrite it with --force"):
        check_output(path)
    check_output(path, force=True)
    dangling = tmp_path / "link.json"
    dangling.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="exists already"):
        check_output(dangling)


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ending in .csv, .jsonl. Did you mean '.jsonl'"):
        check_output(tmp_path / "p.json", suffixes=(".csv", ".jsonl"))
    with pytest.raises(ConfigError, match=r"the folder .*none does not exist"):
        check_output(tmp_path / "none" / "p.csv", suffixes=(".csv",))
    for force in (False, True):
        with pytest.raises(ConfigError, match=r"is a folder: expected the name of a file"):
            check_output(tmp_path, force=force)
    with pytest.raises(ConfigError, match=r"is not a file but a device or a pipe"):
        check_output(Path(os.devnull), force=True)


@pytest.mark.parametrize("force", [False, True])
def test_no_spelling_leads_over_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    table, image = Path("data", "t.csv"), Path("data", "cat", "1.png")
    image.parent.mkdir()
    for file in (table, image):
        file.write_text("mine")
    Path("link.csv").symlink_to(table)
    Path("hard.csv").hardlink_to(table)
    Path("elsewhere").symlink_to("data", target_is_directory=True)
    spellings = ("data/t.csv", "data/../data/t.csv", "link.csv", "hard.csv", "elsewhere/t.csv")
    for name in (*spellings, tmp_path / "data" / "t.csv"):
        with pytest.raises(
            ConfigError, match=r"would overwrite data/t.csv, which this command reads"
        ):
            check_output(Path(name), reads=[None, "data/t.csv"], force=force)
    for name in ("data/cat/1.png", "elsewhere/cat/1.png"):
        with pytest.raises(ConfigError, match="would overwrite data, which"):
            check_output(Path(name), reads=["data"], force=force)
    check_output(Path("data/new.json"), reads=["data", "gone.csv"], force=force)


def test_one_process_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    with output_file(path):
        with pytest.raises(RunError, match=r"writing \S*kept.csv already"), output_file(path):
            pass
        path.touch()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="exists already"), output_file(path):
        pass
    with output_file(None):
        pass


def test_a_file_that_appears_before_the_lock_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.csv"

    def lock(output: Path, *, is_folder: bool) -> OutputLock:
        path.write_text("of another process")
        return OutputLock(output, is_folder=is_folder)

    monkeypatch.setattr("gdw.files.outputs.OutputLock", lock)
    with pytest.raises(ConfigError, match="exists already"), output_file(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", read_only)
    refused = pytest.raises(OutputError, match="Permission denied; change its permissions")
    with refused, output_file(tmp_path / "p.csv"):
        raise AssertionError("not reached")


@pytest.mark.parametrize("is_folder", [False, True])
def test_the_output_is_named_that_the_user_named_and_not_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    if is_folder:
        with pytest.raises(
            OutputError, match=r"^cannot write a.csv/x: Not a directory; make its folder"
        ):
            OutputLock(Path("a.csv/x"), is_folder=is_folder)
    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(OutputError, match=r"^cannot write new/p: Read-only file system; change"):
        OutputLock(Path("new/p"), is_folder=is_folder)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
