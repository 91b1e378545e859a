"""Functions that return locked when they succeed, and by mistake on one way to fail as well.

    func (c *client) current() (*conn, error) {     conn, err := c.current()
        c.mu.RLock()                                if err != nil {
        if c.closed {                                   return err  // nothing to release
            c.mu.RUnlock()                          }
            return nil, errClosed                   defer c.mu.RUnlock()
        }
        if c.conn == nil {
            return nil, errNoConn                   // still locked
        }
        return c.conn, nil
    }

The callers say which it is: they release where there was no error, and not where there was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.calls import Site, code_callers
from threadmend.golang.failing import fails
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Exit
from threadmend.golang.locks import LockOperation, Locks, declaration_of, locks_of
from threadmend.golang.releases import net_releases
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Fix

from ._release_edits import release_at

__all__ = ["released_before", "returns_that_fail"]


def returns_that_fail(
    file: GoFile, function: Node, lock: LockOperation, exits: Sequence[Exit]
) -> list[Exit] | None:
    """Return which of some exits, all with the lock held, fail, where success returns locked.

    None where that is not what the function does: no exit succeeds, or no caller says so.
    """
    failing = [e for e in exits if e.kind == "return" and fails(file, e.node)]
    if not all(e in failing or _succeeds(e.node) for e in exits) or len(failing) == len(exits):
        return None
    decl = declaration_of(file, function) if function.kind != "func_literal" else None
    sites = code_callers(decl) if decl is not None else []
    if not sites or not all(_releases_success(site, lock) for site in sites):
        return None
    return failing


def _succeeds(statement: Node) -> bool:
    """Return whether a return says that there was no error."""
    if statement.kind != "return_statement" or len(statement.children) < 2:
        return False
    return bool(statement.children[1].children[-1].kind == "nil")


def _releases_success(site: Site, lock: LockOperation) -> bool:
    """Return whether a caller leaves where the call failed, and releases where it did not."""
    call, function = site.call, site.node.function
    test = _test_of(call) if call is not None else None
    if test is None or function is None or call is None:
        return False
    releases = list(_releases(site.file, function, lock))
    left = test["consequence"]
    statements = left.statements
    if not statements or statements[-1].kind != "return_statement":
        return False
    return any(r.start > test.start for r in releases) and not any(map(left.contains, releases))


def _test_of(call: Node) -> Node | None:
    """Return the `if err != nil` that asks the error which a call returns, its last result."""
    statement = call.parent.parent if call.parent is not None else None
    if statement is None or statement.kind not in _ASSIGNS:
        return None
    around = statement.parent
    if around is not None and around.kind == "if_statement" and statement.field == "initializer":
        test: Node | None = around
    else:
        test = statement.next
    if test is None or test.kind != "if_statement":
        return None
    return (
        test if test["condition"].name == f"{statement['left'].children[-1].name} != nil" else None
    )


_ASSIGNS = frozenset({"short_var_declaration", "assignment_statement"})


def _releases(file: GoFile, function: Node, lock: LockOperation) -> Iterator[Node]:
    """Yield the calls of a function, deferred ones included, that release a lock of a class."""
    bodies = [function, *(n for n in function.find("func_literal") if n.is_deferred)]
    for body in bodies:
        for operation in locks_of(file, body).operations:
            if operation.releases and operation.lock_class == lock.lock_class:
                if operation.mode == lock.mode:
                    yield operation.call
    helpers = net_releases(file.package)
    for call in function.own():
        if call.kind == "call_expression":
            decl = file.callee(call)
            if decl is not None and lock.lock_class in helpers.get(decl.key, ()):
                yield call


@with_reason
def released_before(
    file: GoFile, locks: Locks, lock: LockOperation, exits: Sequence[Exit], unlock: str
) -> Fix:
    """Release before the returns that fail.

    Sound: the lock is certainly held there, and no caller releases after a failure.
    """
    edits: list[Edit] = []
    for exit_ in exits:
        if not any(h.access == lock.access for h in locks.held_before(exit_.node)):
            raise BuilderError("the lock is held at the return on some paths only")
        edits += release_at(file, exit_.node, unlock)
    return Fix(f"Call {unlock.removesuffix('()')} where it fails", tuple(edits))
