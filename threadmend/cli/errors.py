"""What the command line says when its input is at fault."""

from __future__ import annotations

__all__ = ["BadInputError"]


class BadInputError(Exception):
    """The user's input cannot be used; the message is one line that names what and where."""
