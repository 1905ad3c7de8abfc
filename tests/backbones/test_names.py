"""Names of backbones, what a folder holds, and what is said before PyTorch is imported."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gdw.backbones import hub as own_hub
from gdw.backbones import names
from gdw.backbones.names import kind_of, packaged, parse, require_available, require_installed
from gdw.errors import ConfigError, MissingDependencyError


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def saved(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


SENTENCES = {"modules.json": [], "model.safetensors": ""}
BERT = {"config.json": {"model_type": "bert", "vocab_size": 9}, "model.safetensors": ""}
VIT = {"config.json": {"model_type": "vit", "image_size": 32}, "model.safetensors": ""}
TIMM = {"config.json": {"architecture": "resnet18"}, "model.safetensors": ""}


@pytest.mark.parametrize(
    ("name", "library", "rest"),
    [
        ("package:minilm", "package", "minilm"),
        ("timm:vit_tiny_patch16_224.augreg", "timm", "vit_tiny_patch16_224.augreg"),
        ("torchvision:resnet18", "torchvision", "resnet18"),
        ("hf:google/vit-base", "hf", "google/vit-base"),
        ("sentence-transformers:all-MiniLM-L6-v2", "sentence-transformers", "all-MiniLM-L6-v2"),
        ("./model", "folder", "./model"),
    ],
)
def test_a_name_is_split_into_library_and_name(name, library, rest):
    parsed = parse(name)
    assert (parsed.library, parsed.name, str(parsed)) == (library, rest, name)


def test_a_short_name_of_sentence_transformers_is_in_their_repository():
    assert parse("sentence-transformers:minilm").repository == "sentence-transformers/minilm"
    assert parse("sentence-transformers:a/b").repository == "a/b"
    assert parse("hf:a/b").repository == "a/b"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilm", "Did you mean 'package:minilm'"),
        ("package:minlm", "Did you mean 'package:minilm'"),
        ("hf:", "expected a name after 'hf:'"),
        ("google/vit", "no folder google/vit; for the model of the Hub write 'hf:google/vit'"),
        ("sentence-transformers/x", "write 'sentence-transformers:sentence-transformers/x'"),
        ("./nothing", "no folder nothing"),
        ("hf:a/b", r"not on this machine: a/b would be fetched .* \(HF_HUB_OFFLINE is set\)"),
    ],
)
def test_names_that_cannot_be_used_say_why(name, message, monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda module: object())
    with pytest.raises(ConfigError, match=message) as caught:
        require_available(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_network_that_its_library_does_not_have_gets_the_nearest(library):
    pytest.importorskip(library)
    require_available(f"{library}:resnet18")
    with pytest.raises(ConfigError, match=r"no network 'resnet19'.*Did you mean 'resnet"):
        require_available(f"{library}:resnet19")
    with pytest.raises(ConfigError, match=r"Did you mean 'torchvision:resnet18'"):
        parse("resnet18")


def test_the_names_are_those_that_the_libraries_list():
    models = pytest.importorskip("torchvision.models")
    from gdw.backbones.architectures import known_names

    assert known_names("torchvision") == set(models.list_models(module=models))
    timm = pytest.importorskip("timm")
    assert known_names("timm") == set(timm.list_models())


@pytest.mark.parametrize(
    ("files", "kind"),
    [(SENTENCES, "text"), (BERT, "text"), (VIT, "image"), (TIMM, "image")],
    ids=["sentence-transformers", "bert", "vit", "timm"],
)
def test_a_folder_says_what_it_takes(files, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda module: object())
    folder = saved(tmp_path / "m", files)
    require_available(str(folder))
    assert kind_of(str(folder)) == kind


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.md": ""}, "holds no model: expected modules.json"),
        ({"adapter_config.json": {}}, "LoRA adapter.*merge_and_unload"),
        ({**BERT, "config.json": "{"}, "cannot read .*config.json.*copy the model again"),
        ({"config.json": {"model_type": "bert"}}, "holds no weights: expected model.safetensors"),
        (
            {"config.json": {"model_type": "bert"}, "pytorch_model.bin": ""},
            "pytorch_model.bin is pickled, which can run code.*save_pretrained",
        ),
        ({"config.json": {"architecture": "x"}, "pytorch_model.bin": ""}, "weights_only=True"),
    ],
)
def test_a_folder_without_a_usable_model_says_what_it_lacks(files, message, tmp_path):
    folder = saved(tmp_path / "m", files)
    with pytest.raises(ConfigError, match=message) as caught:
        require_available(str(folder))
    assert "\n" not in str(caught.value)


def test_the_file_of_weights_is_not_the_folder(tmp_path):
    folder = saved(tmp_path / "m", BERT)
    with pytest.raises(ConfigError, match="is a file: expected the folder"):
        require_available(str(folder / "model.safetensors"))
    with pytest.raises(ConfigError, match=r"holds a model of hf: write hf:"):
        require_available(f"sentence-transformers:{folder}")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("package:efficientnet-lite0", r"pip install 'gdw\[features\]'"),
        ("package:minilm", r"pip install 'gdw\[features\]'"),
        ("timm:resnet18", r"pip install 'gdw\[vision\]'"),
        ("hf:a/b", r"pip install 'gdw\[text\]'"),
    ],
)
def test_a_missing_library_names_the_command_that_installs_it(name, command, monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda module: None)
    for check in (require_available, require_installed):
        with pytest.raises(MissingDependencyError, match=command):
            check(name)
    assert packaged("image") is packaged("text") is None


def test_the_packages_that_ship_weights(monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda module: object())
    assert packaged("image") == "package:efficientnet-lite0"
    assert packaged("text") == "package:minilm"
    assert packaged("table") is None


def test_checks_do_not_import_torch():
    script = (
        "import sys\nfrom gdw.backbones.names import require_available\n"
        "for name in ('package:minilm', 'timm:resnet19', 'hf:a/b'):\n"
        "    try: require_available(name)\n    except Exception: pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


class TestHub:
    """What the Hub answers, without a network."""

    @pytest.fixture
    def answer(self, monkeypatch):
        hub = pytest.importorskip("huggingface_hub")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(names, "find_spec", lambda module: object())
        own_hub._sizes.cache_clear()

        def set_files(**sizes):
            files = [
                SimpleNamespace(rfilename=name.replace("_", "."), size=size)
                for name, size in sizes.items()
            ]
            found = SimpleNamespace(siblings=files)
            monkeypatch.setattr(hub.HfApi, "model_info", lambda *a, **k: found)

        return set_files

    def test_a_model_with_safetensors_is_taken(self, answer):
        answer(config_json=100, model_safetensors=91_000_000, pytorch_bin=91_000_000)
        require_available("hf:a/b")

    def test_pickled_weights_are_refused(self, answer):
        answer(config_json=100, pytorch_bin=91_000_000)
        with pytest.raises(
            ConfigError, match=r"no safetensors, only pickled weights \(pytorch.bin\)"
        ):
            require_available("hf:a/b")

    def test_only_what_is_wanted_counts(self):
        from gdw.backbones.hub import _is_wanted, size_in_words

        wanted = [
            _is_wanted(n) for n in ("model.safetensors", "onnx/model.json", "x.bin", "1_P/c.json")
        ]
        assert wanted == [True, False, False, True]
        assert (size_in_words(90_868_376), size_in_words(0)) == (" (91 MB)", "")
