"""Call callbacks after the Unlock

A function that somebody else supplied runs while the lock is held. Whatever it does, the
lock waits for it; and when it calls back into the object, as listeners like to do, it waits
for the very lock that its caller holds.

What a constructor or its options are given counts where the name is that of a notice: `OnChange`.

Not reported: a callback that only unexported code can set; a function that is passed for this
one call (`Each(fn)`) or whose result is used; calls in a goroutine of their own; a comment
that speaks of the lock; collaborators whose types the project has, and which wait for nobody.
Hints only: log functions, and methods of interfaces with more than two, unless an
implementation takes the lock.

Unsafe: the callback runs later, and two of them may run at once or in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of
from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.effects import effects_of, holders
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of
from threadmend.golang.holding import holding_of
from threadmend.golang.lock_operations import ordered
from threadmend.golang.locks import LOCK_CALLS, Held, lock_name, locks_of
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Func, Interface
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock
from ._list_handed import copy_part, hand_list
from ._moved_statement import statement_to_move
from ._supplied import (
    SAYS,
    Callback,
    callback_of,
    is_of,
    is_question,
    may_be_value,
    origin,
    supplier_of,
)
from ._taken_here import taken_here
from ._told_by_method import calls_of_method
from ._told_through import tells_each, told_through

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("

_LOCKS = re.compile(r"(?i)lock")
_LISTENER = 2  # methods of an interface that is there to be told; more make a collaborator


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of supplied functions under a lock of the object that keeps them."""
    for function in holders(file):
        name = function.get("name")
        if name is not None and _LOCKS.search(name.name):
            continue  # its very contract
        if SAYS.search(doc_of(function)):
            continue
        holding = holding_of(file, function)
        for call in function.own():
            if call.kind != "call_expression" or is_question(call):
                continue
            held = holding.at(call)
            if not held or not may_be_value(file, call["function"]):
                continue
            callback = callback_of(file, call) or _through_helper(file, call)
            callback = callback or _by_parameter(file, call)
            if callback is None:
                yield from _by_method(file, call, held)
                continue
            lock = _own_lock(file, callback, held)
            if lock is None or _is_at_hand(file, call, lock):
                continue
            if not _is_the_purpose(file, call, lock):
                yield _finding(file, callback, lock)


def _by_method(file: GoFile, call: Node, held: frozenset[Held]) -> Iterator[Finding]:
    """Yield the finding for a method of the same object that calls what was supplied."""
    own = [
        h
        for h in ordered(held)
        if isinstance(h.access.root, Binding) and h.access.root.kind == "receiver"
    ]
    if not own or call.parent is None or call.parent.kind != "expression_statement":
        return
    for where, inner, levels in calls_of_method(file, call):
        function = inner.function
        if function is None or is_question(inner) or not may_be_value(where, inner["function"]):
            continue
        callback = callback_of(where, inner)
        if callback is None or SAYS.search(doc_of(function)):
            continue
        place = access_of(where, callback.field)
        root = place.root if place is not None else None
        if isinstance(root, Binding) and root.kind == "receiver":
            yield _told_below(file, call, own[0], (where, callback), levels)
            return


def _told_below(
    file: GoFile, call: Node, lock: Held, told: tuple[GoFile, Callback], levels: int
) -> Finding:
    where, callback = told
    function, name = " ".join(callback.call["function"].name.split()), lock_name(file, lock)
    inner, supplier = callback.call, callback.supplier
    fix, reason = _fix_below(file, call, lock, told, levels)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{call['function'].name} calls the supplied {function} while {name} is held",
        fixes=(fix,) if fix else (),
        related=(
            Related(inner.path, inner.start, inner.end, "it is called here"),
            Related(supplier.path, supplier.start, supplier.end, "it is supplied here"),
        ),
        reason=reason,
        confidence=_confidence(where, callback, lock),
    )


@with_reason
def _fix_below(
    file: GoFile, call: Node, lock: Held, told: tuple[GoFile, Callback], levels: int
) -> Fix:
    where, callback = told
    if levels > 1:
        raise BuilderError("the method that calls it does other things as well")
    title = f"Call {call['function'].name} after {lock_name(file, lock)} is released"
    reason = "the callback runs after the critical section"
    decl = file.callee(call)
    if decl is not None and _needs_no_list(decl, callback):
        edits = after_unlock(file, lock.access, statement_to_move(call, lock))
        return Fix(title, edits, Safety.UNSAFE, reason)
    if decl is not None and decl.file.package is not file.package:
        raise BuilderError("the list that the method goes through may change")
    if callback.supplier.kind != "keyed_element" and decl is not None:
        if call["function"]["operand"].kind == "selector_expression":
            edits = copy_part(file, call, decl, callback.field, lock)
        elif decl.exported:
            raise BuilderError(f"others may call {decl.name} as it is")
        else:
            edits = hand_list(decl, callback.field, lock)
        return Fix(title, edits, Safety.UNSAFE, reason)
    body = callback.call.function
    if body is None or any(
        n.kind == "selector_expression"
        and n.text != callback.field.text
        and not n.contains(callback.field)
        and access_of(where, n) is not None
        and not callback.call.contains(n)
        for n in body["body"].own()
    ):
        raise BuilderError("the method that calls it does other things as well")
    edits = after_unlock(file, lock.access, statement_to_move(call, lock))
    return Fix(title, edits, Safety.UNSAFE, reason)


