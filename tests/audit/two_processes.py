"""What each of two processes does; started by `test_two_processes.py`, which compares with a single one."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from gdw.audit import Evidence, Recorder
from gdw.train import Trainer
from tests.train.small import config, data, network


def record(method: str, *, dense: bool, output: Path) -> tuple[Trainer, Evidence]:
    """Stopped within the second half, resumed and finished."""
    trainer = Trainer(config(method=method, batch_size=14, precision="64"))
    for resume, until in ((False, 3), (True, None)):
        recorder = Recorder(50, dense_bytes=(1 << 20) * dense)
        trainer.fit(
            network(plain=True),
            data(),
            data(20, seed=1),
            output=output,
            resume=resume,
            stop_after=until,
            callbacks=[recorder],
        )
    return trainer, recorder.evidence()


CASES = {"dense": ("plain", True), "sparse": ("plain", False), "unseen": ("clean_only", True)}


def main(folder: Path) -> None:
    for name, (method, dense) in CASES.items():
        trainer, evidence = record(method, dense=dense, output=folder / name)
        assert trainer.processes.size == 2
        trainer.processes.on_first(lambda e=evidence, n=name: e.save(folder / f"{n}.safetensors"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
