"""What `self-deadlock`, `rlock-reentry` and `rlock-upgrade` share: a held lock taken again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from threadmend.golang.access import Access
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.effects import Pair, holders, pairs_of
from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of
from threadmend.golang.holding import holding_of
from threadmend.golang.lock_calls import lock_call, lock_calls, spelled
from threadmend.golang.locks import (
    LOCK_CALLS,
    declaration_of,
    entry_locks,
    lock_name,
    lock_operation,
    locks_of,
    runs_in_place,
)
from threadmend.golang.printing import printed_by
from threadmend.golang.releases import net_releases
from threadmend.golang.strands import literal_binding
from threadmend.golang.syntax import Node
from threadmend.model import Edit, Finding, Fix, Related, Safety

from ._after_unlock import call_after_unlock
from ._own_lock import is_own_lock
from ._relock_checks import can_be_released_above, given, shrinks_its_loop, waits_for_others
from ._relock_once import dropped
from ._relock_twins import only_below, others_beside, renamed, twin_of
from ._taken_here import taken_here
from ._tried_locks import held_off_by_test

__all__ = ["relocks"]

Modes = tuple[str, str]

_REASON = "what ran in the inner critical section now runs in the outer one"


def relocks(file: GoFile, modes: set[Modes]) -> Iterator[Finding]:
    """Yield the places where a lock is taken that is already held.

    `modes`: which combinations of held and taken (`read`, `write`) are meant.
    """
    seen: set[tuple[str, int]] = set()
    for function in holders(file):
        for pair in sorted(
            pairs_of(file, function), key=lambda p: (p.node.start, len(p.event.path))
        ):
            if not pair.same or not pair.event.sure or _varies(pair.held.access):
                continue
            if _handed_over(file, pair) or _any_locker(file, pair) or _is_optional(pair):
                continue
            if _waits_for_release(file, pair):
                continue
            if _leaves_before(pair) or _tries_own(file, pair):
                continue
            if held_off_by_test(file, function, pair.held.lock_class):
                continue
            site = _site(file, pair)
            node = pair.event.path[site]
            if (pair.held.mode, pair.event.mode) not in modes or (node.path, node.start) in seen:
                continue
            if pair.event.mode == pair.held.mode == "read" and not _written(file, pair):
                continue
            seen.add((node.path, node.start))
            yield _finding(file, pair, site)


def _varies(access: Access) -> bool:
    """Return whether a path may mean another object each time: `xs[i]`."""
    return any(s.startswith("[") and not s[1:-1].isdigit() for s in access.steps)


def _any_locker(file: GoFile, pair: Pair) -> bool:
    """Return whether the lock is a `sync.Locker`: it may be taken as often as one likes."""
    call = pair.event.operation
    if call.kind != "call_expression":
        return False
    operation = lock_operation(file.package.workspace.file_of(call), call)
    return operation is not None and operation.type == "sync.Locker"


def _is_optional(pair: Pair) -> bool:
    """Return whether a callee takes the lock only where its own state says that nobody has.

    `if !s.batch { s.mu.Lock(); defer s.mu.Unlock() }`, with the work behind it.
    """
    block = pair.event.operation.up("block")
    test = block.parent if block is not None else None
    if block is None or test is None or test.kind != "if_statement" or len(pair.event.path) < 2:
        return False
    return test.next is not None and all(_ONLY_LOCKS.fullmatch(s.text) for s in block.statements)


_ONLY_LOCKS = re.compile(rb"(?:defer )?[\w.]+\.R?(?:Unlock|Lock)\(\)")


def _leaves_before(pair: Pair) -> bool:
    """Return whether a function on the way leaves before it locks when the context says so.

    `if ctx.Value(inRefresh) != nil { return nil }`: who holds the lock may have marked it.
    """
    for node in pair.event.path[1:]:
        function = node.function
        for test in function.own() if function is not None else ():
            if test.kind != "if_statement" or test.end > node.start:
                continue
            if _ASKS_CONTEXT.search(test["condition"].text) and any(
                n.kind == "return_statement" for n in test["consequence"].own()
            ):
                return True
    return False


_ASKS_CONTEXT = re.compile(rb"(?i)\bctx\w*\.Value\(|context\w*\.Value\(|\bcontext\(\)\.Value\(")


def _tries_own(file: GoFile, pair: Pair) -> bool:
    """Return whether a test tries what a lock of its own package does when it is taken again."""
    return file.is_test_file and any(is_own_lock(file, node) for node in pair.event.path[:1])


def _handed_over(file: GoFile, pair: Pair) -> bool:
    """Return whether a literal, a goroutine perhaps, releases what it did not take.

    Or takes, under a name of its own, what the function then releases.
    """
    for literal in pair.function.find("func_literal"):
        called = literal.parent
        if literal is pair.function or not LOCK_CALLS.search(literal.text):
            continue
        if called is not None and called.parent is not None:
            if called.parent.kind == "defer_statement":
                continue
        same = [o for o in locks_of(file, literal).operations if o.access == pair.held.access]
        if any(o.releases for o in same) and not any(o.acquires for o in same):
            return True
        if literal_binding(file, literal) is not None and same:
            if not any(o.releases for o in same):
                return True
    return False


def _waits_for_release(file: GoFile, pair: Pair) -> bool:
    """Return whether a function launches somebody under its lock and locks again to wait for him.

    Some function of the package only releases that lock: it gives the sign.
    """
    taken, again = pair.taken_at, pair.event.operation
    if taken is None or again.function is not pair.function:
        return False
    launches = (n for n in pair.function.own() if n.kind == "go_statement")
    if not any(taken.end <= n.start < again.start for n in launches):
        return False
    return any(pair.held.lock_class in given for given in net_releases(file.package).values())


def _site(file: GoFile, pair: Pair) -> int:
    """Return which node of the path is to blame: the innermost that always runs under the lock.

    A function whose callers all hold the lock is where the mistake is, not its callers.
    """
    best = 0
    for index, node in enumerate(pair.event.path):
        if index and _always_held(file, node, pair):
            best = index
    return best


def _always_held(file: GoFile, node: Node, pair: Pair) -> bool:
    function = node.function
    if function is None:
        return False
    if function.kind == "func_literal":
        return _runs_under(file, function, pair)
    if node is pair.event.operation:
        return False  # somebody may come along who calls it without the lock
    owner = file.package.workspace.file_of(node)
    decl = declaration_of(owner, function)
    if decl is None or decl.exported:
        return False
    classes = {h.lock_class for h in entry_locks(owner, function)}
    return pair.held.lock_class in classes


def _runs_under(file: GoFile, literal: Node, pair: Pair) -> bool:
    """Return whether a literal runs nowhere but under the lock that its surroundings hold."""
    holder = pair.function
    if literal.tree is not holder.tree or not holder.contains(literal) or literal is holder:
        return False
    parent = literal.parent
    if parent is None:
        return False
    if parent.kind == "argument_list" or runs_in_place(file, literal):
        return True
    binding = literal_binding(file, literal)
    if binding is None:
        return False
    holding = holding_of(file, holder)
    for use in binding.uses:
        call = call_of(use)
        if use is binding.node:
            continue
        if call is None:
            return False
        if call.function is not holder or pair.held not in holding.at(call):
            return False
    return True


# --- the finding -------------------------------------------------------------------------


def _finding(file: GoFile, pair: Pair, site: int) -> Finding:
    path = pair.event.path
    node = path[site]
    name = lock_name(file, pair.held)
    related = taken_here(pair.taken_at, name)
    for index, step in enumerate(path):
        if index != site:
            word = "and taken again here" if index == len(path) - 1 else "on the way"
            related.append(Related(step.path, step.start, step.end, word))
    again = "read-locked" if pair.event.mode == "read" else "locked"
    held = "read-locked" if pair.held.mode == "read" else "held"
    if site == len(path) - 1:
        message = f"{name} is {again} while it is already {held}"
    else:
        through = f" through {_called(path[-2])}" if site < len(path) - 2 else ""
        if (shown := printed_by(file, node, path[site + 1])) is not None:
            through = f" through {shown[0].name}.{shown[1]}"
        elif (value := given(file, node, path[site + 1])) is not None:
            through = f" through {value.name}"
        message = f"{_called(node)} locks {name}{through} while it is already {held}"
        if again == "read-locked":
            message = message.replace(" locks ", " read-locks ", 1)
    fix, reason = _fix(file, pair, site)
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
    )


def _called(call: Node) -> str:
    function = call.get("function")
    if function is None or function.kind == "func_literal":
        return "the function called here"
    return " ".join(function.name.split())


# --- the fixes ---------------------------------------------------------------------------


@with_reason
def _fix(file: GoFile, pair: Pair, site: int) -> Fix:
    """Return the rewrite after which the lock is taken once.

    Unsafe: the inner critical section becomes a part of the outer one.
    """
    steps = _steps(file, pair)
    edits: list[Edit] = []
    name, reason = lock_name(file, pair.held), _REASON
    upgrade = (pair.held.mode, pair.event.mode) == ("read", "write")
    if upgrade:
        asking = waits_for_others(file, pair)
        moved = _released_first(file, pair, site, asking) if asking is not None else None
        if moved is not None:
            return _release(name, moved)
        edits += _exclusive(file, pair)
    try:
        if shrinks_its_loop(pair, site):
            raise BuilderError("what is called changes what the loop goes over")
        if site == len(steps) - 1:
            edits += dropped(file, pair, steps[-1])
            title = f"Take {name} only once"
            if edits[-1].new.endswith(b")"):
                title, reason = f"Release {name} here", "the second Lock was meant to be an Unlock"
        else:
            inner, made = _chain(file, steps, site)
            edits += made
            title = f"Call {inner}, which leaves {name} to its callers"
    except BuilderError:
        released = _released_first(file, pair, site) if site < len(steps) - 1 else None
        if released is None:
            raise
        return _release(name, released)
    if upgrade:
        title = f"Lock {name} for writing from the start"
    edits = sorted(set(edits))
    if any(a.path == b.path and b.start < a.end for a, b in pairwise(edits)):
        raise BuilderError("the statements to change share a line")
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _release(name: str, edits: tuple[Edit, ...]) -> Fix:
    reason = "the call runs after the critical section, and others may come in between"
    return Fix(f"Release {name} before the call", edits, Safety.UNSAFE, reason)


def _exclusive(file: GoFile, pair: Pair) -> list[Edit]:
    """Return the edits that make the holder's read lock a write lock."""
    edits = []
    for operation in lock_calls(file, pair.function):
        if operation.access == pair.held.access and operation.mode == "read":
            call = operation.call
            if operation.tries:
                raise BuilderError("the lock is tried, not taken")
            new = spelled(file, operation, operation.method.removeprefix("R")).encode()
            edits.append(Edit(call.path, call.start, call.end, new))
    if not edits:
        raise BuilderError("the read lock is taken in another function")
    return edits


