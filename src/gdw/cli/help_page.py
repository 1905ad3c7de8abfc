"""The help of a command: usage, examples, then its arguments and options, each with its form and default."""

from __future__ import annotations

import shutil
import textwrap
from typing import Any

import typer

Rows = list[tuple[str, str]]
"""Names in the left column, and what they mean."""

_LAST = ("help", "version", "install_completion", "show_completion")
_SWITCH = {True: "on", False: "off"}
_NARROWEST, _WIDEST = 40, 110
_LEFT = 26
"""The widest left column: longer names have a line of their own."""


def help_page(command: Any, ctx: Any) -> str:
    """The help of a command or of a group of commands.

    Args:
        command: made by typer. It may have `examples`, pairs of what an example does and its words, and an
            `epilog`.
        ctx: its context.
    """
    width = _width()
    sections = _sections(command, ctx)
    left = min(_LEFT, max(len(name) for _, rows in sections for name, _ in rows))
    blocks = _beginning(command, ctx, _paragraphs(command.help))
    for title, rows in sections:
        lines = [line for name, text in rows for line in _entry(name, text, left, width)]
        blocks.append("\n".join([_title(title), *lines]))
    blocks += ["\n".join(_wrapped(text, width)) for text in _paragraphs(command.epilog)]
    return "\n\n".join(blocks) + "\n"


def usage_page(command: Any, ctx: Any) -> str:
    """What a command does and examples of it, without its options; see `help_page`."""
    blocks = _beginning(command, ctx, _paragraphs(command.help)[:1])
    return "\n\n".join([*blocks, f"All options: {ctx.command_path} --help"]) + "\n"


def _beginning(command: Any, ctx: Any, about: list[str]) -> list[str]:
    """The usage, what the command does, and examples, which can be copied into a shell."""
    blocks = ["\n".join(_wrapped(text, _width())) for text in (_usage(command, ctx), *about)]
    examples = [f"  # {what}\n  {words}" for what, words in command.examples]
    return [*blocks, "\n".join([_title("Examples"), *examples])]


def _width() -> int:
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))


def _paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a docstring, each in one line."""
    return [" ".join(part.split()) for part in (text or "").split("\n\n") if part.strip()]


def _title(text: str) -> str:
    return typer.style(f"{text}:", bold=True)


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a paragraph. Long words are not broken; a no-break space stays within a line."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _usage(command: Any, ctx: Any) -> str:
    """The words of the command: its arguments and the options that it needs."""
    if hasattr(command, "list_commands"):
        return f"Usage: {ctx.command_path} COMMAND ..."
    needed = [name_as_typed(p) for p in _shown(command, ctx) if p.required or _is_argument(p)]
    return " ".join(["Usage:", ctx.command_path, *needed, "[OPTIONS]"])


def _shown(command: Any, ctx: Any) -> list[Any]:
    """The parameters of a command that the help shows."""
    return [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _sections(command: Any, ctx: Any) -> list[tuple[str, Rows]]:
    """The sections of the page: commands, arguments, options in their panels, and last what all have."""
    sections: dict[str, Rows] = {}
    if hasattr(command, "list_commands"):
        for name in command.list_commands(ctx):
            about = _paragraphs(command.get_command(ctx, name).help)[0]
            sections.setdefault("Commands", []).append((name, about))
    for param in sorted(_shown(command, ctx), key=lambda param: param.name in _LAST):
        panel = "Arguments" if _is_argument(param) else getattr(param, "rich_help_panel", None)
        title = "Help" if param.name in _LAST else panel or "Options"
        sections.setdefault(title, []).append((name_as_typed(param), _meaning(param)))
    return list(sections.items())


def name_as_typed(param: Any) -> str:
    """How a parameter is typed: `DATA`, `--epochs N`, `--resume`."""
    if _is_argument(param):
        return str(param.metavar)
    names = ", ".join(sorted(param.opts, key=len))
    if param.is_flag:
        # A switch that is neither on nor off by default can be switched both ways.
        both = param.secondary_opts and param.default is None
        return names.replace("--", "--[no-]") if both else names
    return f"{names} {param.metavar}"


def _meaning(param: Any) -> str:
    """The description of a parameter with its default, or that it is required."""
    if param.required:
        return f"{param.help} [required]"
    default = _default(param)
    return f"{param.help} [default:\u00a0{default}]" if default else str(param.help)


def _default(param: Any) -> str:
    """The default of a parameter as it is typed; nothing if it has none, and its description says more."""
    value = param.default
    if value is None or callable(value) or param.is_eager or value in ((), []):
        return ""
    return _SWITCH[value] if isinstance(value, bool) else str(value)


def _entry(name: str, text: str, left: int, width: int) -> list[str]:
    """The lines of a parameter: its name on the left, its description on the right."""
    lines = [f"{'':{left + 4}}{line}" for line in _wrapped(text, width - left - 4)]
    shown = f"  {typer.style(name, bold=True)}"
    if len(name) > left or not lines:
        return [shown, *lines]
    return [shown + lines[0][len(name) + 2 :], *lines[1:]]
