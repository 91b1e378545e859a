"""Control flow, lightly: blocks, what lies between two statements, and what leaves them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from threadmend.python.children import children
from threadmend.python.scope import COMPREHENSIONS, ancestors, parent

__all__ = [
    "after",
    "always_leaves",
    "before",
    "block_of",
    "blocks",
    "can_raise",
    "conditions_around",
    "enclosing",
    "in_comprehension",
    "in_finally",
    "innermost_loop",
    "is_none",
    "is_text",
    "leaves",
    "target_of",
    "walk",
    "without_text",
]

Loop = ast.For | ast.AsyncFor | ast.While
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_BLOCKS = ("body", "orelse", "finalbody")
_LEFT = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
_LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def walk(nodes: Sequence[ast.AST] | ast.AST) -> Iterator[ast.AST]:
    """Yield nodes and what is in them in source order; nested functions and classes are
    yielded, but not what is in them: it runs at another time.
    """
    stack: list[ast.AST] = [nodes] if isinstance(nodes, ast.AST) else list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _NESTED):
            stack.extend(reversed(children(node)))


def blocks(statement: ast.AST) -> list[list[ast.stmt]]:
    """Return the lists of statements directly in a compound statement, in source order."""
    found = []
    for name in ("body", "handlers", "cases", "orelse", "finalbody"):
        part = getattr(statement, name, None)
        if not isinstance(part, list) or not part:
            continue
        if isinstance(part[0], ast.stmt):
            found.append(part)
        else:
            found += [inner.body for inner in part if hasattr(inner, "body")]
    return found


def block_of(statement: ast.stmt) -> list[ast.stmt]:
    """Return the list of statements that a statement is one of."""
    above = parent(statement)
    for block in blocks(above) if above is not None else ():
        if statement in block:
            return block
    return [statement]


def is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a literal that does nothing: a docstring."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def without_text(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the body of a function behind its docstring."""
    return body[1:] if body and is_text(body[0]) else body


def is_none(node: ast.AST | None) -> bool:
    """Return whether an expression is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def target_of(statement: ast.AST | None) -> ast.expr | None:
    """Return what an assignment sets, the first if several: `x` of `x = e` and `x: T = e`."""
    if isinstance(statement, ast.AnnAssign):
        return None if statement.value is None else statement.target
    return statement.targets[0] if isinstance(statement, ast.Assign) else None


def after(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements that follow in the same block."""
    block = block_of(statement)
    return block[block.index(statement) + 1 :]


