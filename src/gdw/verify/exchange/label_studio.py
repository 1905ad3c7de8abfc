"""Tasks and annotations of Label Studio, as its documents describe them (JSON and JSON-MIN)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from gdw.data.rows import Rows
from gdw.data.verification import Answer, Candidate, Verification
from gdw.errors import DataError, shown
from gdw.files.documents import write_text_atomically
from gdw.verify.examples import Examples
from gdw.verify.exchange.found import CANNOT_TELL, SEVERAL, Found, marked
from gdw.verify.exchange.pictures import embedded

_FROM, _TO = "label", "example"
_INDEX, _DIGEST, _WHO = "gdw_index", "gdw_digest", "gdw_annotator"
# The answers that were exported, in the data of the task: Label Studio keeps no annotator of an annotation
# that it imports, so that the answer would come back as one of its own user.
_SENT = "gdw_answers"
_MANY = 20
# What an exported task of JSON-MIN has beside the data and the choice.
_OTHER = {
    "id",
    "annotator",
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
    _INDEX,
    _DIGEST,
    _SENT,
}


def export(path: Path, verification: Verification, rows: Rows, *, show_given: bool) -> list[Path]:
    """Write the rows as tasks, with the answers so far, and beside it the labeling interface.

    Args:
        path: the `.json` file.
        verification: the rows and answers.
        rows: the data.
        show_given: give the label in the data as a prediction.

    Returns:
        The files written.
    """
    queue = verification.queue
    examples = Examples(rows, queue, queue.candidates)
    tasks = [
        _task(n, outcome.candidate, outcome.answers, examples, show_given=show_given)
        for n, outcome in enumerate(verification.outcomes)
    ]
    interface = path.with_suffix(".xml")
    write_text_atomically(path, json.dumps(tasks, ensure_ascii=False, indent=1))
    write_text_atomically(interface, _interface(verification))
    return [path, interface]


def read(path: Path, tasks: list[dict[str, Any]], found: Found) -> None:
    """Add the annotations in an export of Label Studio, in the form JSON or JSON-MIN.

    Raises:
        DataError: the file is no such export, or is about other rows.
    """
    sent: dict[Any, list[Mapping[str, Any]]] = {}
    for number, task in enumerate(tasks):
        _read(f"task {number} of {shown(path)}", task, found, sent)


def _read(
    place: str, task: Mapping[str, Any], found: Found, sent: dict[Any, list[Mapping[str, Any]]]
) -> None:
    try:
        data = task.get("data", task)
        if not isinstance(data, dict) or _INDEX not in data:
            raise DataError(
                f"{place} has no {_INDEX!r}, which says which row it is: import into Label Studio what gdw "
                "verify --export has written"
            )
        before = len(found.answers)
        # The form JSON-MIN has a task for each annotation: a row may come several times.
        own = sent.setdefault(data[_INDEX], list(data.get(_SENT) or ()))
        for chosen, details in _annotations(task):
            kind, labels = ("skip", []) if chosen is None else found.choices(chosen)
            found.add(
                place,
                data[_INDEX],
                kind,
                labels,
                digest=data.get(_DIGEST),
                annotator=_annotator(details, chosen or [], own),
                time=details.get("updated_at") or details.get("created_at"),
                seconds=details.get("lead_time"),
            )
        found.unanswered += len(found.answers) == before
    except (AttributeError, TypeError) as error:
        raise DataError(f"{place} is no task of Label Studio: {error}") from error


def _task(
    n: int, row: Candidate, answers: tuple[Answer, ...], examples: Examples, *, show_given: bool
) -> dict[str, Any]:
    content = examples.content(n, blind=not show_given)
    data: dict[str, Any] = {_INDEX: row.index, _DIGEST: marked(row.digest)}
    if answers:
        data[_SENT] = [{_WHO: a.annotator, "choices": _choices(a)} for a in answers]
    if content.get("picture"):
        data["image"] = embedded(n, examples)
    elif "text" in content:
        data["text"] = content["text"]
    else:
        data["row"] = dict(content.get("cells", ()))
    task = {"data": data, "annotations": [_annotation(answer) for answer in answers]}
    if show_given:
        prediction = {"model_version": "label in the data", "result": _result([row.given_label])}
        task["predictions"] = [prediction]
    return task


def _annotation(answer: Answer) -> dict[str, Any]:
    return {
        "result": _result(_choices(answer)),
        "was_cancelled": answer.answer == "skip",
        "lead_time": answer.seconds,
        "created_at": answer.time,
        _WHO: answer.annotator,
    }


def _choices(answer: Answer) -> list[str]:
    words = {"several": [SEVERAL, *answer.labels], "cannot_tell": [CANNOT_TELL], "skip": []}
    return words.get(answer.answer, list(answer.labels))


def _result(choices: list[str]) -> list[dict[str, Any]]:
    if not choices:
        return []
    value = {"choices": choices}
    return [{"from_name": _FROM, "to_name": _TO, "type": "choices", "value": value}]


def _interface(verification: Verification) -> str:
    queue = verification.queue
    picture = queue.kind in ("image", "array")
    tag, name = ("Image", "image") if picture else ("Text", "text")
    if queue.kind == "table":
        tag, name = "Table", "row"
    layout = ' layout="select"' if len(queue.label_names) > _MANY else ""
    choices = "\n".join(
        f"    <Choice value={quoteattr(name)}/>"
        for name in (*queue.label_names, CANNOT_TELL, SEVERAL)
    )
    return (
        f'<View>\n  <{tag} name="{_TO}" value="${name}"/>\n  <Choices name="{_FROM}" toName="{_TO}" '
        f'choice="single"{layout}>\n{choices}\n  </Choices>\n</View>\n'
    )


def _annotations(task: Mapping[str, Any]) -> Iterator[tuple[list[str] | None, Mapping[str, Any]]]:
    """The choices of each annotation, None for a skipped one, and what else is known about it."""
    if "data" not in task:
        found: list[tuple[list[str] | None, Mapping[str, Any]]] = [(_choice_of_min(task), task)]
    else:
        # Early versions of Label Studio call annotations completions.
        annotations = task.get("annotations", task.get("completions")) or ()
        found = [(_choices_of(annotation), annotation) for annotation in annotations]
    yield from ((chosen, details) for chosen, details in found if chosen != [])


def _choices_of(annotation: Mapping[str, Any]) -> list[str] | None:
    if annotation.get("was_cancelled"):
        return None
    results = annotation.get("result") or ()
    values = [result.get("value", {}) for result in results if result.get("type") == "choices"]
    return [str(choice) for value in values for choice in value.get("choices", ())]


def _choice_of_min(task: Mapping[str, Any]) -> list[str]:
    names = [_FROM, *(name for name in task if name not in (*_OTHER, "image", "text", "row"))]
    for name in names:
        value = task.get(name)
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            return list(map(str, value["choices"]))
        if isinstance(value, str) and value:
            return [value]
    return []


def _annotator(details: Mapping[str, Any], chosen: list[str], sent: list[Mapping[str, Any]]) -> str:
    """Who answered; an answer like one that was `sent` to Label Studio is that one, once."""
    who = details.get(_WHO) or _sender(chosen, sent)
    who = who or details.get("completed_by", details.get("annotator"))
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return "" if who is None else who if isinstance(who, str) else f"Label Studio {who}"


def _sender(chosen: list[str], sent: list[Mapping[str, Any]]) -> str:
    for answer in sent:
        if answer.get("choices") == chosen:
            sent.remove(answer)
            return str(answer.get(_WHO) or "")
    return ""
