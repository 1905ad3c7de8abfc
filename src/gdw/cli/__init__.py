"""The command `gdw`: it reads the command line, calls the layers below, and prints."""

from gdw.cli.app import main

__all__ = ["main"]
