"""Image and text models of transformers and sentence-transformers, from local folders."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gdw.backbones import load_backbone, of_module
from gdw.backbones.names import kind_of
from gdw.backbones.rebuilding import rebuilt
from gdw.errors import ConfigError
from tests.backbones.tiny_models import save_bert, save_vit, tokenizer

transformers = pytest.importorskip("transformers")

TEXTS = ["a b c", "d", "e f g h a b", ""]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_vit(tmp_path_factory.mktemp("models") / "vit")


def pictures(count=2):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def mean_by_hand(folder, texts):
    """One text at a time, without padding."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            out = model(**tokenizer()(text, return_tensors="pt"))
        rows.append(out.last_hidden_state[0].mean(0))
    return torch.stack(rows)


def test_features_of_texts_are_the_mean_over_their_tokens(bert):
    backbone = load_backbone(str(bert))
    assert (backbone.kind, backbone.width) == ("text", 8)
    expected = mean_by_hand(bert, TEXTS)
    torch.testing.assert_close(backbone.features(TEXTS), expected, rtol=1e-4, atol=1e-5)


def test_padding_does_not_change_features(bert):
    backbone = load_backbone(f"hf:{bert}")
    module, tokens = backbone.module.double(), backbone.preprocessing(TEXTS)
    wider = torch.nn.functional.pad(tokens, (0, 5), value=-1)
    with torch.no_grad():
        together, alone = module(wider), torch.cat([module(t[t >= 0][None]) for t in tokens])
    torch.testing.assert_close(together, module(tokens), rtol=0, atol=1e-13)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


def test_longer_texts_are_cut_and_counted(bert):
    preprocessing = load_backbone(str(bert)).preprocessing
    assert preprocessing.limit == 16
    tokens, cut = preprocessing.tokenised(["a " * 14, "a " * 15, "a"])
    assert ([len(one) for one in tokens], cut) == ([16, 16, 3], 1)
    assert tokens[1][-1] == tokens[0][-1] == 3
    assert preprocessing.note(1, 3) == "1 of 3 texts is longer than 16 tokens: the rest is not used"


def test_a_classifier_gives_its_encoder(tmp_path, bert):
    folder = save_bert(tmp_path / "c", "BertForSequenceClassification")
    backbone = load_backbone(str(folder))
    assert backbone.width == 8
    assert not any("pooler" in name for name, _ in backbone.module.named_parameters())


def test_pooled_features_of_images_are_those_of_the_model(vit):
    backbone = load_backbone(str(vit))
    pixels = np.stack(
        [np.asarray(p.resize((16, 16), Image.Resampling.BILINEAR)) for p in pictures()]
    )
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    model = transformers.AutoModel.from_pretrained(vit).eval()
    with torch.no_grad():
        expected = model(x).pooler_output
    torch.testing.assert_close(backbone.features(pictures()), expected, rtol=1e-4, atol=1e-5)
    assert backbone.architecture["pooling"] == "pooler"


def test_a_pooler_without_weights_is_not_used(tmp_path):
    backbone = load_backbone(str(save_vit(tmp_path / "c", "ViTForImageClassification")))
    assert backbone.architecture["pooling"] == "cls"
    with torch.no_grad():
        hidden = backbone.module.network.model(torch.zeros(1, 3, 16, 16)).last_hidden_state
        features = backbone.module.network(torch.zeros(1, 3, 16, 16))
    assert torch.equal(features, hidden[:, 0])


def test_other_sizes_of_images(vit):
    assert load_backbone(str(vit), image_size=24).features(pictures()).shape == (2, 8)
    with pytest.raises(ConfigError, match=r"does not accept images of 4 x 4 pixels.*image_size"):
        load_backbone(str(vit), image_size=4)


def test_fingerprints_tell_weights_and_sizes_apart(vit, bert, tmp_path):
    again, larger = load_backbone(str(vit)), load_backbone(str(vit), image_size=24)
    torch.manual_seed(1)
    other = save_bert(tmp_path / "other")
    state = transformers.AutoModel.from_pretrained(other)
    state.embeddings.word_embeddings.weight.data[5] += 1
    state.save_pretrained(other)
    found = [load_backbone(str(folder)) for folder in (bert, bert, other)]
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    assert again.fingerprint == load_backbone(str(vit)).fingerprint != larger.fingerprint


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_a_network_is_rebuilt_from_its_record(kind, request):
    backbone = load_backbone(str(request.getfixturevalue(kind)))
    record = json.loads(json.dumps(backbone.architecture))
    network = rebuilt(record).eval()
    network.load_state_dict(backbone.module.state_dict())
    raw = TEXTS if kind == "bert" else pictures()
    inputs = backbone.preprocessing(raw)
    with torch.no_grad():
        assert torch.equal(network(inputs), backbone.module(inputs))


