"""Reasons: from the builder that refuses to the finding that says why there is no fix.

@with_reason
def _fix(file: GoFile, made: Node) -> Fix:
    if made.function is None:
        raise BuilderError("it is made for the whole package")
    return Fix("Defer the Stop", insert_after(made.statement, "defer t.Stop()"))

fix, reason = _fix(file, made)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from threadmend.golang.builders.lines import BuilderError
from threadmend.model import Fix

__all__ = ["or_reason", "with_reason"]

_Asked = ParamSpec("_Asked")


def with_reason(make: Callable[_Asked, Fix]) -> Callable[_Asked, tuple[Fix | None, str]]:
    """Return a function that gives a fix and "", or None and why a builder refused."""

    @wraps(make)
    def made(*args: _Asked.args, **given: _Asked.kwargs) -> tuple[Fix | None, str]:
        try:
            return make(*args, **given), ""
        except BuilderError as error:
            return None, str(error)

    return made


def or_reason(make: Callable[_Asked, Fix]) -> Callable[_Asked, Fix | str]:
    """Return a function that gives a fix, or why a builder refused."""

    @wraps(make)
    def made(*args: _Asked.args, **given: _Asked.kwargs) -> Fix | str:
        try:
            return make(*args, **given)
        except BuilderError as error:
            return str(error)

    return made
