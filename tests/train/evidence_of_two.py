"""The evidence that each of two processes records for an audit; started by `two_processes.py`."""

from __future__ import annotations

from pathlib import Path

from gdw.audit import Evidence, Recorder
from gdw.train import Trainer
from tests.train.small import config, data, network

CASES = {"dense": ("plain", True), "sparse": ("plain", False), "unseen": ("clean_only", True)}


def record(name: str, *, output: Path) -> tuple[Trainer, Evidence]:
    """The evidence of a case, stopped within the second half, resumed and finished."""
    method, dense = CASES[name]
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


def write_all(folder: Path) -> None:
    """Write the evidence of every case into `folder`."""
    for name in CASES:
        trainer, evidence = record(name, output=folder / f"audit-{name}")
        trainer.processes.on_first(lambda e=evidence, n=name: e.save(folder / f"{n}.safetensors"))
