"""What `lock-held-while-blocking` and `waitgroup-wait-under-lock` share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import (
    BuilderError,
    insert_after,
    insert_before,
    move_before,
    with_reason,
)
from threadmend.golang.channel_index import behind
from threadmend.golang.conditions import cond_calls
from threadmend.golang.effects import Pair, holders, pairs_of
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of, outer_function
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.leaving import Leave
from threadmend.golang.locks import lock_name, lock_operation
from threadmend.golang.releases import comes_with_receive
from threadmend.golang.stop_waits import needed_meanwhile
from threadmend.golang.syntax import Node
from threadmend.golang.unblocking import OtherSide, closed_under, needing_lock
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock, something_left, widened
from ._left_behind import left_by
from ._run_in_two import given_to_runner, run_in_two
from ._stop_cases import in_select
from ._taken_here import taken_here
from ._tried_locks import held_off_by_test
from ._wake_lost import remembered

__all__ = ["blocked"]

_WORDS = {"send": "send", "receive": "receive", "wait": "Wait"}


def blocked(file: GoFile, modes: set[str]) -> Iterator[Finding]:
    """Yield the operations that wait, under a lock, for somebody who needs that lock."""
    seen: set[int] = set()
    for function in holders(file):
        for pair in sorted(pairs_of(file, function), key=lambda p: p.node.start):
            event = pair.event
            if event.kind not in {"block", "choice"} or event.mode not in modes or not event.sure:
                continue
            if pair.node.start in seen:
                continue
            other = needing_lock(pair) or needed_meanwhile(pair)
            if other is not None and other.buffered and _is_last_word(pair):
                continue
            if pair.taken_at is None and _is_handed_over(file, pair):
                continue
            if held_off_by_test(file, function, pair.held.lock_class):
                continue
            if other is not None and not (_on_purpose(file, pair) or _is_first(pair)):
                seen.add(pair.node.start)
                yield _finding(file, pair, other)


def _is_handed_over(file: GoFile, pair: Pair) -> bool:
    """Return whether the lock that a function releases right behind a receive comes with that."""
    statement = pair.node.statement
    after = statement.next if statement is not None else None
    call = after.children[0] if after is not None and after.kind == "expression_statement" else None
    operation = lock_operation(file, call) if call is not None else None
    if operation is None or not operation.releases or operation.access != pair.held.access:
        return False
    return comes_with_receive(operation.call)


_HOLDS = re.compile(rb"(?i)\bh[eo]ld")


def _on_purpose(file: GoFile, pair: Pair) -> bool:
    """Return whether a comment of the function says that this lock is held here."""
    steps = pair.held.access.steps
    root = pair.held.access.root
    name = (steps[-1] if steps else getattr(root, "name", "")).encode()
    tree = file.tree
    texts = [
        tree.data[c.start : c.end] for c in tree.comments_in(pair.function.start, pair.node.end)
    ]
    together = doc_of(pair.function) + b"\n".join(texts)
    return bool(name) and name in together and bool(_HOLDS.search(together))


_BUFFERED = re.compile(rb"= make\(chan [^,]+, [1-9]\d*\)")


def _is_first(pair: Pair) -> bool:
    """Return whether a send is the first on a channel made right above, with a buffer."""
    send = pair.event.operation
    above = send.previous if send.kind == "send_statement" else None
    if above is None or above.kind not in {"assignment_statement", "short_var_declaration"}:
        return False
    return above["left"].text == send["channel"].text and bool(_BUFFERED.search(above.text))


_TELLS_END = re.compile(r"(?<=[a-z])(?:Clos(?:e|ing)|Stop(?:ping)?|Shutdown|Quit|Exit)$")
_ENDS = re.compile(r"(?i)(?:close|stop|shutdown|quit|end|finish|terminate)")


def _is_last_word(pair: Pair) -> bool:
    """Return whether a send tells the end, once: the buffer has room for the only thing sent."""
    send, name = pair.event.operation, pair.function.get("name")
    if send.kind != "send_statement" or name is None:
        return False
    if not (_ENDS.match(name.name) or _TELLS_END.search(name.name)):
        return False
    if send.function is not pair.function or innermost_loop(send) is not None:
        return False
    return [o.node for o in behind(pair.file, send).of("send")] == [send]


def _finding(file: GoFile, pair: Pair, other: OtherSide) -> Finding:
    name = lock_name(file, pair.held)
    node = pair.node
    word = _WORDS[pair.event.mode]
    what = f"{_shown(pair.event.operation)} waits"
    if len(pair.event.path) > 1 and given_to_runner(pair) is None:
        what = f"{_shown(node)} waits in a {word}"
    message = f"{what} while {name} is held, and the other side needs {name}"
    if other.stop:
        message = f"{what} for the end while {name} is held, which others need until then"
    related = taken_here(pair.taken_at, name)
    further = pair.event.path[1:]
    related += [Related(s.path, s.start, s.end, "where it waits") for s in further]
    operation = other.operation
    side = f"needs {name}" if other.stop else "the other side"
    related.append(Related(operation.path, operation.start, operation.end, side))
    if other.takes is not None:
        takes = other.takes
        related.append(Related(takes.path, takes.start, takes.end, f"which needs {name} here"))
    fix, reason = _fix(file, pair)
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=message,
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
        confidence=_confidence(pair, other),
    )


def _confidence(pair: Pair, other: OtherSide) -> Confidence:
    """Return low where a buffer takes what is sent, and nothing shows that it is ever full."""
    if other.buffered:
        return Confidence.LOW if _is_announced(pair, other) else Confidence.MEDIUM
    certain = pair.event.kind == "block" and not other.stop
    return Confidence.HIGH if certain else Confidence.MEDIUM


def _is_announced(pair: Pair, other: OtherSide) -> bool:
    """Return whether a field says that something is on its way, until it has been received.

    `if !c.resetting { c.resetting = true; c.resets <- … }`, where only who receives sets it back:
    the buffer never holds more than one.
    """
    send, receiver = pair.event.operation, outer_function(other.operation)
    file = pair.file.package.workspace.file_of(send)
    for test in send.ancestors():
        branch = test.get("consequence") if test.kind == "if_statement" else None
        if branch is None or not branch.contains(send):
            continue
        said = {s["left"].text for s in branch.find("assignment_statement")}
        said |= {s["operand"].text for s in branch.find("selector_expression") if _stores(s)}
        for field in test["condition"].find("selector_expression"):
            if field.text not in said:
                continue
            others = [
                access
                for access in accesses_like(file.package, file, field)
                if (access.writes or _stores(access.node.parent))
                and not access.fresh
                and not branch.contains(access.node)
            ]
            if others and all(_belongs_to(outer_function(a.node), receiver) for a in others):
                return True
    return False


def _belongs_to(function: Node | None, receiver: Node | None) -> bool:
    """Return whether a function is the one that receives, or one that it calls by name."""
    if function is None or receiver is None or function is receiver:
        return function is not None and function is receiver
    name = function.get("name")
    return name is not None and b"." + name.text + b"(" in receiver.text


def _stores(node: Node | None) -> bool:
    """Return whether a node is `x.Store` of an atomic value."""
    return node is not None and node.kind == "selector_expression" and node["field"].name == "Store"


def _shown(node: Node) -> str:
    text = " ".join(node.name.split())
    return text if len(text) <= 40 else text[:37] + "..."


@with_reason
def _fix(file: GoFile, pair: Pair) -> Fix:
    """Return the rewrite after which the wait happens without the lock.

    Unsafe in both forms: others may come in before the wait, or during it.
    """
    name, word = lock_name(file, pair.held), _WORDS[pair.event.mode]
    statement = _statement(pair)
    if closed_under(pair):
        raise BuilderError(f"{name} keeps the channel from being closed during the send")
    literal = given_to_runner(pair)
    if literal is not None:
        edits, last = run_in_two(pair, literal)
        reason = f"others may change what {name} guards during the {word}"
        title = f"Release {name} {'before' if last else 'during'} the {word}"
        return Fix(title, edits, Safety.UNSAFE, reason)
    whole = widened(statement, lambda around: _holds(pair, around))
    if len(pair.event.path) > 1 and not something_left(file, pair.held.access, whole):
        raise BuilderError("the critical section is there for the call")
    try:
        send = pair.event.mode == "send"
        edits = after_unlock(file, pair.held.access, whole, move=send)
    except BuilderError:
        first = _taken_right_above(pair, statement)
        if first is not None:
            edits = move_before(statement, first)
            reason = f"others may take {name} between the {word} and what follows"
            return Fix(f"{word.capitalize()} before taking {name}", edits, Safety.UNSAFE, reason)
        edits = _meanwhile(pair, statement)
        reason = f"others may change what {name} guards during the {word}"
        return Fix(f"Release {name} during the {word}", edits, Safety.UNSAFE, reason)
    reason = "the critical section ends earlier"
    if pair.event.mode == "receive" and len(pair.event.path) == 1:
        slot = remembered(pair.file, pair.event.operation)
        if slot:
            edits = (*edits, *slot)
            reason += ", and a slot keeps the signal that comes in between"
    if statement.kind == "send_statement":
        # Without the lock it would be found to wait for receivers that have left.
        stop = left_by(pair.file, statement, locked=True)
        if stop is not None and _is_last(pair, statement):
            chosen = in_select(pair.file, statement, stop, reason, leave=Leave(""))
            if isinstance(chosen, Fix):
                edits = (*edits, *chosen.edits)
                reason += ", and nothing is sent when nobody receives any more"
    return Fix(f"Release {name} before the {word}", edits, Safety.UNSAFE, reason)


def _is_last(pair: Pair, statement: Node) -> bool:
    """Return whether a function ends with a statement, or with the release behind it."""
    body = pair.function.get("body")
    following = statement.next
    if following is not None and body is not None and following is body.statements[-1]:
        call = following.children[0] if following.kind == "expression_statement" else None
        operation = lock_operation(pair.file, call) if call is not None else None
        return operation is not None and operation.releases
    return body is not None and statement is body.statements[-1]


def _statement(pair: Pair) -> Node:
    statement = pair.node.statement
    if pair.event.kind == "choice" and len(pair.event.path) == 1:
        statement = pair.node.up("select_statement")
    if statement is None or statement.function is not pair.function:
        raise BuilderError("what blocks is not a statement of its own")
    if statement.kind == "defer_statement":
        raise BuilderError("what blocks is deferred")
    return statement


def _taken_right_above(pair: Pair, statement: Node) -> Node | None:
    """Return the statement that takes the lock when what waits comes right behind it, or behind
    it and its deferred release.
    """
    above = statement.previous
    if statement.kind not in _SIMPLE - {"select_statement"}:
        return None
    if above is not None and above.kind == "defer_statement":
        operation = lock_operation(pair.file, above.children[-1])
        if operation is None or operation.lock.name != lock_name(pair.file, pair.held):
            return None
        above = above.previous
    taken = pair.taken_at
    if above is None or taken is None or above.kind != "expression_statement":
        return None
    return above if above.contains(taken) else None


def _meanwhile(pair: Pair, statement: Node) -> tuple[Edit, ...]:
    """Release the lock right before a statement and take it again right after.

    In a loop that waits on a condition variable as well: it gives the lock up every round.
    """
    taken = pair.taken_at
    operation = lock_operation(pair.file, taken) if taken is not None else None
    if operation is None or statement.kind not in _SIMPLE:
        raise BuilderError("the critical section goes on after it")
    for loop in statement.ancestors():
        if loop is pair.function:
            break
        if loop.kind == "for_statement" and not loop.contains(operation.call):
            if not any(loop.contains(c.call) and c.method == "Wait" for c in cond_calls(pair.file)):
                raise BuilderError("what blocks is in a loop over what the lock guards")
    lock = operation.lock.name
    release = "RUnlock" if operation.mode == "read" else "Unlock"
    again = f"{lock}.{operation.method}()"
    edits = [*insert_before(statement, f"{lock}.{release}()")]
    if statement.kind != "select_statement":
        return (*edits, *insert_after(statement, again))
    for clause in statement.children:
        if clause.kind == "communication_case":
            if not clause.statements:
                raise BuilderError("a case of the select is empty")
            edits += insert_before(clause.statements[0], again)
    return tuple(edits)


_SIMPLE = frozenset(
    {"expression_statement", "send_statement", "short_var_declaration", "assignment_statement"}
    | {"receive_statement", "select_statement"}
)


def _holds(pair: Pair, statement: Node) -> bool:
    """Return whether the lock is taken inside of a statement."""
    return pair.taken_at is None or statement.contains(pair.taken_at)
