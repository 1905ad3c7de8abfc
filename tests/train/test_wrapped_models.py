"""Compiled and wrapped models: files hold the names of the model itself, and load into either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gdw.errors import ConfigError, ModelError
from gdw.hypergradient.own_names import OwnNames, without_wrappers
from gdw.models import build_model
from gdw.models.weights import load_weights
from gdw.train import RunFolder, Trainer
from tests.train.small import assert_same, config, data, network


def compiled(model: nn.Module) -> nn.Module:
    wrapped: Any = torch.compile(model, backend="eager")
    return wrapped  # type: ignore[no-any-return]


def compiled_part(model: nn.Module) -> nn.Module:
    model[0] = compiled(model[0])  # type: ignore[operator,index]
    return model


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": compiled,
    "a compiled part": compiled_part,
    "copied": nn.DataParallel,
    "both": lambda model: nn.DataParallel(compiled(model)),
    "twice": lambda model: nn.DataParallel(nn.DataParallel(model)),
}


def fit(model: nn.Module, folder: Path, **options: Any) -> None:
    Trainer(config(method="glc", epochs=2)).fit(model, data(), data(20), output=folder, **options)


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_run_is_that_of_the_model_itself(tmp_path: Path, kind: str) -> None:
    plain, wrapped = network(), WRAPPERS[kind](network())
    fit(plain, tmp_path / "plain")
    fit(wrapped, tmp_path / "wrapped")
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("plain", "wrapped")]
    assert files[0].keys() == files[1].keys() == network().state_dict().keys()
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    newest = [max((tmp_path / name / "checkpoints").iterdir()) for name in ("plain", "wrapped")]
    states = [torch.load(path, weights_only=True)["model"] for path in newest]
    assert states[0].keys() == states[1].keys()
    for model in (network(seed=5), WRAPPERS[kind](network(seed=5))):
        RunFolder(tmp_path / "wrapped").load_model(model)
        assert all(torch.equal(v, files[0][n]) for n, v in OwnNames(model).state_dict().items())


@pytest.mark.parametrize("first", [True, False])
def test_a_run_is_resumed_in_the_other_form(tmp_path: Path, first: bool) -> None:
    straight = network()
    fit(straight, tmp_path / "straight")
    forms = [compiled, lambda model: model]
    one, other = forms if first else forms[::-1]
    fit(one(network()), tmp_path / "run", stop_after=1)
    resumed = network(seed=8)
    fit(other(resumed), tmp_path / "run", resume=True)
    assert_same(resumed, straight)


def test_names_of_0_1_are_read(tmp_path: Path) -> None:
    source, model = network(seed=1), network()
    for prefix in ("_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", ""):
        state = {prefix + name: value for name, value in source.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors")
        RunFolder(tmp_path).load_model(model)
        assert_same(model, source)
        model = network()
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="does not fit the model"):
        RunFolder(tmp_path).load_model(model)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module.module._orig_mod.", ""])
@pytest.mark.parametrize("whole", [True, False])
def test_weights_with_the_names_of_wrappers_load(tmp_path: Path, prefix: str, whole: bool) -> None:
    source = build_model("resnet20", input_shape=(3, 8, 8), num_classes=3, seed=1)
    model = build_model("resnet20", input_shape=(3, 8, 8), num_classes=3, seed=2)
    state = (source if whole else source.network).state_dict()  # type: ignore[union-attr]
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt", num_classes=3)
    assert_same(model, source)


def test_an_averaged_model_is_a_source_of_weights(tmp_path: Path) -> None:
    source, model = network(seed=1), network()
    torch.save(AveragedModel(source).state_dict(), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt", num_classes=3)
    assert_same(model, source)


def test_a_part_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)

    assert list(OwnNames(Own()).state_dict()) == ["module.weight", "module.bias"]
    assert list(OwnNames(nn.DataParallel(Own())).state_dict()) == ["module.weight", "module.bias"]
    torch.save(Own().state_dict(), tmp_path / "w.pt")
    load_weights(Own(), tmp_path / "w.pt", num_classes=2)
    torch.save({"u": torch.zeros(1)}, tmp_path / "none.pt")
    with pytest.raises(ConfigError, match="no tensor 'weight' in it"):
        load_weights(nn.Linear(3, 3), tmp_path / "none.pt", num_classes=3)


def test_names_are_left_alone_where_none_fits() -> None:
    state = {"module.a": 1, "b": 2}
    assert without_wrappers(state, ["c"]) == state
    assert without_wrappers(state, ["a"]) == {"a": 1, "b": 2}