def test_weights_that_do_not_fit_are_named(bert, tmp_path):
    folder = save_bert(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(
        ConfigError, match=r"do not fit its config.json: no tensor 'encoder.layer.2"
    ):
        load_backbone(str(folder))
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    shape = r"do not fit its config.json: '.*' has another shape; copy the whole model again"
    with pytest.raises(ConfigError, match=shape) as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = save_bert(tmp_path / "m")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ConfigError, match=r"has no tokenizer.*knows no word.*save one there"):
        load_backbone(str(folder), kind="text")


def test_damaged_weights_are_one_line(tmp_path):
    folder = save_bert(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"\x08" * 40)
    with pytest.raises(ConfigError, match="cannot load") as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)


def test_a_backbone_for_other_data_is_refused(bert):
    with pytest.raises(ConfigError, match="takes texts, and the data are images"):
        load_backbone(str(bert), kind="image")
    assert kind_of(f"hf:{bert}") == "text"


def test_models_of_transformers_as_modules(bert, vit):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
    ours = of_module(model, kind="text", tokenizer=tokenizer())
    expected = load_backbone(str(bert)).features(TEXTS)
    torch.testing.assert_close(ours.features(TEXTS), expected)
    image = of_module(
        transformers.AutoModel.from_pretrained(vit), kind="image", mean_std=([0.5] * 3, [0.5] * 3)
    )
    assert image.preprocessing.image_size == 16


@pytest.fixture
def sentences(tmp_path):
    """A folder as sentence-transformers writes it; that library takes too long to import for a test."""
    save_bert(tmp_path)
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    parts = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{k}_{kind}" if k else ""}
        for k, kind in enumerate(kinds)
    ]
    for part in parts[1:]:
        (tmp_path / part["path"]).mkdir()
    (tmp_path / "modules.json").write_text(json.dumps(parts))
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    (tmp_path / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}'
    )
    (tmp_path / "2_Dense" / "config.json").write_text(
        '{"in_features": 8, "out_features": 5, "bias": true, '
        '"activation_function": "torch.nn.modules.activation.Tanh"}'
    )
    weights = {"linear.weight": torch.randn(5, 8), "linear.bias": torch.randn(5)}
    save_file(weights, tmp_path / "2_Dense" / "model.safetensors")
    return tmp_path, weights


def test_a_folder_of_sentence_transformers(sentences):
    folder, weights = sentences
    backbone = load_backbone(str(folder))
    short = TEXTS[:2]
    dense = mean_by_hand(folder, short) @ weights["linear.weight"].T + weights["linear.bias"]
    expected = torch.nn.functional.normalize(dense.tanh(), dim=1)
    torch.testing.assert_close(backbone.features(short), expected, rtol=1e-4, atol=1e-5)
    assert backbone.preprocessing.tokenised(TEXTS)[1] == 1
    network = rebuilt(json.loads(json.dumps(backbone.architecture))).eval()
    network.load_state_dict(backbone.module.state_dict())
    assert torch.equal(network(backbone.preprocessing(TEXTS)), backbone.features(TEXTS))


def test_a_module_that_gdw_does_not_know_is_named(sentences):
    folder, _ = sentences
    (folder / "modules.json").write_text('[{"type": "a.models.LSTM", "path": ""}]')
    with pytest.raises(ConfigError, match=r"modules that gdw does not know \(LSTM\)"):
        load_backbone(str(folder))


def test_the_prompt_of_a_model_is_put_before_each_text(sentences):
    folder, _ = sentences
    (folder / "config_sentence_transformers.json").write_text(
        '{"default_prompt_name": "query", "prompts": {"query": "h "}}'
    )
    assert load_backbone(str(folder)).preprocessing(["a"]).tolist() == [[2, 11, 4, 3]]
