"""Functions that say that one thread alone runs them."""

from __future__ import annotations

import re

from threadmend.python.functions import Function
from threadmend.python.project import docstring

__all__ = ["is_said_to_be_of_one_thread"]

_WHERE = (
    r"(?:event\s+loop|main\s+(?:thread|loop)|(?:gui|ui|loop|reactor|event|same)(?:'s)?\s+thread"
    r"|io\s?loop|reactor)"
)
_SAID = re.compile(
    rf"(?i)\b(?:must|should|only|always|has\s+to|have\s+to|needs?\s+to|expected\s+to)\b[^.]*"
    rf"\b(?:in|from|on|by|within|inside)\s+(?:the\s+|an?\s+|its\s+)?{_WHERE}\b"
    r"|\bnot\s+thread[- ]?safe\b"
)


def is_said_to_be_of_one_thread(function: Function) -> bool:
    """Return whether a docstring says so: "This method must be run in the event loop."."""
    return _SAID.search(docstring(function.node) or "") is not None
