"""The suite that times one thread against all cores."""

import json
from typing import Any

import pytest
import torch

from gdw.bench import thread_count


def test_each_case_is_timed_with_both_numbers_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_count, "CASES", (("a table", "mlp:8", (4,), 10),))
    monkeypatch.setattr(thread_count, "_SECONDS", 0.001)
    before, said = torch.get_num_threads(), list[str]()
    results = thread_count.run(repeats=2, log=said.append)
    assert torch.get_num_threads() == before
    assert said == ["threads: mlp:8, batch 10, a table"]
    assert json.loads(json.dumps(results)) == results
    (case,) = results["cases"]
    # Layers of 4 x 8 and 8 x 10 weights, each used once for every example.
    assert case["layer_work"] == 10 * (32 + 80) / 2
    for state in ("free", "busy"):
        assert set(case[state]) == {"1", str(results["threads"])}
        assert all(times[name] > 0 for times in case[state].values() for name in ("wall", "cpu"))


def test_the_table() -> None:
    case: dict[str, Any] = {"data": "d", "model": "m", "batch": 5, "layer_work": 2.5e6}
    free = {"1": {"wall": 1.25, "cpu": 1.0}, "2": {"wall": 250.0, "cpu": 2.0}}
    busy = {"1": {"wall": 3.0, "cpu": 4.0}, "2": {"wall": 5.0, "cpu": 6.0}}
    results = {"threads": 2, "repeats": 3, "machine": {"torch": "2"}}
    header, rows, note = thread_count.table(
        {**results, "cases": [{**case, "free": free, "busy": busy}]}
    )
    assert rows == [("d: m, batch 5", "2.5", "1.2 / 250", "3.0 / 5.0", "4.0 / 6.0")]
    assert len(header) == len(rows[0])
    assert "with 1 / 2 threads: median of 3 repeats" in note
