from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from gdw.errors import OutputError, RunError
from gdw.train.output import Checkpoints
from gdw.train.resuming import CHECKPOINT_FORMAT, DamagedCheckpointWarning


def _state(value: float) -> dict[str, Any]:
    return {"tensor": torch.full((1000,), value), "plain": {"a": (1, None, "x"), "b": [True]}}


def _steps(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in Checkpoints(folder).paths()]


def test_the_newest_are_kept_and_come_back_equal(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, kept=2)
    assert next(checkpoints.newest_first(), None) is None
    for step in (0, 9, 10, 2_000_000_000):
        checkpoints.save(_state(step), step=step)
    assert _steps(tmp_path) == [10, 2_000_000_000]
    _, state = next(checkpoints.newest_first())
    assert torch.equal(state["tensor"], _state(2e9)["tensor"])
    assert state["plain"] == _state(0)["plain"]


def test_saving_behind_removes_what_lies_ahead(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, kept=3)
    for step in (1, 2, 5, 6):
        checkpoints.save(_state(step), step=step)
    checkpoints.save(_state(3), step=3)
    assert _steps(tmp_path) == [2, 3]


@pytest.mark.parametrize("damage", [b"", b"PK", b"\x80\x02K\x01.", None])
def test_a_damaged_file_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: bytes | None
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_state(1), step=1)
    newest = checkpoints.save(_state(2), step=2)
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.warns(DamagedCheckpointWarning, match=r"step-000000002.pt is damaged"):
        _, state = next(checkpoints.newest_first())
    assert state["tensor"][0] == 1


def test_a_bit_that_flipped_inside_a_tensor_is_damage(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_state(1), step=1)
    newest = checkpoints.save(_state(2), step=2)
    content = bytearray(newest.read_bytes())
    middle = content.index(_state(2)["tensor"].numpy().tobytes()) + 4001
    content[middle] ^= 0x10
    newest.write_bytes(content)
    assert torch.load(newest, weights_only=True)["tensor"].unique().numel() == 2
    with pytest.warns(DamagedCheckpointWarning, match=r"step-000000002.pt is damaged"):
        _, state = next(checkpoints.newest_first())
    assert torch.equal(state["tensor"], _state(1)["tensor"])


def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_state(1), step=1)
    newest = checkpoints.save({**_state(2), "tensor": torch.full((3,), 2.0)}, step=2)
    content = newest.read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        newest.write_bytes(flipped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedCheckpointWarning)
            _, state = next(checkpoints.newest_first())
        assert state["plain"] == _state(0)["plain"]
        assert state["tensor"].unique().tolist() in ([1.0], [2.0]), position


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"format": 1, "x": Evil()}, tmp_path / "step-000000001.pt")
    with pytest.warns(DamagedCheckpointWarning), pytest.raises(RunError, match="no checkpoint in"):
        next(Checkpoints(tmp_path).newest_first())
    assert not (tmp_path / "ran").exists()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(_state(1), step=1)
    torch.save({"format": CHECKPOINT_FORMAT + 1}, tmp_path / "step-000000002.pt")
    message = rf"a newer gdw \(format {CHECKPOINT_FORMAT + 1}\).*\(format {CHECKPOINT_FORMAT}\): upgrade it"
    with pytest.raises(RunError, match=message):
        next(Checkpoints(tmp_path).newest_first())


@pytest.mark.parametrize("failing", ["save", "replace"])
def test_a_crash_while_writing_leaves_the_old_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    checkpoints = Checkpoints(tmp_path, kept=1)
    checkpoints.save(_state(1), step=1)

    def half(content: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def crash(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        if failing == "save":
            patch.setattr(torch, "save", half)
        else:
            patch.setattr(Path, "replace", crash)
        with pytest.raises(OutputError, match=r"^cannot write \S*step-000000002.pt: "):
            checkpoints.save(_state(2), step=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]
    _, state = next(checkpoints.newest_first())
    assert state["tensor"][0] == 1
