"""Verification by a person: the page on which to do it, and what comes of it.

Every name is imported on first use.
"""

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.data.verification import Queue, Verification, read, write_queue
    from gdw.verify.desk import Desk, Settings
    from gdw.verify.serving import open_desk

_HOME = {
    "Desk": "gdw.verify.desk",
    "Queue": "gdw.data.verification",
    "Settings": "gdw.verify.desk",
    "Verification": "gdw.data.verification",
    "open_desk": "gdw.verify.serving",
    "read": "gdw.data.verification",
    "write_queue": "gdw.data.verification",
}

__all__ = ["Desk", "Queue", "Settings", "Verification", "open_desk", "read", "write_queue"]

__getattr__ = lazy(__name__, _HOME, ())


def __dir__() -> list[str]:
    return sorted(__all__)
