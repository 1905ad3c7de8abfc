"""The evidence of two processes is that of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist

from gdw.audit import Evidence
from tests.audit.two_processes import CASES, record

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs the gloo backend")
def test_gathered_on_the_first_process(tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            *torchrun,
            "-m",
            "tests.audit.two_processes",
            str(tmp_path),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, (method, dense) in CASES.items():
        _, single = record(method, dense=dense, output=tmp_path / f"{name}-alone")
        pair = Evidence.load(tmp_path / f"{name}.safetensors")
        for field, expected in vars(single).items():
            found = getattr(pair, field)
            if expected is None:
                assert found is None
            else:
                np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=f"{name} {field}")
