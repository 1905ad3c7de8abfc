"""Arrays: features standardised, images of any scale to bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from gdw.data import fit_encoder, load_encoder
from gdw.data.source import from_arrays
from gdw.errors import DataError


def _source(X):
    return from_arrays(X, np.arange(len(X)) % 2)


def _numpy_state():
    return np.random.get_state()[1].copy()  # noqa: NPY002


def _all(inputs):
    return inputs[np.arange(len(inputs))]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(1, 5))
def test_features_have_zero_mean_and_unit_variance(seed, rows, columns):
    draws = np.random.default_rng(seed)
    X = draws.normal(draws.normal(0, 50, columns), draws.uniform(0.1, 9, columns), (rows, columns))
    encoded = _all(fit_encoder(_source(X)).encode(_source(X)))
    assert encoded.dtype == torch.float32
    np.testing.assert_allclose(encoded.mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(encoded.std(dim=0, correction=0), 1, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_features_of_every_numeric_type_and_constants_survive(dtype):
    X = np.array([[0, 1], [1, 1], [0, 1], [1, 1]]).astype(dtype)
    encoded = _all(fit_encoder(_source(X)).encode(_source(X)))
    assert encoded.tolist() == [[-1, 0], [1, 0], [-1, 0], [1, 0]]


def test_features_use_the_statistics_of_training(monkeypatch):
    monkeypatch.setattr("gdw.data.encode.features.CHUNK", 3)
    train = np.array([[0.0], [2.0], [0.0], [2.0]])
    encoder = fit_encoder(_source(train))
    assert encoder.input_shape == (1,)
    assert _all(encoder.encode(_source(train))).tolist() == [[-1.0], [1.0], [-1.0], [1.0]]
    other = _source(np.array([[5.0], [1.0]]))
    assert _all(encoder.encode(other)).tolist() == [[4.0], [0.0]]


def test_features_of_another_width_are_refused():
    encoder = fit_encoder(_source(np.eye(4)))
    with pytest.raises(DataError, match=r"expected 4 features as in training, found 3"):
        encoder.encode(_source(np.ones((2, 3))))
    with pytest.raises(DataError, match=r"expected features of shape \(N, F\).*\(2, 4, 4\)"):
        encoder.encode(_source(np.ones((2, 4, 4))))
    with pytest.raises(DataError, match=r"row 1 of arrays: column 1 holds 1e\+300"):
        encoder.encode(_source(np.array([[0, 0, 0, 0], [0, 1e300, 0, 0]])))


def test_bytes_stay_as_they_are_and_grey_becomes_three_channels():
    draws = np.random.default_rng(0)
    grey = draws.integers(0, 9, (4, 6, 5), dtype=np.uint8)
    encoder = fit_encoder(_source(grey))
    assert encoder.input_shape == (3, 6, 5)
    found = encoder.encode(_source(grey))[[2, 0]]
    assert found.shape == (2, 3, 6, 5)
    assert found.dtype == torch.uint8
    for channel in range(3):
        assert np.array_equal(found[:, channel], grey[[2, 0]])
    colour = draws.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    found = _all(fit_encoder(_source(colour)).encode(_source(colour)))
    assert np.array_equal(found, colour.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("high", "dtype"), [(1, np.bool_), (1, np.float32), (16, np.float64), (255, np.int64)]
)
def test_common_scales_are_recognised(high, dtype):
    X = np.zeros((4, 3, 3)).astype(dtype)
    X[0, 0, 0] = high
    found = _all(fit_encoder(_source(X)).encode(_source(X)))
    assert found[0, :, 0, 0].tolist() == [255] * 3
    assert int(found.sum()) == 3 * 255


def test_scales_reach_to_negative_pixels_and_are_those_of_training():
    train = _source(np.array([[[-1.0, 3.0]], [[1.0, 1.0]]]))
    encoder = fit_encoder(train)
    assert _all(encoder.encode(train))[:, 0, 0].tolist() == [[0, 255], [128, 128]]
    beyond = _source(np.array([[[-9.0, 9.0]]]))
    assert _all(encoder.encode(beyond))[0, 0, 0].tolist() == [0, 255]


def test_digits_keep_all_their_levels():
    images = load_digits().images
    source = _source(images)
    encoder = fit_encoder(source)
    found = _all(encoder.encode(source))
    assert np.array_equal(np.rint(found[:, 0].numpy() / 255 * 16), images)
    assert encoder.mean_std[0][0] == pytest.approx(found.double().mean().item() / 255, rel=1e-6)


def test_resizing_makes_squares():
    flat = np.full((2, 4, 6), 7, dtype=np.uint8)
    encoder = fit_encoder(_source(flat), image_size=10)
    assert encoder.input_shape == (3, 10, 10)
    found = _all(encoder.encode(_source(flat)))
    assert torch.equal(found, torch.full((2, 3, 10, 10), 7, dtype=torch.uint8))
    larger = _source(np.full((1, 9, 9, 3), 8, dtype=np.uint8))
    assert torch.equal(
        _all(encoder.encode(larger)), torch.full((1, 3, 10, 10), 8, dtype=torch.uint8)
    )


def test_images_of_another_size_are_refused():
    encoder = fit_encoder(_source(np.zeros((2, 4, 4))))
    with pytest.raises(DataError, match=r"images of 4 x 4 pixels as in training, found 5 x 4"):
        encoder.encode(_source(np.zeros((2, 5, 4))))
    with pytest.raises(DataError, match=r"expected images of shape \(N, H, W\).*\(1, 4\)"):
        encoder.encode(_source(np.zeros((2, 4))))


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("shape", [(6, 4), (6, 5, 5), (6, 5, 5, 3)])
def test_a_saved_encoder_encodes_the_same(shape, size, tmp_path):
    source = _source(np.random.default_rng(1).normal(size=shape))
    encoder = fit_encoder(source, image_size=size)
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.kind == "array"
    assert loaded.input_shape == encoder.input_shape
    assert loaded.mean_std == encoder.mean_std
    assert torch.equal(_all(loaded.encode(source)), _all(encoder.encode(source)))


def test_fitting_and_encoding_leave_the_global_random_state_alone():
    torch_before, numpy_before = torch.random.get_rng_state(), _numpy_state()
    for shape in ((6, 4), (6, 5, 5)):
        source = _source(np.random.default_rng(1).normal(size=shape))
        fit_encoder(source).encode(source)
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert np.array_equal(_numpy_state(), numpy_before)
