"""A user's script that asks for two devices: Fabric starts it a second time."""

from __future__ import annotations

import sys
from pathlib import Path

from gdw.train import Trainer
from tests.train.small import config, data, network

if __name__ == "__main__":
    trainer = Trainer(config(method="gdw", devices=2, epochs=1))
    trainer.launch()
    result = trainer.fit(network(), data(), data(20, seed=1), test=data(31, seed=2))
    (Path(sys.argv[1]) / f"rank-{trainer.processes.rank}").write_text(str(result.final["test_nll"]))
