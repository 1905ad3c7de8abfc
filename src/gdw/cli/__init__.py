"""The command `gdw`: parse, call, print. What it does is in the layers below."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from gdw.cli.app import app

    app()