def _needs_no_list(decl: Decl, callback: Callback) -> bool:
    """Return whether a method locks for its list itself, or reads nothing that changes.

    `if r.hooks.Emptied != nil { r.hooks.Emptied(r.ID) }`, both set where the object is made.
    """
    if callback.field is not callback.call["function"]:
        return any(o.acquires for o in locks_of(decl.file, decl.node).operations)
    body = decl.node["body"]
    fields = [n for n in body.own() if n.kind == "selector_expression" and _is_field(decl.file, n)]
    inner = {n["operand"] for n in fields}
    return all(
        not any(
            a.writes and not a.setup and not a.fresh
            for a in accesses_like(decl.file.package, decl.file, field)
        )
        for field in fields
        if field in inner or field["operand"].kind == "identifier"
    ) and not any(n.kind in _WRITES for n in body.own())


_WRITES = frozenset({"assignment_statement", "inc_statement", "dec_statement", "send_statement"})


def _is_the_purpose(file: GoFile, call: Node, lock: Held) -> bool:
    """Return whether a lock is there to let one set of callbacks run at a time, on its object.

    All who take it call them, and give them the object whose state it keeps as it is:
    `s.reload.Lock(); s.settings = read(); for _, f := range s.callbacks { f(s) }`.
    """
    owner = lock.access.owner
    given = (access_of(file, a) for a in call["arguments"].children)
    if owner is None or not any(a == owner for a in given if a is not None):
        return False
    kept = origin(file, call["function"])
    for other in file.package.files:
        for function in holders(other) if not other.is_test else ():
            taken = (o for o in locks_of(other, function).operations if o.acquires)
            if any(o.lock_class == lock.lock_class for o in taken):
                named = function.find("selector_expression")
                if kept is None or not any(n["field"].text == kept["field"].text for n in named):
                    return False
    return True


def _through_helper(file: GoFile, call: Node) -> Callback | None:
    """Return the callback that a literal calls, once for each that a helper goes through."""
    told = told_through(file, call)
    for inner in told.literal["body"].own() if told is not None else ():
        if told is None or inner.kind != "call_expression" or is_question(inner):
            continue
        function = inner["function"]
        name = function["operand"] if function.kind == "selector_expression" else function
        binding = file.binding(name) if name.kind == "identifier" else None
        if binding is None or binding.scope is not told.literal or binding.kind != "parameter":
            continue
        kind = Func if name is function else Interface
        known = file.package.workspace.file_of(told.field).selection(told.field)
        if known is None or known.owner is None or not is_of(file, file.type_of(name), kind):
            continue
        supplier = supplier_of(file.package, known.owner, known.name)
        if supplier is not None:
            return Callback(inner, told.field, supplier, told)
    return None


def _by_parameter(file: GoFile, call: Node) -> Callback | None:
    """Return the callback that a parameter is there to call, handed what was supplied."""
    if call["function"].kind != "identifier":
        return None
    told = tells_each(file, call)
    field, part = told if told is not None else (None, "")
    known = file.selection(field) if field is not None else None
    if field is None or known is None or known.owner is None:
        return None
    supplier = supplier_of(file.package, known.owner, known.name, part)
    return Callback(call, field, supplier) if supplier is not None else None


def _own_lock(file: GoFile, callback: Callback, held: frozenset[Held]) -> Held | None:
    """Return the held lock that belongs to the object which keeps the callback."""
    told = callback.told
    place = access_of(file, told.call["function"]["operand"] if told else callback.field)
    for lock in sorted(held, key=lambda h: str(h.access)):
        if place is not None and isinstance(place.root, Binding):
            if lock.access.root is place.root:
                return lock
    return None


def _finding(file: GoFile, callback: Callback, lock: Held) -> Finding:
    call, name = callback.call, lock_name(file, lock)
    function = " ".join(call["function"].name.split())
    under = callback.told.call if callback.told is not None else call
    taken = holding_of(file, under.function).taken_at(lock, under) if under.function else None
    related = taken_here(taken, name)
    supplier = callback.supplier
    related.append(Related(supplier.path, supplier.start, supplier.end, "it is supplied here"))
    fix, reason = _fix(file, callback, lock)
    return Finding(
        path=file.path,
        start=call.start,
        end=call.end,
        message=f"{function} is a supplied callback and is called while {name} is held",
        fixes=(fix,) if fix else (),
        related=tuple(related),
        reason=reason,
        confidence=_confidence(file, callback, lock),
    )


