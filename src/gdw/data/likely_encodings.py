"""The encodings that a line of text may be in, if it is not UTF-8."""

from __future__ import annotations

import codecs
import unicodedata

_LIKELY = (
    "utf-8", "windows-1252", "windows-1250", "windows-1251", "shift_jis", "gb18030", "euc_kr", "big5",
    "windows-1253", "windows-1254", "windows-1255", "windows-1256", "koi8_r", "mac_roman",
)  # fmt: skip
_LONGEST = 4096
_SHOWN = 3


def likely_readings(line: bytes, *, without: str) -> list[tuple[str, str]]:
    """The likely encodings of the beginning of a line, each with the text that it gives, the best first.

    `without` is an encoding that it is not in.
    """
    readings: dict[str, str] = {}
    for encoding in _LIKELY:
        try:
            # The end of a long line may be cut in the middle of a character.
            text = codecs.getincrementaldecoder(encoding)().decode(line, final=len(line) < _LONGEST)
        except UnicodeDecodeError:
            continue
        if text not in readings.values() and encoding != without.lower():
            readings[encoding] = text
    ranked = sorted(readings.items(), key=lambda reading: _strangeness(reading[1]))
    return ranked[:_SHOWN]


def _strangeness(text: str) -> float:
    """How unlike a text is: from 0; each character beyond ASCII that does not fit its neighbours counts."""
    strange = [
        _misfit(before, character, after)
        for before, character, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if not character.isascii()
    ]
    return sum(strange) / max(len(strange), 1)


def _misfit(before: str, character: str, after: str) -> float:
    if not character.isalpha():
        return 0.5 if unicodedata.category(character)[0] in "PN" else 1.0
    name = unicodedata.name(character, "NONE")
    if name.startswith("HALFWIDTH"):
        return 1.0
    # In a language with Latin letters, most letters are ASCII.
    accents = name.startswith("LATIN") and not before.isascii() and not after.isascii()
    scripts = [_script(c) for c in (before, after) if c.isalpha()]
    others = len(scripts) - scripts.count(_script(character))
    return 0.5 * (others + accents + (character.isupper() and before.islower()))


def _script(character: str) -> str:
    return (
        unicodedata.name(character, "NONE")
        .split()[0]
        .replace("HIRAGANA", "CJK")
        .replace("KATAKANA", "CJK")
    )
