"""Unicode in texts and labels: composed and decomposed, combining marks, and spellings that look the same."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from gdw.data import fit_encoder, load, load_encoder, train_and_clean
from gdw.data.encode.encoder import SETTINGS
from gdw.data.encode.text import TextEncoder, _marks
from gdw.data.labels import label_key
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError
from gdw.runs.schema import Schema

from .files import image_folder, png

N = 40
CAFE, DECOMPOSED = "café", unicodedata.normalize("NFD", "café")


def texts(path: Path, *lines: str) -> Source:
    rows = [f"{line}\t{'ab'[i % 2]}" for i, line in enumerate(lines)]
    path.write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    return load(path, label="label", text="text")


def words(source: Source) -> list[str]:
    encoder = fit_encoder(source)
    assert isinstance(encoder, TextEncoder)
    return [term for term in encoder.vocabulary if " " not in term]


def labelled(path: Path, *labels: str) -> Path:
    rows = [f"{i % 7}.5,{labels[i % len(labels)]}" for i in range(N)]
    path.write_text("\n".join(["x,label", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "हिन्दी में किताब",
        "தமிழ் நூல்",
        "বাংলা ভাষা",
        "שָׁלוֹם עוֹלָם",
        "ग्रीष्म की छुट्टी",
        "naïve café",
        "tiếng Việt",
    ],
)
def test_combining_marks_are_parts_of_words(tmp_path: Path, text: str) -> None:
    for form in ("NFC", "NFD"):
        source = texts(tmp_path / "x.tsv", *[unicodedata.normalize(form, text)] * 2)
        expected = unicodedata.normalize("NFC", text).lower().split()
        assert words(source) == sorted(expected)


def test_marks_that_only_choose_a_drawing_make_no_words(tmp_path: Path) -> None:
    source = texts(tmp_path / "x.tsv", "I ❤\ufe0f it, 5\ufe0f\u20e3 snake_case don't", "a b")
    assert words(source) == ["5", "a", "b", "don", "i", "it", "snake_case", "t"]


def test_composed_and_decomposed_texts_are_encoded_alike(tmp_path: Path) -> None:
    source = texts(tmp_path / "x.tsv", "un café noir", "du thé vert")
    other = texts(tmp_path / "y.tsv", f"un {DECOMPOSED} noir", "du the\u0301 vert")
    encoder = fit_encoder(source)
    one, two = (encoder.encode(s)[np.arange(2)].numpy() for s in (source, other))
    assert np.array_equal(one, two)


def test_a_saved_encoder_of_0_1_0_keeps_its_words(tmp_path: Path) -> None:
    source = texts(tmp_path / "x.tsv", "हिन्दी में", f"un {DECOMPOSED}")
    former = ("हिन्दी", "cafe", "ह", "न", "द")
    settings = {"format": 1, "encoder": "text", "by_character": False}
    content = {**settings, "vocabulary": former, "idf": [1.0] * len(former)}
    (tmp_path / SETTINGS).write_text(json.dumps(content), encoding="utf-8")
    encoded = load_encoder(tmp_path).encode(source)[np.arange(2)].numpy()
    assert (encoded > 0).tolist() == [
        [False, False, True, True, True],
        [False, True, False, False, False],
    ]
    fit_encoder(source).save(tmp_path)
    assert json.loads((tmp_path / SETTINGS).read_text())["version"] == 2
    again = load_encoder(tmp_path)
    assert isinstance(again, TextEncoder)
    assert "हिन्दी" in again.vocabulary


def test_the_ranges_of_marks_are_those_of_unicode() -> None:
    import re

    pattern = re.compile(f"[{_marks()}]")
    for code in range(0x20000):
        is_mark = unicodedata.category(chr(code)) in ("Mn", "Mc")
        if is_mark != (pattern.fullmatch(chr(code)) is not None):
            assert 0xFE00 <= code <= 0xFE0F


def test_labels_are_composed(tmp_path: Path) -> None:
    source = load(labelled(tmp_path / "x.csv", CAFE, DECOMPOSED, "tea"), label="label")
    assert (source.label_names, source.notes) == ((CAFE, "tea"), ())
    later = load(labelled(tmp_path / "y.csv", DECOMPOSED), label="label", label_names=[CAFE, "tea"])
    assert later.labels is not None
    assert not later.labels.any()
    # The class names of an old run may be decomposed.
    old = load(labelled(tmp_path / "y.csv", CAFE), label="label", label_names=["tea", DECOMPOSED])
    assert old.labels is not None
    assert old.labels.all()
    folder = image_folder(tmp_path / "d", {f"{DECOMPOSED}/1.png": png(), "tea/1.png": png()})
    assert load(folder, label="label").label_names == (CAFE, "tea")


@pytest.mark.parametrize(
    "variants",
    [
        ("cat", "Cat"),
        ("pos", "pos\u200b"),
        ("hot dog", "hotdog"),
        ("hot dog", "hot\u00a0 dog"),
        ("straße", "STRASSE"),
        ("soft\u00adly", "softly"),
        ("\ufeffa", "a"),
        ("❤", "❤\ufe0f"),
    ],
)
def test_labels_that_look_alike_are_named_and_merged(
    tmp_path: Path, variants: tuple[str, str]
) -> None:
    usual, rare = variants
    assert label_key(usual) == label_key(rare)
    path = labelled(tmp_path / "x.csv", usual, usual, rare, "zebra")
    source = load(path, label="label")
    assert set(source.label_names) == {usual, rare, "zebra"}
    (note,) = source.notes
    assert f"{usual!r} (20)" in note
    assert f"{rare!r} (10)" in note
    assert "--merge-labels" in note
    merged = load(path, label="label", merge_labels=True)
    assert merged.label_names == tuple(sorted((usual, "zebra")))
    assert merged.labels is not None
    sizes = np.bincount(merged.labels).tolist()
    assert dict(zip(merged.label_names, sizes, strict=True)) == {usual: 30, "zebra": 10}
    assert merged.notes[0].startswith("merged labels that differ only in")


def test_labels_that_differ_in_letters_are_not_alike(tmp_path: Path) -> None:
    path = labelled(tmp_path / "x.csv", "resume", "résumé", "1", "10")
    assert load(path, label="label").notes == ()


def test_later_files_of_a_merged_run(tmp_path: Path) -> None:
    source = load(
        labelled(tmp_path / "x.csv", "cat", "cat", "Cat", "dog"), label="label", merge_labels=True
    )
    Schema.of(source).save(tmp_path)
    schema = Schema.read(tmp_path)
    later = schema.load(
        str(labelled(tmp_path / "y.csv", "CAT ", "Dog")), label="label", options=ReadOptions()
    )
    assert later.labels is not None
    assert later.labels[:2].tolist() == [0, 1]
    clean = load(labelled(tmp_path / "z.csv", "CAT", "dog"), label="label")
    _, meta = train_and_clean(source, meta=clean, seed=0)
    assert meta.labels is not None
    assert meta.labels[:2].tolist() == [0, 1]
    path = labelled(tmp_path / "w.csv", "cat", "dog")
    unmerged = Schema.of(load(path, label="label"))
    with pytest.raises(DataError, match=r"'CAT' .* differs from 'cat' only in case.*merge-labels"):
        unmerged.load(str(tmp_path / "y.csv"), label="label", options=ReadOptions())
