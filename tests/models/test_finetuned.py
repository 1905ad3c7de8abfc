"""Fine-tuning of a backbone: what is trained, what stays, and every method's step on it."""

import copy
import json

import numpy as np
import pytest
import torch
from tests.backbones.tiny_models import save_bert, save_vit, tokenizer
from torch import nn

import gdw
from gdw.backbones import load_backbone, of_module
from gdw.data.encode.encoder import load_encoder
from gdw.data.encode.tokens import TokenEncoder, TokenInputs
from gdw.data.examples import Examples
from gdw.errors import ConfigError, MissingDependencyError, RunError
from gdw.models import lora
from gdw.models.finetuned import build_finetuned, read_network, write_network
from gdw.train.evaluation import predict_probabilities

pytest.importorskip("transformers")

TEXTS = ["a b c", "d e", "f g h a b", "c", "h h a", "b b b b", "e f", "g"]
LABELS = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def bert(folder):
    return load_backbone(str(folder))


def tokens(backbone):
    return TokenInputs(backbone.preprocessing.tokenised(TEXTS)[0])


def trained_names(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_head_and_norms_are_trained(bert):
    model = build_finetuned(bert, 2, "head+norm", seed=0)
    names = trained_names(model)
    assert {"head.weight", "head.bias"} < names
    assert all("LayerNorm" in name for name in names if name.startswith("backbone"))
    assert len(names) == 2 + 2 * 5


def test_everything_is_trained(bert):
    model = build_finetuned(bert, 2, "all", seed=0)
    assert trained_names(model) == {name for name, _ in model.named_parameters()}
    assert model.backbone.training
    assert not model.eval().backbone.training


@pytest.mark.parametrize("finetune", ["head+norm", "lora"])
def test_frozen_parts_stay_in_evaluation_mode(bert, finetune):
    if finetune == "lora":
        pytest.importorskip("peft")
    model = build_finetuned(bert, 2, finetune, seed=0).train()
    assert model.training
    assert not any(layer.training for layer in model.backbone.modules())
    batch = tokens(bert)[[0, 1, 2]]
    assert torch.equal(model(batch), model(batch))


def test_a_seed_gives_the_same_head_and_leaves_the_global_state(folder):
    state = torch.get_rng_state()
    one, other, third = (
        build_finetuned(load_backbone(str(folder)), 2, "all", seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(one.head.weight, other.head.weight)
    assert not torch.equal(one.head.weight, third.head.weight)
    assert torch.equal(torch.get_rng_state(), state)


class TestLora:
    @pytest.fixture(autouse=True)
    def _peft(self):
        pytest.importorskip("peft")

    def test_the_outputs_do_not_change_at_first(self, bert):
        batch = tokens(bert)[[0, 2]]
        with torch.no_grad():
            before = bert.module(batch)
            after = build_finetuned(bert, 2, "lora", seed=0).backbone(batch)
        assert torch.equal(before, after)

    def test_base_weights_stay_to_the_bit(self, bert):
        before = {name: p.clone() for name, p in bert.module.named_parameters()}
        model = build_finetuned(bert, 2, "lora", seed=0)
        inputs = tokens(bert)
        options = {"method": "plain", "epochs": 2, "batch_size": 4, "lr": 0.1, "progress": "none"}
        gdw.Trainer(**options, optimizer="adamw").fit(model, Examples(inputs, LABELS))
        after = {
            name.replace("base_layer.", ""): p
            for name, p in model.backbone.named_parameters()
            if "lora_" not in name
        }
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        added = [p for name, p in model.named_parameters() if "lora_B" in name]
        assert added
        assert all(p.abs().max() > 0 for p in added)

    def test_convolutions_are_extended(self):
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Flatten(),
            nn.LazyLinear(4),
        )
        network(torch.zeros(1, 3, 6, 6))
        backbone = of_module(network, kind="image", image_size=6)
        model = build_finetuned(backbone, 2, "lora", seed=0)
        assert len([name for name in trained_names(model) if "lora_A" in name]) == 2
        assert model(torch.zeros(2, 3, 6, 6, dtype=torch.uint8)).shape == (2, 2)

    def test_convolutions_of_other_classes_become_plain_where_they_are(self):
        class Padded(nn.Conv2d):
            def __init__(self, *sizes, image_size=None, **options):
                super().__init__(*sizes, **options)
                assert image_size is not None

        class Standardised(nn.Conv2d):
            def forward(self, images):
                return super().forward(images) / self.weight.std()

        network = nn.Sequential(
            Padded(3, 4, 1, stride=2, image_size=6),
            Standardised(4, 4, 1),
            Padded(4, 4, 3, image_size=6),
            nn.Flatten(),
        )
        images = torch.randint(0, 256, (2, 3, 6, 6), dtype=torch.uint8)
        backbone = of_module(network, kind="image", image_size=6)
        before = backbone.module(images)
        model = build_finetuned(backbone, 2, "lora", seed=0)
        assert len([name for name in trained_names(model) if "lora_A" in name]) == 1
        torch.testing.assert_close(model.backbone(images), before, rtol=0, atol=0)

    def test_a_network_that_reads_its_layers_says_so(self):
        class Reads(nn.Sequential):
            def forward(self, images):
                return super().forward(images)[:, :, :: self[0].stride[0], 0].flatten(1)

        backbone = of_module(Reads(nn.Conv2d(3, 4, 2)), kind="image", image_size=4)
        with pytest.raises(ConfigError, match=r"does not run with the layers of LoRA \(.*'stride'"):
            build_finetuned(backbone, 2, "lora", seed=0)

    def test_a_network_without_layers_says_so(self):
        backbone = of_module(
            nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), kind="image", image_size=4
        )
        with pytest.raises(ConfigError, match=r"no linear layers or convolutions for LoRA.*'all'"):
            build_finetuned(backbone, 2, "lora", seed=0)


def test_a_network_without_norms_says_so():
    backbone = of_module(nn.Flatten(), kind="image", image_size=4)
    with pytest.raises(ConfigError, match=r"no normalisation layers.*'all'"):
        build_finetuned(backbone, 2, "head+norm", seed=0)


def test_peft_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[text\]'"):
        lora.require_peft()


METHODS = {
    "plain": {},
    "gdw exact": {"preset": "paper", "hypergradient": "finite_difference"},
    "gdw head": {"preset": "paper", "hypergradient": "head"},
    "mwn": {},
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["text", "image"])
def test_methods_train_it(name, kind, folder, tmp_path):
    if kind == "text":
        backbone = load_backbone(str(folder))
        inputs = tokens(backbone)
    else:
        backbone = load_backbone(str(save_vit(tmp_path)))
        draw = torch.Generator().manual_seed(0)
        inputs = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=draw)
    model = build_finetuned(backbone, 2, "all", seed=0)
    before = copy.deepcopy(model.state_dict())
    data = Examples(inputs, LABELS)
    options = {"batch_size": 4, "meta_batch_size": 4, "epochs": 1, "lr": 1e-3, "progress": "none"}
    trainer = gdw.Trainer(
        method=name.partition(" ")[0], method_options=METHODS[name], optimizer="adamw", **options
    )
    result = trainer.fit(model, data, data if name != "plain" else None, test=data)
    assert np.isfinite(result.history[0]["train_loss"])
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {"head.weight"} < changed
    assert any(name.startswith("backbone") for name in changed)


