"""A rule's description, read from its module's source without running it.

Importing a rule brings in the whole language layer (70 ms), and a run that the cache answers,
or a listing of rules, needs none of it. What is not written down as plainly as our own rules
do is left to an import.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable
from typing import Any

from threadmend.model import Finding, Rule, Subject

__all__ = ["Deferred", "described"]

_DOC = re.compile(r'\A"""(.*?)"""\n', re.S)
_CATEGORY = re.compile(r'^CATEGORY = "([^"\\\n]+)"$', re.M)
_GATE = re.compile(r"^GATE\b", re.M)
_PLAIN_GATE = re.compile(r"""^GATE = (r?b"[^"\n]*"|r?b'[^'\n]*'|\((?:\n[ ]+[^\n]*)+\n\))$""", re.M)
_OPT_IN = re.compile(r"^OPT_IN\b", re.M)
_PLAIN_OPT_IN = re.compile(r"^OPT_IN = (True|False)$", re.M)
_ALSO = re.compile(r"^ALSO\b", re.M)
_PLAIN_ALSO = re.compile(r'^ALSO = "([\w -]+)"$', re.M)
_CHECK = re.compile(r"^def check\(\w+: (\w+)\) -> ", re.M)
_SUBJECTS = {str(subject): subject for subject in Subject}


class Deferred:
    """A rule's `check`, imported when it is first called."""

    def __init__(self, module: str) -> None:
        self.__module__ = module
        self._check: Any = None

    def load(self) -> None:
        """Import the module now: before a fork, so that it is done once."""
        if self._check is None:
            self._check = importlib.import_module(self.__module__).check

    def __call__(self, subject: Any) -> Iterable[Finding]:
        """Return what the rule's own function returns."""
        self.load()
        found: Iterable[Finding] = self._check(subject)
        return found


def described(text: str, module: str, name: str, *, codemod: bool) -> Rule | None:
    """Return the rule of a module's source; None when only an import can tell."""
    doc, category, check = _DOC.match(text), _CATEGORY.search(text), _CHECK.search(text)
    gate, opt_in = _PLAIN_GATE.search(text), _PLAIN_OPT_IN.search(text)
    if doc is None or category is None or check is None or "\\" in doc[1]:
        return None
    also = _PLAIN_ALSO.search(text)
    if bool(also) != bool(_ALSO.search(text)):
        return None
    if bool(gate) != bool(_GATE.search(text)) or bool(opt_in) != bool(_OPT_IN.search(text)):
        return None
    subject = _SUBJECTS.get(check[1])
    if subject is None or not doc[1].strip():
        return None
    pattern: object = None
    if gate is not None:
        try:
            pattern = ast.literal_eval(gate[1])
        except (SyntaxError, ValueError):
            return None
        if not isinstance(pattern, bytes):
            return None
    return Rule(
        name=name,
        doc=doc[1].strip(),
        check=Deferred(module),
        subject=subject,
        category=category[1],
        gate=re.compile(pattern) if isinstance(pattern, bytes) else None,
        default=opt_in is None or opt_in[1] == "False",
        codemod=codemod,
        also=frozenset(also[1].split()) if also is not None else frozenset(),
    )
