"""The benchmark: what it counts, what it says when a package is missing, and that double backward agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gdw.bench import contestants
from gdw.bench.language_model import LanguageModel
from gdw.bench.memory import peak_bytes
from gdw.bench.other_packages import UnavailableError
from gdw.bench.results import SUITES, document, read, row
from gdw.bench.step_cost import measure, quartiles
from gdw.bench.workloads import MODELS, Workload, suite
from gdw.cli.app import app
from gdw.errors import ConfigError, RunError

KILOBYTE = 4 * 256


def test_peak_memory_counts_what_is_alive_at_once() -> None:
    def act() -> None:
        a = torch.zeros(256)
        b = a + 1
        del a
        c = torch.ones(512)
        c.view(2, 256).add_(b.sum())

    assert peak_bytes(act) in range(3 * KILOBYTE, 3 * KILOBYTE + 64)  # b, c, and a few scalars
    kept = torch.ones(256)
    assert peak_bytes(lambda: kept.mul_(2)) == 0


def test_a_training_graph_is_alive_until_its_backward_pass() -> None:
    model = nn.Sequential(*(nn.Tanh() for _ in range(10)))
    x = torch.ones(256, requires_grad=True)
    with_graph = peak_bytes(lambda: model(x).sum().backward())
    with torch.no_grad():
        without = peak_bytes(lambda: model(x).sum())
    assert with_graph > 9 * KILOBYTE
    assert without < 3 * KILOBYTE


@pytest.mark.parametrize("model", MODELS)
def test_every_workload_builds_the_same_each_time(model: str) -> None:
    workload = Workload(model, batch=4, classes=7)
    (x, y), (u, _) = workload.batches()
    logits = [workload.forward(workload.build().eval(), x) for _ in range(2)]
    assert logits[0].shape == (4, 7)
    assert torch.equal(logits[0], logits[1])
    assert len(y) == 4
    assert not torch.equal(x, u)
    assert workload.build().training


def test_steps_on_a_language_model() -> None:
    pytest.importorskip("transformers")
    workload = LanguageModel(batch=2, classes=50, tokens=5)
    assert workload.describe() == "causal-lm, 2 x 5 tokens, 50 words"
    costs = measure(workload, contestants.contestants_of(workload), repeats=1)
    assert [cost.reason for cost in costs.values()] == [None] * len(costs)
    assert {"plain", "gdw", "gdw, head only"} <= costs.keys()


@pytest.mark.parametrize("name", contestants.CONTESTANTS)
def test_a_step_trains_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[nn.Module] = []
    build = Workload.build
    monkeypatch.setattr(Workload, "build", lambda self: built.append(build(self)) or built[-1])
    try:
        images = name.startswith("plain, channels-last")
        step = contestants.CONTESTANTS[name].make_step(
            Workload("resnet32" if images else "mlp", batch=8)
        )
    except UnavailableError as error:
        pytest.skip(str(error))
    before = [p.detach().clone() for p in built[0].parameters()]
    step()
    assert any(not torch.equal(a, b) for a, b in zip(before, built[0].parameters(), strict=True))


def test_double_backward_takes_the_step_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[nn.Module] = []
    models: list[nn.Module] = []
    build = Workload.build
    monkeypatch.setattr(Workload, "build", lambda self: built.append(build(self)) or built[-1])
    for name in ("gdw, forward mode", "gdw, double backward"):
        torch.manual_seed(0)  # the weighting network's
        step = contestants.CONTESTANTS[name].make_step(Workload("mlp", batch=16))
        models.append(built[-1])
        step()
    ours, theirs = ([p.detach() for p in model.parameters()] for model in models)
    start = list(build(Workload("mlp", batch=16)).parameters())
    for a, b, s in zip(ours, theirs, start, strict=True):
        assert (a - b).norm() <= 0.02 * (a - s).norm() + 1e-7


def test_measure_gives_ratios_to_plain_and_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Workload) -> contestants.Step:
        raise UnavailableError("not here")

    monkeypatch.setitem(contestants.CONTESTANTS, "broken", contestants.Contestant("broken", broken))
    costs = measure(Workload("mlp", batch=4), ["gdw", "broken"], repeats=3)
    assert list(costs) == ["plain", "gdw", "broken"]
    assert costs["plain"].ratio == 1
    assert len(costs["gdw"].seconds) == 3
    assert costs["gdw"].peak_bytes > costs["plain"].peak_bytes > 0
    assert costs["broken"].reason == "not here"
    assert costs["broken"].ratio is None
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)


def test_the_command_writes_figures_and_a_page_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdw.bench.workloads.suite", lambda _: [Workload("mlp")])
    words = ["bench", "--repeats", "1", "--json", str(tmp_path / "b.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "b.json").read_text())
    costs = results["results"][0]["costs"]
    assert set(contestants.contestants_of(Workload("mlp"))) == set(costs)
    assert not any("images" in name for name in costs)
    page = document(results)
    assert f"| {' | '.join(row('gdw', costs['gdw'], costs['plain']))} |" in page
    again = CliRunner().invoke(
        app, ["bench", "--from", str(tmp_path / "b.json"), "--markdown", str(tmp_path / "p.md")]
    )
    assert again.exit_code == 0, again.output
    assert (tmp_path / "p.md").read_text() == page
    assert "│ plain SGD" in again.output
    assert "ms: milliseconds per step" in again.output
    assert "## " not in again.output
    (tmp_path / "bad.json").write_text("{}")
    assert CliRunner().invoke(app, ["bench", "--from", str(tmp_path / "bad.json")]).exit_code == 2


@pytest.mark.parametrize(
    ("page", "figures"),
    [("performance.md", "performance.json"), ("performance-compiled.md", "compiled.json")],
)
def test_the_pages_in_docs_are_made_from_their_figures(page: str, figures: str) -> None:
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / page).read_text() == document(read(docs / "figures" / figures))


def test_figures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with pytest.raises(RunError, match=r"does not exist: check the path"):
        read(path)
    path.write_text('{"format": 9, "gdw_version": "9.0"}')
    with pytest.raises(RunError, match=r"written by gdw 9.0 \(format 9\)"):
        read(path)
    path.write_text('{"results": []}')
    with pytest.raises(RunError, match=r"damaged \(expected the results of gdw bench\)"):
        read(path)


def test_the_suites_are_known_without_their_workloads() -> None:
    assert set(MODELS) < set(SUITES)
    assert [name for name in SUITES if not suite(name)] == ["loading", "threads", "operations"]


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'resnet32'"):
        suite("resnet-32")
