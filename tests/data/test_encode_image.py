"""Image files to squares of bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gdw.data import Examples, fit_encoder, from_arrays, load, load_encoder
from gdw.data.encode.image import ImagesOnDemand, evenly_spaced, square
from gdw.data.encode.pixels import PixelInputs, PixelsOnDemand
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError
from gdw.files.memory import free_memory, memory_share


@pytest.fixture
def folder(tmp_path):
    """Eight random pictures of 12 x 12 pixels, four a class, stored without loss."""
    draws = np.random.default_rng(0)
    root = tmp_path / "images"
    for i in range(8):
        path = root / "ab"[i // 4] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return root


def _pixels(root):
    files = sorted(root.glob("*/*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)


def test_images_of_the_right_size_keep_every_pixel(folder):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    inputs = encoder.encode(source)
    assert encoder.input_shape == (3, 12, 12)
    assert inputs[[0, 7]].dtype == torch.uint8
    assert np.array_equal(inputs[np.arange(8)].numpy(), _pixels(folder))


def test_mean_and_std_are_those_of_the_pixels(folder):
    mean, std = fit_encoder(load(folder, label="label"), image_size=12).mean_std
    unit = _pixels(folder) / 255
    assert mean == pytest.approx(unit.mean(axis=(0, 2, 3)), rel=1e-9)
    assert std == pytest.approx(unit.std(axis=(0, 2, 3)), rel=1e-9)


def test_the_size_is_32_for_small_images_and_224_for_larger(folder, tmp_path):
    assert fit_encoder(load(folder, label="label")).image_size == 32
    for name in "ab":
        (tmp_path / "large" / name).mkdir(parents=True)
        Image.new("RGB", (90, 65)).save(tmp_path / "large" / name / "0.png")
    encoder = fit_encoder(load(tmp_path / "large", label="label"))
    assert encoder.image_size == 224
    assert encoder.mean_std == ((0.0,) * 3, (1.0,) * 3), "black images have no spread to divide by"


def test_the_middle_of_the_longer_side_is_kept():
    pixels = np.zeros((4, 10, 3), dtype=np.uint8)
    pixels[:, 3:7] = 200
    assert np.array_equal(square(Image.fromarray(pixels), 4), np.full((3, 4, 4), 200))
    tall = Image.fromarray(pixels.transpose(1, 0, 2))
    assert np.array_equal(square(tall, 4), np.full((3, 4, 4), 200))


def test_shrinking_averages_instead_of_skipping():
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = square(Image.fromarray(stripes), 8)
    # the filter is cut off at the borders; picking single columns would give 0 or 255
    assert abs(small.astype(int) - 128).max() <= 8
    assert (small[:, :, 1:-1] == 128).all()


def test_images_beyond_the_memory_limit_are_decoded_on_demand(folder, monkeypatch):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    held = encoder.encode(source)
    lean = type(encoder)(12, encoder.mean_std, memory_limit=8 * 3 * 12 * 12 - 1)
    inputs = lean.encode(source)
    assert isinstance(inputs, ImagesOnDemand)
    assert len(inputs) == 8
    assert torch.equal(inputs[[5, 1, 1]], held[[5, 1, 1]])
    assert inputs[[]].shape == (0, 3, 12, 12)


@pytest.fixture
def decoded(monkeypatch):
    """How many images have been decoded so far: one entry a call, from any thread."""
    counts = []
    images = Source.images

    def counting(self, indices, **options):
        counts.append(len(indices))
        return images(self, indices, **options)

    monkeypatch.setattr(Source, "images", counting)
    return counts


def test_no_image_that_fits_is_decoded_twice(folder, decoded):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    inputs = encoder.encode(source)
    for _ in range(2):
        assert np.array_equal(inputs[np.arange(8)].numpy(), _pixels(folder))
    assert sum(decoded) == 8
    part = source.select(np.arange(4, 7))
    assert np.array_equal(encoder.encode(part)[np.arange(3)].numpy(), _pixels(folder)[4:7])


def test_what_does_not_fit_is_never_decoded_whole(folder, decoded, monkeypatch):
    monkeypatch.setattr("gdw.data.encode.image.memory_share", lambda: 8 * 3 * 12 * 12 - 1)
    monkeypatch.setattr("gdw.data.encode.image.STATISTICS_SAMPLE", 2)
    source = load(folder, label="label")
    inputs = fit_encoder(source, image_size=12).encode(source)
    assert sum(decoded) == 2
    assert np.array_equal(inputs[[3, 6]].numpy(), _pixels(folder)[[3, 6]])
    assert sum(decoded) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_trains_alike_on_images_held_and_streamed(folder, monkeypatch, workers):
    from gdw.train.feed import batches

    source = load(folder, label="label")
    order = [[5, 1, 1], [0, 7], [2]]
    found = []
    for share in (8 * 3 * 12 * 12, 1):
        monkeypatch.setattr("gdw.data.encode.image.memory_share", lambda share=share: share)
        inputs = fit_encoder(source, image_size=12).encode(source)
        examples = Examples(inputs, torch.from_numpy(source.labels.copy()))
        found.append(list(batches(examples, order, workers=workers)))
    assert isinstance(inputs, ImagesOnDemand)
    for held, streamed in zip(*found, strict=True):
        assert torch.equal(held[0], streamed[0])
        assert torch.equal(held[1], streamed[1])


def test_a_small_batch_is_decoded_by_all_threads(folder, decoded, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    inputs = ImagesOnDemand(load(folder, label="label"), 12)
    inputs[np.arange(8)]
    assert decoded == [2, 2, 2, 2]


def test_arrays_are_copied_only_where_conversion_pays(monkeypatch):
    draws = np.random.default_rng(0)
    y = np.arange(6) % 2
    bytes_ = from_arrays(draws.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8), y)
    unit = from_arrays(bytes_.array() / 255, y)
    expected = torch.from_numpy(bytes_.array().transpose(0, 3, 1, 2).copy())
    for source, kind in ((bytes_, PixelsOnDemand), (unit, PixelInputs)):
        inputs = fit_encoder(source).encode(source)
        assert type(inputs) is kind
        assert torch.equal(inputs[np.arange(6)], expected)
        assert inputs[[4, -1]].is_contiguous()
        assert torch.equal(inputs[[4, -1]], expected[[4, -1]])
        assert len(inputs) == 6
    resized = fit_encoder(bytes_, image_size=9)
    held = resized.encode(bytes_)
    monkeypatch.setattr("gdw.data.encode.pixels.memory_share", lambda: 6 * 3 * 9 * 9 - 1)
    streamed = resized.encode(bytes_)
    assert (type(held), type(streamed)) == (PixelInputs, PixelsOnDemand)
    assert streamed.on_demand
    assert torch.equal(held[[1, 5]], streamed[[1, 5]])


def _system(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return free_memory(root)


def test_free_memory_is_what_machine_and_container_leave(tmp_path):
    meminfo = {"proc/meminfo": "MemTotal:  900 kB\nMemAvailable:  600 kB\n"}
    assert _system(tmp_path, {}) == 8 * 2**30, "a guess where nothing is said"
    assert _system(tmp_path, meminfo) == 600 * 1024
    second = {"memory.max": "max\n", "memory.current": "1000\n"}
    second = {f"sys/fs/cgroup/{name}": text for name, text in second.items()}
    assert _system(tmp_path, second) == 600 * 1024
    assert _system(tmp_path, {"sys/fs/cgroup/memory.max": "5000\n"}) == 4000
    assert _system(tmp_path, {"sys/fs/cgroup/memory.stat": "anon 7\ninactive_file 300\n"}) == 4300
    first = {"limit_in_bytes": "3000", "usage_in_bytes": "3500"}
    first = {f"sys/fs/cgroup/memory/memory.{name}": text for name, text in first.items()}
    assert _system(tmp_path, first) == 0


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr("gdw.files.memory.free_memory", lambda: 1200)
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert memory_share() == 600
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert memory_share() == 100
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert memory_share() == 300


def test_chunks_keep_the_order(folder, monkeypatch):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=12)
    monkeypatch.setattr("gdw.data.encode.image.CHUNK", 3)
    assert np.array_equal(encoder.encode(source)[np.arange(8)].numpy(), _pixels(folder))


def test_an_unreadable_image_is_named(folder):
    source = load(folder, label="label")
    for name in ("6", "7"):
        (folder / "b" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"6\.png.*\(2 images cannot be read\)"):
        fit_encoder(source, image_size=12)


def test_a_saved_encoder_encodes_the_same(folder, tmp_path):
    source = load(folder, label="label")
    encoder = fit_encoder(source, image_size=9)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.mean_std == encoder.mean_std
    assert loaded.input_shape == (3, 9, 9)
    assert torch.equal(loaded.encode(source)[np.arange(8)], encoder.encode(source)[np.arange(8)])


def test_wrong_sizes_are_refused(folder):
    with pytest.raises(ConfigError, match="image_size of 1 pixel or more, found 0"):
        fit_encoder(load(folder, label="label"), image_size=0)


@pytest.mark.parametrize(("length", "count"), [(10, 4), (3, 8), (1, 1), (1000, 999)])
def test_spread_samples_both_ends_and_repeats_nothing(length, count):
    found = evenly_spaced(length, count)
    assert found[0] == 0
    assert found[-1] == length - 1
    assert len(found) == min(count, length)
    assert len(set(found.tolist())) == len(found)