@with_reason
def _fix(file: GoFile, callback: Callback, lock: Held) -> Fix:
    function = " ".join(callback.call["function"].name.split())
    title = f"Call {function} after {lock_name(file, lock)} is released"
    edits = _after(file, callback, lock)
    return Fix(title, edits, Safety.UNSAFE, "the callback runs after the critical section")


def _after(file: GoFile, callback: Callback, lock: Held) -> tuple[Edit, ...]:
    """Return the edits that call after the Unlock; a list that a helper goes through is copied."""
    told = callback.told
    if told is None:
        return after_unlock(file, lock.access, statement_to_move(callback.call, lock))
    copy, within, imports = told.inlined()
    statement = told.call.parent
    assert statement is not None
    edits = after_unlock(file, lock.access, statement, first=(copy,), within=within)
    return tuple(dict.fromkeys((*edits, *imports)))


def _confidence(file: GoFile, callback: Callback, lock: Held) -> Confidence:
    """Return how likely the callback comes back to the object.

    High when a known one does; low when nothing that others may call takes the lock, and of
    what does not exist to be told: a log function, one with a result, an object with a life of
    its own.
    """
    if _comes_back(file, callback.call, lock) and not _ends_an_element(file, callback.call):
        return Confidence.HIGH
    if not _is_told(file, callback.call["function"]):
        return Confidence.LOW
    return Confidence.MEDIUM if _is_open(file, callback, lock) else Confidence.LOW


def _ends_an_element(file: GoFile, call: Node) -> bool:
    """Return whether a call ends an object with a life of its own: `for _, c := range p.idle {
    c.Close() }`. What takes the lock there is an object of the same kind, further in.
    """
    function = call["function"]
    if function.kind != "selector_expression" or not _ENDS.fullmatch(function["field"].name):
        return False
    return not _is_told(file, function)


_ENDS = re.compile(r"Close\w*|Stop|Shutdown|Destroy|Release|Dispose")


def _is_told(file: GoFile, function: Node) -> bool:
    """Return whether what is called is a notice: no `logf(format, args...)`, a small interface."""
    type_ = file.underlying(file.type_of(function))
    if isinstance(type_, Func) and type_.variadic:
        return False
    if isinstance(type_, Func) and type_.results and _is_field(file, function):
        return False  # others ask it: `if err := p.reserve(addr); err != nil`
    if function.kind != "selector_expression":
        return True
    object_ = file.underlying(file.type_of(function["operand"]))
    if not isinstance(object_, Interface):
        return True
    own = [child.kind for child in object_.node.children if child.kind != "interface"]
    return set(own) <= {"method_elem"} and len(own) <= _LISTENER


def _is_field(file: GoFile, function: Node) -> bool:
    """Return whether what is called is one function that an object keeps, no list's element."""
    selection = file.selection(function) if function.kind == "selector_expression" else None
    return selection is not None and selection.kind == "field"


def _is_open(file: GoFile, callback: Callback, lock: Held) -> bool:
    """Return whether an exported function takes the lock, apart from the two in question."""
    apart = (callback.call, callback.supplier)
    for decl in file.package.functions():
        start, end = decl.span
        if not decl.exported or not decl.sound or decl.file.is_test:
            continue
        if any(p.path == decl.file.path and start <= p.start < end for p in apart):
            continue
        if not LOCK_CALLS.search(decl.file.data, start, end):
            continue
        operations = locks_of(decl.file, decl.node).operations
        if any(o.acquires and o.lock_class == lock.lock_class for o in operations):
            return True
    return callback.field is not callback.call["function"]


def _is_at_hand(file: GoFile, call: Node, lock: Held) -> bool:
    """Return whether a collaborator's methods are all the project's, and wait for nobody there.

    They may take other locks, of which lock-order knows. A listener is there for others to write.
    """
    found = targets(file, call)
    return (
        found.complete
        and not _is_told(file, call["function"])
        and bool(found.bodies)
        and all(
            event.kind == "acquire" and event.lock_class not in {None, lock.lock_class}
            for body in found.bodies
            for event in effects_of(body)
        )
    )


def _comes_back(file: GoFile, call: Node, lock: Held) -> bool:
    """Return whether a function that may be meant takes the lock, of this or another object."""
    return any(
        event.kind == "acquire"
        and event.lock_class == lock.lock_class
        and lock.lock_class not in event.without
        for body in targets(file, call).bodies
        for event in effects_of(body)
    )
