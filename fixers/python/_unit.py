"""A unit: statements that have to be one step, and what they look at."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from threadmend.python.file import PythonFile
from threadmend.python.flow import leaves
from threadmend.python.functions import Function

from ._data import Data, Use
from ._own_entry import is_other_entry
from ._touching import is_touched

__all__ = ["Unit", "independent", "is_in", "loaded", "looks", "reads", "stored"]


@dataclass(eq=False, slots=True)
class Unit:
    """Consecutive statements that have to be one step.

    `kind` is `counter` (the variable gets a value made of its own), `element` (an element of
    it does), `check` (a test decides on the change) or `change` (one that the others have to
    be kept apart from). `early` are statements of the block that depend on nothing of it.
    `inner` is a section around the change, which comes too late. `through` are helpers that make
    the change for the function which the statements stand in.
    """

    kind: str
    data: Data
    use: Use
    block: list[ast.stmt]
    early: list[ast.stmt] = field(default_factory=list)
    inner: ast.With | None = None
    through: set[Function] = field(default_factory=set)

    @property
    def first(self) -> ast.stmt:
        """Return the first statement."""
        return self.block[0]


def reads(data: Data) -> list[ast.expr]:
    """Return the uses that look at the data."""
    return [use.node for use in data.uses if use.mode in {"read", "mutate", "augment", "call"}]


def looks(data: Data, node: ast.AST, use: Use | None = None) -> bool:
    """Return whether a node reads some of the data; for a use of one entry, not another one."""
    inside = set(ast.walk(node))
    return any(
        one in inside and (use is None or not is_other_entry(data.file, one, use.node))
        for one in reads(data)
    )


def is_in(node: ast.AST, whole: ast.AST, file: PythonFile) -> bool:
    """Return whether a node is another one, or in it."""
    return node is whole or whole in file.ancestors(node)


def loaded(node: ast.AST) -> set[str]:
    """Return the names that are read in a node."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def stored(node: ast.AST) -> set[str]:
    """Return the names that are set in a node."""
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def independent(data: Data, part: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that can run before the others: they use nothing of theirs, and
    set nothing that they use; calls only where they run in any case.
    """
    found: list[ast.stmt] = []
    is_left = False
    ours: set[str] = set()
    used: set[str] = set()
    for statement in part:
        plain = isinstance(statement, ast.Assign | ast.Expr)
        meets = loaded(statement) & ours or stored(statement) & (used | ours)
        calls = any(isinstance(node, ast.Call) for node in ast.walk(statement))
        if is_touched(data, statement) or not plain or meets or (is_left and calls):
            ours |= stored(statement)
            used |= loaded(statement)
            is_left = is_left or bool(leaves([statement]))
        else:
            found.append(statement)
    return found
