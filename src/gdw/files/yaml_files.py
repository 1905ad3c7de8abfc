"""YAML files of options, read within bounds: a small file must not need much memory or time.

Aliases may repeat a part of the file, as in the protocols of `gdw experiment`, but they cannot multiply it
without end. The values are plain: texts, numbers, booleans, null, lists and mappings with texts as keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gdw.errors import ConfigError, brief, one_line, shown

_LARGEST_TEXT = 1 << 20
_DEEPEST = 50
# The values that aliases repeat count too.
_MOST_VALUES = 200_000
# `int` and `float` need quadratic time for digits without end.
_LONGEST_NUMBER = 100


class _Loader(yaml.SafeLoader):
    """`yaml.SafeLoader` with bounds. Dates stay texts: no option is a date, but a column name may be one."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            # The size of a value that is not complete is not known yet.
            if id(node) not in self._sizes:
                raise _fault(mark, "a value contains itself")
            self._count(self._sizes[id(node)], mark)
            return node
        if self._depth == _DEEPEST:
            raise _fault(mark, f"nested more than {_DEEPEST} levels deep")
        before = self._values
        self._count(1, mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[id(node)] = self._values - before
        _require_text(node)
        return node

    def _count(self, values: int, mark: Any) -> None:
        self._values += values
        if self._values > _MOST_VALUES:
            raise _fault(mark, f"more than {_MOST_VALUES:,} values, with those that aliases repeat")

    def _number(self, node: yaml.ScalarNode) -> float:
        if len(node.value) > _LONGEST_NUMBER:
            raise _fault(node.start_mark, f"a number of {len(node.value):,} characters")
        whole = node.tag.endswith(":int")
        read = super().construct_yaml_int if whole else super().construct_yaml_float
        return read(node)

    def _refuse(self, node: yaml.Node) -> Any:
        return self.construct_undefined(node)


for _kind, _construct in {
    "int": _Loader._number,
    "float": _Loader._number,
    **dict.fromkeys(("binary", "timestamp", "omap", "pairs", "set"), _Loader._refuse),
}.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)


def _fault(mark: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _require_text(node: yaml.Node | None) -> None:
    """Raise `MarkedYAMLError` for half a character, or unless the keys of a mapping are texts that differ."""
    if isinstance(node, yaml.ScalarNode) and any("\ud800" <= c <= "\udfff" for c in node.value):
        raise _fault(node.start_mark, f"{brief(node.value)} has half a character (a surrogate)")
    known: set[str] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        _require_name(key)
        if key.value in known and not key.tag.endswith(":merge"):
            raise _fault(key.start_mark, f"{brief(key.value)} occurs twice: remove one")
        known.add(key.value)


def _require_name(key: yaml.Node) -> None:
    is_plain = isinstance(key, yaml.ScalarNode)
    if not is_plain or not key.tag.endswith((":str", ":merge", ":value")):
        value = brief(key.value) if is_plain else "a list or mapping"
        raise _fault(key.start_mark, f"expected a name, found {value}: put it in quotes")


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds.

    >>> parse_yaml("{name: mlp, date: 2024-01-31}")
    {'name': 'mlp', 'date': '2024-01-31'}

    Raises:
        ValueError: it is not YAML, or is too large, too deep or repeats too much. The message is one line.
    """
    if len(text) > _LARGEST_TEXT:
        raise ValueError(f"expected at most {_LARGEST_TEXT:,} characters, found more")
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        problem = one_line(f"{error.context or ''} {error.problem or ''}")
        problem = problem.replace("tag:yaml.org,2002:", "!!")
        raise ValueError(f"{line}{problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from None
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # The types of PyYAML raise these for explicit tags that do not fit, such as `!!int ""`.
        raise ValueError(f"a value does not fit its tag ({one_line(error)})") from None


def read_yaml(path: Path) -> Any:
    """The value in a YAML file.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: as for `parse_yaml`, or the file is not UTF-8.
    """
    with path.open("rb") as file:
        raw = file.read(4 * _LARGEST_TEXT + 1)
    try:
        return parse_yaml(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} has the byte 0x{raw[error.start]:02x}, which is not UTF-8: save the file as UTF-8"
        ) from None


def read_options(path: Path, holds: str) -> dict[str, Any]:
    """The mapping of options in a YAML file that a user wrote.

    Args:
        path: the file.
        holds: what the file should hold, as the end of a sentence.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"no file {shown(path)}: check the path") from None
    except OSError as error:
        raise ConfigError(f"cannot read {shown(path)}: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{shown(path)} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{shown(path)} must hold {holds}")
    return content
