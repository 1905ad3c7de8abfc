"""The documents list what the registries have."""

from __future__ import annotations

from pathlib import Path

from gdw.data.rows import suffixes
from gdw.reweight import METHODS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_readme_lists_every_method_by_family() -> None:
    text = README.read_text(encoding="utf-8")
    for family, methods in METHODS.families().items():
        names = ", ".join(f"`{name}`" for name, _ in methods)
        line = f"| {family} | {names} |"
        assert line in text, f"write into README.md: {line}"


def test_the_documents_name_every_file_format() -> None:
    for path in (README, ROOT / "docs" / "audit.md"):
        text = path.read_text(encoding="utf-8")
        missing = [suffix for suffix in suffixes() if f"`{suffix}`" not in text]
        assert not missing, f"name the formats {missing} in {path.name}"