def test_the_hypergradient_of_the_head_is_that_of_double_backward(bert):
    """In float64, on padded tokens of different lengths."""
    model = build_finetuned(bert, 2, "head+norm", seed=0).double()
    inputs = tokens(bert)
    batch, meta = (inputs[[0, 1, 2]], LABELS[:3]), (inputs[[3, 4, 5]], LABELS[3:6])
    found = []
    for engine in ("head", "reference"):
        # The first weights of the classes are random.
        torch.manual_seed(0)
        twin = copy.deepcopy(model)
        part = twin.head.parameters() if engine == "reference" else twin.parameters()
        optimizer = torch.optim.SGD([p for p in part if p.requires_grad], lr=0.1)
        method = gdw.GDW(twin, optimizer, preset="paper", hypergradient=engine)
        found.append(method.backward(batch, meta).hypergradient)
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)


class TestSaving:
    @pytest.mark.parametrize("finetune", ["all", "head+norm", "lora"])
    def test_a_network_is_read_without_its_folder(self, finetune, tmp_path):
        if finetune == "lora":
            pytest.importorskip("peft")
        original = save_bert(tmp_path / "model")
        backbone = load_backbone(str(original))
        model = build_finetuned(backbone, 3, finetune, seed=5).eval()
        TokenEncoder(backbone.preprocessing).save(tmp_path / "encoder")
        write_network(tmp_path / "encoder", backbone, finetune)
        (original / "config.json").unlink()
        again = read_network(tmp_path / "encoder", 3).eval()
        again.load_state_dict(model.state_dict())
        loaded = load_encoder(tmp_path / "encoder")
        batch = loaded.preprocessing(TEXTS)
        assert torch.equal(batch, backbone.preprocessing(TEXTS))
        with torch.no_grad():
            assert torch.equal(again(batch), model(batch))
        record = json.loads((tmp_path / "encoder" / "network.json").read_text())
        assert str(tmp_path) not in json.dumps(record["architecture"])

    def test_a_module_of_the_user_cannot_be_saved(self, tmp_path):
        backbone = of_module(nn.Flatten(), kind="image", image_size=4)
        with pytest.raises(ConfigError, match=r"a module of yours.*gdw.Trainer"):
            write_network(tmp_path, backbone, "all")

    def test_a_damaged_record_is_one_line(self, bert, tmp_path):
        write_network(tmp_path, bert, "all")
        path = tmp_path / "network.json"
        path.write_text(path.read_text().replace('"width": 8', '"width": "x"'))
        with pytest.raises(RunError, match=r"network.json is damaged") as caught:
            read_network(tmp_path, 2)
        assert "\n" not in str(caught.value)


