"""Records of Argilla, as its `dataset.records.to_json` writes them and `from_json` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdw.data.rows import Rows
from gdw.data.verification import Candidate, Verification
from gdw.errors import DataError, shown
from gdw.files.documents import write_text_atomically
from gdw.verify.examples import Examples
from gdw.verify.exchange.found import CANNOT_TELL, SEVERAL, Found, marked
from gdw.verify.exchange.pictures import embedded

_QUESTION = "label"


def export(path: Path, verification: Verification, rows: Rows, *, show_given: bool) -> list[Path]:
    """Write the rows that are not verified yet as records, and beside it a script that uploads them.

    Args:
        path: the `.argilla.json` file.
        verification: the rows and answers. Answers stay here: in Argilla they belong to users of its server.
        rows: the data.
        show_given: give the label in the data as a suggestion.

    Returns:
        The files written.
    """
    queue = verification.queue
    examples = Examples(rows, queue, queue.candidates)
    records = [
        _record(n, outcome.candidate, examples, show_given=show_given)
        for n, outcome in enumerate(verification.outcomes)
        if outcome.label is None
    ]
    script = path.with_name(f"{path.name.removesuffix('.json')}.py")
    write_text_atomically(path, json.dumps(records, ensure_ascii=False, indent=1))
    write_text_atomically(script, _script(path, verification))
    return [path, script]


def is_record(one: Mapping[str, Any]) -> bool:
    """Whether an object is a record of Argilla."""
    return "fields" in one and "responses" in one


def read(path: Path, records: list[dict[str, Any]], found: Found) -> None:
    """Add the responses to the question `label`.

    Raises:
        DataError: the records are not those that `export` has written, or are about other rows.
    """
    for number, record in enumerate(records):
        place = f"record {number} of {shown(path)}"
        index, _, digest = str(record.get("id", "")).partition(" ")
        try:
            responses = record["responses"].get(_QUESTION, ())
            found.unanswered += not responses
            for response in responses:
                value, user = response["value"], str(response.get("user_id") or "")
                kind, labels = found.choices(value if isinstance(value, list) else [value])
                annotator = user and f"Argilla {user[:8]}"
                found.add(place, index, kind, labels, digest=digest or None, annotator=annotator)
        except (AttributeError, LookupError, TypeError) as error:
            raise DataError(f"{place} is no record of Argilla: {error}") from error


def _record(n: int, row: Candidate, examples: Examples, *, show_given: bool) -> dict[str, Any]:
    content = examples.content(n, blind=not show_given)
    if content.get("picture"):
        fields = {"image": embedded(n, examples)}
    elif "text" in content:
        fields = {"text": content["text"]}
    else:
        fields = {"row": "\n".join(f"{name}: {value}" for name, value in content.get("cells", ()))}
    given = {"value": row.given_label, "score": None, "agent": "label in the data"}
    return {
        "id": f"{row.index} {marked(row.digest)}",
        "fields": fields,
        "metadata": {},
        "suggestions": {_QUESTION: given} if show_given else {},
        "responses": {},
        "vectors": {},
    }


def _script(path: Path, verification: Verification) -> str:
    queue = verification.queue
    name, kind = {
        "image": ("image", "Image"),
        "array": ("image", "Image"),
        "text": ("text", "Text"),
    }.get(queue.kind, ("row", "Text"))
    labels = [*queue.label_names, CANNOT_TELL, SEVERAL]
    return f'''"""Upload the rows to verify. Afterwards: dataset.records.to_json("answers.json")."""

import argilla as rg

client = rg.Argilla(api_url="<api_url>", api_key="<api_key>")
settings = rg.Settings(
    fields=[rg.{kind}Field(name={name!r})],
    questions=[rg.LabelQuestion(name={_QUESTION!r}, labels={labels!r})],
)
dataset = rg.Dataset(name={path.name.partition(".")[0]!r}, settings=settings, client=client).create()
dataset.records.from_json({path.name!r})
'''
