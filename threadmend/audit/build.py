"""build(): the page of a project, from its facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from threadmend.audit.fixes import commands, findings
from threadmend.audit.gather import Facts
from threadmend.audit.goroutines import channels, contexts, goroutines
from threadmend.audit.locks import locks, order
from threadmend.audit.nets import leaks, linters, race, versions
from threadmend.audit.page import Page, Section, number
from threadmend.audit.threads import queues, threads

__all__ = ["build"]

_Maker = Callable[[Facts], Section]

_GO: tuple[_Maker, ...] = (race, leaks, linters)
_LOCKS: tuple[_Maker, ...] = (order, locks)
_GO_CODE: tuple[_Maker, ...] = (channels, goroutines, contexts, versions)
_PYTHON: tuple[_Maker, ...] = (threads, queues)


def build(facts: Facts, arguments: Sequence[str] = (), selection: str = "") -> Page:
    """Return the page.

    `arguments` are options and paths that its commands need, `selection` the rules that were
    chosen for it.
    """
    go, python = facts.go_files, facts.python_files
    makers: list[_Maker] = [findings] if go or python else []
    makers += _GO if go else ()
    makers += _LOCKS if go or python else ()
    makers += _GO_CODE if go else ()
    makers += _PYTHON if python else ()
    counted = [number(len(go), "Go file")] if go else []
    counted += [number(len(python), "Python file")] if python else []
    return Page(
        title=f"Concurrency audit of {_name(facts)}",
        subtitle=" and ".join(counted) or "no Go or Python files",
        sections=tuple(make(facts) for make in makers),
        commands=commands(facts, arguments, selection),
        unreadable=facts.report.unreadable,
    )


def _name(facts: Facts) -> str:
    """Return the path of the module at the root, or the name of the folder."""
    if facts.go_files:
        for module in facts.project.go.modules:
            if not module.directory and module.path:
                return module.path
    return facts.project.root.resolve().name or "project"
