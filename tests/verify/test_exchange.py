"""Rows and answers in the files of other tools."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.data import load
from gdw.data.verification import Answer, Journal, Queue, answers_of, read, write_queue
from gdw.errors import ConfigError, DataError
from gdw.verify.exchange import export, imported
from gdw.verify.merging import add
from gdw.verify.serving import open_data
from tests.verify import made

ODD = ("=1+1", "1.10", "(cannot tell)", 'a,"b"\nc', "Ünö")


def answered(queue: Queue, said: Sequence[tuple[str, tuple[str, ...]]], who: str = "ann") -> Queue:
    journal = Journal(answers_of(queue.path))
    for row, (kind, labels) in zip(queue.candidates, said, strict=False):
        time = "2026-03-01T10:00:00Z"
        journal.append(Answer(row.index, row.digest, kind, labels, who, time, 2.5))
    journal.close()
    return queue


def exported(queue: Queue, path: Path, *, show_given: bool = False) -> Path:
    export(path, read(queue.path), open_data(queue), show_given=show_given)
    return path


def meaning(answers: Sequence[Answer]) -> set[tuple[Any, ...]]:
    return {
        (a.index, a.digest, a.answer, a.labels, a.annotator, a.time, a.seconds) for a in answers
    }


def texts(folder: Path) -> Queue:
    lines = [f"<b>text</b> number {i} of several words" for i in range(8)]
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((text, ODD[i % 5]) for i, text in enumerate(lines))]
        )
    source = load(folder / "t.csv", label="label", text="text", label_as_classes=True)
    return write_queue(
        folder / "v.jsonl", source, np.arange(8), label="label", data=folder / "t.csv"
    )


KINDS = {
    "table": lambda folder: made.table_queue(folder, classes=ODD),
    "text": texts,
    "image": made.image_queue,
}


@pytest.mark.parametrize("suffix", [".json", ".csv"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_back_as_they_went(tmp_path: Path, kind: str, suffix: str) -> None:
    queue = KINDS[kind](tmp_path)
    names = queue.label_names
    said = [("label", (name,)) for name in names[:3]]
    several = ("several", names[:2]) if "(cannot tell)" not in names[:2] else ("several", ())
    answered(queue, [*said, several, ("cannot_tell", ())])
    answered(queue, [("label", (names[-1],))], "Zoë")
    path = exported(queue, tmp_path / f"out{suffix}")
    found, unanswered = imported(path, queue, annotator="nobody")
    kept = read(queue.path).answers
    if "(cannot tell)" in names:
        # Where this is the name of a class, it means the class.
        kept = tuple(a for a in kept if a.answer != "cannot_tell")
        found = [a for a in found if a.index != queue.candidates[4].index]
    assert meaning(found) == meaning(kept)
    assert unanswered == len(queue) - len(said) - 2
    assert add(found, queue) == 0


def test_tasks_have_what_label_studio_shows_and_hide_the_label(tmp_path: Path) -> None:
    queue = texts(tmp_path)
    tasks = json.loads(exported(queue, tmp_path / "out.json").read_text("utf-8"))
    assert [task["data"]["text"] for task in tasks][:1] == ["<b>text</b> number 0 of several words"]
    assert tasks[0]["annotations"] == []
    assert not any("predictions" in task for task in tasks)
    root = ET.parse(tmp_path / "out.xml").getroot()
    text, choices = root.find("Text"), root.find("Choices")
    assert text is not None
    assert choices is not None
    assert text.get("value") == "$text"
    assert choices.get("toName") == text.get("name")
    offered = [choice.get("value") for choice in choices]
    assert offered == [*queue.label_names, "(cannot tell)", "(several classes)"]
    shown = json.loads(exported(queue, tmp_path / "given.json", show_given=True).read_text("utf-8"))
    (result,) = shown[0]["predictions"][0]["result"]
    assert result == {"from_name": choices.get("name"), "to_name": text.get("name"),
                      "type": "choices", "value": {"choices": ["=1+1"]}}  # fmt: skip


def test_pictures_are_in_the_tasks(tmp_path: Path) -> None:
    queue = made.image_queue(tmp_path)
    tasks = json.loads(exported(queue, tmp_path / "out.json").read_text())
    assert all(task["data"]["image"].startswith("data:image/png;base64,") for task in tasks)
    assert "images/a" not in (tmp_path / "out.json").read_text()


def task(queue: Queue, n: int, **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    row = queue.candidates[n]
    data = {"text": "…", "gdw_index": row.index, "gdw_digest": f"sha:{row.digest}"}
    return {"id": 40 + n, "data": data, "annotations": [], "predictions": [], "meta": {},
            "created_at": "2026-03-09T21:52:49.513742Z", "project": 83, "drafts": [], **more}  # fmt: skip


def annotation(*choices: str, **more: Any) -> dict[str, Any]:
    value = {"choices": list(choices)}
    result = {"id": "Dx_aB9", "type": "choices", "value": value, "origin": "manual",
              "to_name": "example", "from_name": "label"}  # fmt: skip
    return {"id": 1001, "completed_by": 10, "result": [result], "was_cancelled": False,
            "ground_truth": False, "created_at": "2026-03-09T22:16:08.728353Z",
            "updated_at": "2026-03-09T22:16:09.728378Z", "lead_time": 4.288, **more}  # fmt: skip


def test_an_export_of_label_studio(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    tasks = [
        task(queue, 0, annotations=[annotation("cat"), annotation("dog", completed_by={"email": "b@x.org"})]),
        task(queue, 1, annotations=[annotation("cat", "fox")]),
        task(queue, 2, annotations=[annotation("(cannot tell)", lead_time=None)]),
        task(queue, 3, annotations=[annotation(result=[], was_cancelled=True)]),
        task(queue, 4),
    ]  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    found, unanswered = imported(tmp_path / "export.json", queue, annotator="me")
    assert [(a.index, a.answer, a.labels, a.annotator, a.seconds) for a in found] == [
        (0, "label", ("cat",), "Label Studio 10", 4.288),
        (0, "label", ("dog",), "b@x.org", 4.288),
        (1, "several", ("cat", "fox"), "Label Studio 10", 4.288),
        (2, "cannot_tell", (), "Label Studio 10", None),
        (3, "skip", (), "Label Studio 10", 4.288),
    ]
    assert found[0].time == "2026-03-09T22:16:09.728378Z"
    assert unanswered == 1
    assert add(found, queue) == 5
    assert read(queue.path).counts["conflict"] == 1
    assert add(found, queue) == 0


def test_an_export_of_label_studio_in_the_form_json_min(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    rest = {"id": 5, "annotator": 2, "annotation_id": 7, "created_at": "2026-03-09T22:16:08Z",
            "updated_at": "2026-03-09T22:16:09Z", "lead_time": 3.5}  # fmt: skip
    choices: list[Any] = ["dog", {"choices": ["cat", "dog"]}, None]
    tasks = [
        {**task(queue, n)["data"], "label": choice, **rest} for n, choice in enumerate(choices)
    ]
    tasks[0]["kind"] = tasks[0].pop("label")  # the user has called the control another name
    (tmp_path / "min.json").write_text(json.dumps(tasks))
    found, unanswered = imported(tmp_path / "min.json", queue, annotator="me")
    assert [(a.index, a.answer, a.labels) for a in found] == [
        (0, "label", ("dog",)),
        (1, "several", ("cat", "dog")),
    ]
    assert (found[0].annotator, found[0].seconds, unanswered) == ("Label Studio 2", 3.5, 1)


@pytest.mark.parametrize("form", ["JSON", "JSON-MIN"])
def test_answers_that_went_to_label_studio_come_back_as_those_of_their_annotator(
    tmp_path: Path, form: str
) -> None:
    queue = answered(made.table_queue(tmp_path), [("label", ("cat",)), ("several", ("cat", "fox"))])
    tasks = json.loads(exported(queue, tmp_path / "tasks.json").read_text())
    # Label Studio names its own user, and bea of Label Studio has looked at the first row as well.
    sent = [
        {
            "data": task["data"],
            "annotations": [{**a, "completed_by": 1} for a in task["annotations"]],
        }
        for task in tasks
    ]
    for task in sent:
        for a in task["annotations"]:
            del a["gdw_annotator"]
    sent[0]["annotations"].append({**annotation("cat"), "completed_by": {"email": "bea"}})
    if form == "JSON-MIN":
        sent = [
            {**task["data"], "label": a["result"][0]["value"]["choices"][0], "annotator": 1}
            for task in sent[:1]
            for a in task["annotations"]
        ]
    path = tmp_path / "back.json"
    path.write_text(json.dumps(sent))
    found, _ = imported(path, queue, annotator="me")
    first = [a.annotator for a in found if a.index == queue.candidates[0].index]
    assert first == ["ann", "bea" if form == "JSON" else "Label Studio 1"]
    assert {a.annotator for a in found} == {"ann", first[1]}


def test_records_of_argilla(tmp_path: Path) -> None:
    """The form of `rg.Dataset.records.to_json` and `from_json`."""
    queue = answered(made.table_queue(tmp_path), [("label", ("fox",)), ("skip", ())])
    path = exported(queue, tmp_path / "rows.argilla.json", show_given=True)
    records = json.loads(path.read_text())
    assert len(records) == 11, "row 0 is verified"
    first, row = records[0], queue.candidates[1]
    assert first["id"] == f"1 sha:{row.digest}"
    assert first["fields"]["row"].startswith("size: ")
    assert first["suggestions"]["label"]["value"] == row.given_label
    compile((tmp_path / "rows.argilla.py").read_text(), "script", "exec")
    users = "3f0c8a4e-1111-4d2a-9a54-000000000001", "7b1de920-2222-4d2a-9a54-000000000002"
    said = ["dog"], ["cat", "dog"], ["(cannot tell)"], []
    for record, values in zip(records, said, strict=False):
        pairs = zip(values, users, strict=False)
        record["responses"] = {"label": [{"value": v, "user_id": u} for v, u in pairs]}
        record["status"] = "completed" if values else "pending"
    (tmp_path / "answers.json").write_text(json.dumps(records))
    found, unanswered = imported(tmp_path / "answers.json", queue, annotator="me")
    assert [(a.index, a.answer, a.label, a.annotator) for a in found] == [
        (1, "label", "dog", "Argilla 3f0c8a4e"),
        (2, "label", "cat", "Argilla 3f0c8a4e"),
        (2, "label", "dog", "Argilla 7b1de920"),
        (3, "cannot_tell", None, "Argilla 3f0c8a4e"),
    ]
    assert unanswered == 8
    records[0]["id"] = "1 sha:0"
    for bad, message in (
        (records, "other data"),
        ([{"fields": {}, "responses": 3}], "no record of"),
    ):
        (tmp_path / "answers.json").write_text(json.dumps(bad))
        with pytest.raises(DataError, match=message):
            imported(tmp_path / "answers.json", queue, annotator="me")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "as JSON"),
        ("{}", "expected a list of tasks"),
        ('[{"data": {"text": "x"}}]', "has no 'gdw_index', which says which row it is"),
        ('[{"data": {"gdw_index": 99}, "annotations": [ANN]}]', "row 99 is not in v.jsonl"),
        ('[{"data": {"gdw_index": 0, "gdw_digest": "sha:1"}, "annotations": [ANN]}]', "other data"),
        ('[{"data": {"gdw_index": 0}, "annotations": [UNK]}]', "'cta' is no class. Did you mean 'cat'?"),
        ('[{"data": {"gdw_index": 0}, "annotations": [7]}]', "is no task of Label Studio"),
    ],
)  # fmt: skip
def test_a_json_file_that_is_no_export_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    queue = made.table_queue(tmp_path)
    for name, choice in (("ANN", "cat"), ("UNK", "cta")):
        content = content.replace(name, json.dumps(annotation(choice)))
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError) as error:
        imported(tmp_path / "x.json", queue, annotator="me")
    assert message in str(error.value)


def test_a_label_of_a_table_that_is_no_class_is_refused(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    (tmp_path / "x.csv").write_text("index,label\n3,cta\n")
    with pytest.raises(
        DataError, match=r"x\.csv: label 'cta' is not a class\. Did you mean 'cat'\?"
    ):
        imported(tmp_path / "x.csv", queue, annotator="me")


def test_a_table_is_filled_in_and_saved_by_a_spreadsheet(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path, classes=("1.10", "2.5", "TRUE"))
    path = exported(queue, tmp_path / "out.csv")
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["size"] == "0"
    assert "given_label" not in lines[0]
    for line, label in zip(lines, ("1.1", "2,5", "true", ""), strict=False):
        line["label"] = label
    with path.open("w", newline="", encoding="utf-16") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    found, unanswered = imported(path, queue, annotator="me")
    assert [(a.index, a.label, a.annotator) for a in found] == [
        (0, "1.10", "me"), (1, "2.5", "me"), (2, "TRUE", "me")
    ]  # fmt: skip
    assert unanswered == 9


def test_a_table_with_two_columns_is_enough(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    (tmp_path / "x.csv").write_text("index,label\n3,dog\n1,\n")
    found, unanswered = imported(tmp_path / "x.csv", queue, annotator="me")
    assert [(a.index, a.label) for a in found] == [(3, "dog")]
    assert unanswered == 1
    (tmp_path / "x.csv").write_text("row,label\n3,dog\n")
    with pytest.raises(DataError, match="has no column 'index'"):
        imported(tmp_path / "x.csv", queue, annotator="me")


def test_formulas_are_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    queue = answered(made.table_queue(tmp_path, classes=ODD), [("label", ("=1+1",))])
    text = exported(queue, tmp_path / "out.csv").read_text("utf-8")
    assert ",'=1+1," in text


def test_a_folder_of_fiftyone(tmp_path: Path) -> None:
    queue = answered(made.image_queue(tmp_path), [("label", ("b",)), ("skip", ())])
    folder = exported(queue, tmp_path / "fiftyone")
    content = json.loads((folder / "labels.json").read_text())
    assert content == {
        "classes": ["a", "b"],
        "labels": {"0": 1, **{str(k): None for k in range(1, 6)}},
    }
    assert sorted(file.name for file in (folder / "data").iterdir()) == [
        f"{k}.png" for k in range(6)
    ]
    content["labels"]["4"] = 0
    (folder / "labels.json").write_text(json.dumps(content))
    found, unanswered = imported(folder, queue, annotator="me")
    assert [(a.index, a.label) for a in found] == [(0, "b"), (4, "a")]
    assert unanswered == 4
    (folder / "labels.json").write_text('{"classes": null, "labels": {"3": "b"}}')
    assert imported(folder, queue, annotator="me")[0][0].label == "b"
    verified = {0: "b", 4: "b"}
    (folder / "labels.json").write_text(json.dumps(content))
    found, _ = imported(folder, queue, annotator="me", verified=verified)
    assert [(a.index, a.label) for a in found] == [(4, "a")], (
        "what is verified is nobody's new answer"
    )
    with pytest.raises(ConfigError, match="would come back as a verified one; leave --show-given"):
        exported(queue, tmp_path / "other", show_given=True)
    for bad in ('{"classes": ["a"], "labels": {"3": 7}}', "{}", "["):
        (folder / "labels.json").write_text(bad)
        with pytest.raises(DataError, match=r"cannot read .*labels.json as labels of FiftyOne"):
            imported(folder, queue, annotator="me")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    with pytest.raises(ConfigError, match="FiftyOne shows images, and these rows are table data"):
        exported(queue, tmp_path / "folder")
    with pytest.raises(ConfigError, match=r"cannot tell the form of .*x.xlsx"):
        exported(queue, tmp_path / "x.xlsx")
