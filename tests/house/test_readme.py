"""The README lists what the registry has."""

from __future__ import annotations

from pathlib import Path

from gdw.reweight import METHODS

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_lists_every_method_by_family() -> None:
    text = README.read_text(encoding="utf-8")
    for family, methods in METHODS.families().items():
        names = ", ".join(f"`{name}`" for name, _ in methods)
        line = f"| {family} | {names} |"
        assert line in text, f"write into README.md: {line}"
