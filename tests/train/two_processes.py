"""What each of two processes does; started by `test_processes.py`, which compares with a single one.

Trains in float64 without BatchNorm, so that two processes must take the very steps of one. The first
process writes what it saw into the folder that is the first argument.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from gdw.errors import GDWError
from gdw.reweight import StepResult, build
from gdw.train import Callback, Trainer, prepare
from tests.train.evidence_of_two import write_all
from tests.train.small import config, data, network

METHODS = ("plain", "gdw", "mwn", "l2rw", "robust")


def fit(method: str, *, model: nn.Module | None = None, **options: Any) -> Any:
    """Two epochs of four batches of 14, the meta batch of 9 shared unevenly, 31 test examples."""
    model = model or network(plain=True)
    # Exact: a finite difference would enlarge the rounding of the two orders of summation.
    options_of_method = {} if method in ("plain", "robust") else {"hypergradient": "forward"}
    trainer = Trainer(
        config(
            method=method, method_options=options_of_method, epochs=2, batch_size=14, precision="64"
        )
    )
    result = trainer.fit(model, data(), data(20, seed=1), test=data(31, seed=2), **options)
    return trainer, model, result


class SignalOnLastRank(Callback):
    """Ctrl-C that reaches one process only, at its sixth batch."""

    def __init__(self) -> None:
        self.seen = 0

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        self.seen += 1
        if self.seen == 6 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGINT)


class Drawing(Dataset[Any]):
    """Examples with noise that is drawn anew each time, other noise on each process."""

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> Any:
        x = self.inputs[i]
        return x + 0.5 * torch.randn_like(x), int(self.targets[i])


def _error_of(act: Any) -> str:
    try:
        act()
    except GDWError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def main(folder: Path) -> None:
    report: dict[str, Any] = {}
    for method in METHODS:
        trainer, _, result = fit(method, output=folder / method)
        report[method] = result.history
    processes = trainer.processes
    report["size"] = processes.size

    own = network(seed=processes.rank, plain=True)
    fit("plain", model=own)
    report["weights"] = processes.gather(own[0].weight.tolist())

    watch = SignalOnLastRank()
    _, _, result = fit("gdw", model=network(), output=folder / "stopped", callbacks=[watch])
    report["stopped"] = processes.gather([result.interrupted, result.epochs_done, watch.seen])
    _, resumed, _ = fit("gdw", model=network(seed=5), output=folder / "stopped", resume=True)
    _, straight, _ = fit("gdw", model=network())
    same = [
        torch.equal(a, b) for a, b in zip(resumed.parameters(), straight.parameters(), strict=True)
    ]
    report["resumed"] = processes.gather(all(same))
    report["statistics"] = processes.gather(straight[1].running_var.tolist())

    report["refused"] = processes.gather(_error_of(lambda: fit("plain", output=folder / "plain")))
    inputs, targets = data()
    if processes.rank == 1:
        inputs[20:] = torch.nan
    report["unusable"] = processes.gather(
        _error_of(lambda: Trainer(config()).fit(network(), (inputs, targets)))
    )
    drawn = Drawing(*data())
    model = network(plain=True)
    robust = build("robust", model, torch.optim.SGD(model.parameters(), lr=0.1))
    prepare(robust, drawn, data(20, seed=1), epochs=1, batch_size=14, progress="none")
    report["labels"] = processes.gather(robust.label_posterior().tolist())
    items = list(zip(inputs, targets.tolist(), strict=True))
    report["diverged"] = processes.gather(
        _error_of(lambda: Trainer(config()).fit(network(), items))
    )
    report["tiny"] = processes.gather(trainer.evaluate(network(plain=True), data(1)))
    write_all(folder)
    if processes.is_first:
        (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
