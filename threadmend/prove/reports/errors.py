"""ReportError: a report that cannot be read."""

from __future__ import annotations

__all__ = ["ReportError"]


class ReportError(Exception):
    """The user's report is broken; the message names it and the place, in one line."""