def before(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements that precede in the same block."""
    block = block_of(statement)
    return block[: block.index(statement)]


def enclosing(node: ast.AST, *types: type[ast.AST]) -> Iterator[ast.AST]:
    """Yield what a node is in, of these types, from the inside, up to the function."""
    for above in ancestors(node):
        if isinstance(above, _NESTED):
            if isinstance(above, types):
                yield above
            return
        if isinstance(above, types):
            yield above


def conditions_around(node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the tests of the function that decide whether a node runs, with whether they are true
    there: of the ifs and conditional expressions that it is in a branch of.
    """
    below: ast.AST = node
    for above in ancestors(node):
        if isinstance(above, _NESTED):
            return
        if isinstance(above, ast.If) and below is not above.test:
            yield above.test, below in above.body
        if isinstance(above, ast.IfExp) and below is not above.test:
            yield above.test, below is above.body
        below = above


def innermost_loop(node: ast.AST) -> Loop | None:
    """Return the loop whose body (not its `else`, test or iterable) a node is in."""
    below: ast.AST = node
    for above in ancestors(node):
        if isinstance(above, _NESTED):
            return None
        if isinstance(above, Loop) and below in above.body:
            return above
        below = above
    return None


def in_comprehension(node: ast.AST) -> bool:
    """Return whether a comprehension of its statement is around an expression."""
    for above in ancestors(node):
        if isinstance(above, COMPREHENSIONS):
            return True
        if isinstance(above, ast.stmt):
            return False
    return False


def leaves(block: Sequence[ast.stmt]) -> list[ast.AST]:
    """Return what leaves a run of statements before its end: return, raise, break and
    continue of a loop around it, and yields and awaits, where somebody else runs.

    A raise that a handler inside the block may catch counts as well.
    """
    found: list[ast.AST] = []

    def collect(part: Sequence[ast.AST], loops: int) -> None:
        for node in part:
            if isinstance(node, _NESTED):
                continue
            jumps = isinstance(node, ast.Break | ast.Continue) and not loops
            if jumps or isinstance(node, _LEFT):
                found.append(node)
            if isinstance(node, Loop):
                head = [node.test] if isinstance(node, ast.While) else [node.target, node.iter]
                collect(head, loops)
                collect(node.body, loops + 1)
                collect(node.orelse, loops)
            else:
                collect(children(node), loops)

    collect(block, 0)
    return found


_ENDS = frozenset({"exit", "_exit", "abort", "fail", "skip", "xfail"})


def are_alternatives(first: ast.AST, second: ast.AST) -> bool:
    """Return whether two nodes stand in different branches of an `if`: one of them runs, not both
    in one go.
    """
    mine, others = [first, *ancestors(first)], [second, *ancestors(second)]
    for above in mine:
        if isinstance(above, ast.If) and above in others:
            arms = (above.body, above.orelse)
            here = [any(s in mine for s in arm) for arm in arms]
            there = [any(s in others for s in arm) for arm in arms]
            return here != there and any(here) and any(there)
    return False


def always_leaves(block: Sequence[ast.stmt]) -> bool:
    """Return whether the end of a block is never reached."""
    for statement in block:
        if isinstance(statement, _LEAVING):
            return True
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            func = statement.value.func
            if isinstance(func, ast.Attribute) and func.attr in _ENDS:
                if isinstance(func.value, ast.Name) and func.value.id in {"sys", "os", "pytest"}:
                    return True
        if isinstance(statement, ast.If) and statement.orelse:
            if always_leaves(statement.body) and always_leaves(statement.orelse):
                return True
        if isinstance(statement, ast.With | ast.AsyncWith) and always_leaves(statement.body):
            return True
        if isinstance(statement, ast.Try):
            if always_leaves(statement.finalbody):
                return True
            parts = [statement.orelse or statement.body, *(h.body for h in statement.handlers)]
            if all(map(always_leaves, parts)) or (
                always_leaves(statement.body)
                and all(always_leaves(h.body) for h in statement.handlers)
            ):
                return True
        if isinstance(statement, ast.While) and _is_true(statement.test):
            if not any(isinstance(n, ast.Break) for n in _own_jumps(statement)):
                return True
    return False


def _is_true(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def _own_jumps(loop: Loop) -> list[ast.AST]:
    return [node for node in leaves(loop.body) if isinstance(node, ast.Break | ast.Continue)]


def in_finally(node: ast.AST) -> ast.Try | None:
    """Return the try statement whose `finally` a node is in."""
    below: ast.AST = node
    for above in ancestors(node):
        if isinstance(above, ast.Try) and below in above.finalbody:
            return above
        if isinstance(above, _NESTED):
            return None
        below = above
    return None


_QUIET = (ast.Name, ast.Constant, ast.expr_context, ast.Store, ast.Load, ast.Pass, ast.Expr,
          ast.Assign, ast.AnnAssign, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Lambda, ast.Not,
          ast.UnaryOp, ast.BoolOp, ast.boolop, ast.IfExp, ast.If, ast.Compare, ast.Is, ast.IsNot,
          ast.Global, ast.Nonlocal, ast.Break, ast.Continue)  # fmt: skip


def can_raise(block: Sequence[ast.AST], *quiet: type[ast.AST]) -> bool:
    """Return whether something in a block may raise: anything but plain assignments of names
    and constants, attributes of plain names, which hardly ever do, and `quiet` kinds.

    A magic of a notebook, which is masked as the number 0, may do whatever there is.
    """
    for node in walk(block):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if node.value.value == 0:
                return True
        if not isinstance(node, (*_QUIET, *quiet)):
            return True
    return False
