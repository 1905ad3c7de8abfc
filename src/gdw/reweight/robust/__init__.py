"""The recommended method: closed-form class-level weights from posterior labels."""

from gdw.reweight.robust.method import Robust

__all__ = ["Robust"]
