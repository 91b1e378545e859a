"""mailbox(): a Patch as mails for `git am`, one per rule, with the rule's docstring as message."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr

from threadmend.diff import Modes, render
from threadmend.model import Patch, Rule
from threadmend.steps import Step, steps

__all__ = ["mailbox"]

_AUTHOR = ("threadmend", "threadmend@localhost")

# The line that begins a mail has a fixed date, by which file(1) and git know a patch.
_FROM_LINE = b"From " + b"0" * 40 + b" Mon Sep 17 00:00:00 2001\n"

# git takes the message to end at such a line, or the line for a header.
_BREAKS = re.compile(r"^(?=diff -|Index: |---|-- >8 --|(?:From|Date|Subject|In-Reply-To): )", re.M)


def mailbox(
    patch: Patch,
    rules: Iterable[Rule],
    *,
    modes: Modes | None = None,
    author: tuple[str, str] = _AUTHOR,
    date: datetime | None = None,
) -> bytes:
    """Return one mail per rule that changed something, numbered in the order to apply them.

    The same patch gives the same bytes: without `date` the mails have none, and `git am` takes
    its own clock. `modes` is as for `render`, `author` a name and an address.
    The body is base64, so that CRLF and bytes that are not UTF-8 arrive as they are.
    """
    series = list(steps(patch, rules))
    return b"".join(
        _mail(step, f"{number}/{len(series)}", modes, author, date)
        for number, step in enumerate(series, 1)
    )


def _mail(
    step: Step, number: str, modes: Modes | None, author: tuple[str, str], date: datetime | None
) -> bytes:
    headers = [
        f"From: {formataddr(author)}",
        *([f"Date: {format_datetime(date)}"] if date else []),
        f"Subject: {_subject(f'[PATCH {number}] {step.title}')}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: base64",
    ]
    message = _BREAKS.sub(" ", step.body) + "\n" if step.body else ""
    diff = render(step.before, step.after, modes=modes)
    body = message.encode("utf-8", "replace") + b"---\n\n" + diff + b"-- \nthreadmend\n\n"
    head = "\n".join(headers).encode("ascii") + b"\n\n"
    return _FROM_LINE + head + base64.encodebytes(body) + b"\n"


def _subject(text: str) -> str:
    if text.isascii():
        return text
    return Header(text, "utf-8", header_name="Subject", maxlinelen=76).encode()