class TestClassifierOfTransformers:
    """`AutoModelForSequenceClassification` in `gdw.Trainer`, on tokenised items of different lengths."""

    def items(self):
        encoded = tokenizer()(TEXTS)
        keys = ("input_ids", "attention_mask")
        return [
            {**{key: encoded[key][row] for key in keys}, "label": int(LABELS[row])}
            for row in range(len(TEXTS))
        ]

    @pytest.mark.parametrize("method", ["plain", "gdw", "robust"])
    def test_it_is_trained(self, method, tmp_path):
        import transformers

        folder = save_bert(tmp_path, "BertForSequenceClassification")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        before = copy.deepcopy(model.state_dict())
        items = 4 * self.items()
        options = {"preset": "paper", "hypergradient": "head"} if method == "gdw" else {}
        trainer = gdw.Trainer(
            method=method, method_options=options, epochs=2, batch_size=8, meta_batch_size=4,
            optimizer="adamw", lr=1e-2, progress="none",
        )  # fmt: skip
        result = trainer.fit(model, items, None if method == "plain" else items, test=items)
        assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert {"classifier.weight", "bert.embeddings.word_embeddings.weight"} <= changed

    def test_padding_changes_no_prediction(self, tmp_path):
        import transformers

        folder = save_bert(tmp_path, "BertForSequenceClassification")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).double()
        items = self.items()
        (_, together), *_ = predict_probabilities(model, items)
        for row, item in enumerate(items):
            (_, alone), *_ = predict_probabilities(model, 3 * [item])
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-7)