def _steps(file: GoFile, pair: Pair) -> tuple[Node, ...]:
    """Return the calls that lead to the lock, up to that of the helper which is one operation."""
    path = tuple(pair.event.path)
    if len(path) > 1 and path[-2].kind == "call_expression":
        if lock_call(file.package.workspace.file_of(path[-2]), path[-2]) is not None:
            return path[:-1]
    return path


def _chain(file: GoFile, path: tuple[Node, ...], site: int) -> tuple[str, list[Edit]]:
    """Return the `…Locked` function to call at the blamed node, and the edits that make it."""
    workspace = file.package.workspace
    if site >= len(path) - 1:
        raise BuilderError("a helper takes the lock again")
    twin = twin_of(file, path[site:], only_below(file, path, site))
    edits = list(twin.edits)
    if site:  # all callers hold the lock: what else takes it there waits, too
        edits += [edit for other in others_beside(file, path[site:]) for edit in other]
    if (shown := printed_by(file, path[site], path[site + 1])) is not None:
        # `fmt.Print(c)` becomes `fmt.Print(c.stringLocked())`: a string prints like itself
        argument = shown[0]
        if argument.kind not in {"identifier", "selector_expression"}:
            raise BuilderError("what is printed has no name")
        edits.append(Edit(argument.path, argument.end, argument.end, f".{twin.name}()".encode()))
        return twin.inner, edits
    here = workspace.file_of(path[site])
    if (value := given(here, path[site], path[site + 1])) is not None:
        word = value.get("field") or value
        return twin.inner, [*edits, Edit(word.path, word.start, word.end, twin.name.encode())]
    return twin.inner, [*edits, *renamed(here, path[site], twin)]


def _released_first(
    file: GoFile, pair: Pair, site: int, asking: Node | None = None
) -> tuple[Edit, ...] | None:
    """Return the edits after which a call runs when the lock has been released.

    Where the function asks somebody else before, it is released for that already, if it can be.
    """
    if site or len(pair.event.path) < 2:
        return None
    access, call = pair.held.access, pair.event.path[site]
    above = can_be_released_above(file, access, asking, call) if asking is not None else None
    try:
        return call_after_unlock(file, access, call, above=above)
    except BuilderError:
        return None


def _written(file: GoFile, pair: Pair) -> bool:
    """Return whether something in the package locks the lock for writing."""
    lock_class = pair.held.lock_class
    known: dict[str, bool] = file.package.facts.setdefault("writers", {})
    if lock_class is None:
        return False
    if lock_class not in known:
        known[lock_class] = any(
            o.mode == "write" and (o.acquires or o.tries) and o.lock_class == lock_class
            for other in file.package.files
            for call in other.calls("Lock", "TryLock")
            if (o := lock_operation(other, call)) is not None
        )
    return known[lock_class]
