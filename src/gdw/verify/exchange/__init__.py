"""Exchange of rows and answers with other tools: Label Studio, spreadsheets, FiftyOne."""

from gdw.verify.exchange.files import FORMS, export, imported

__all__ = ["FORMS", "export", "imported"]
