"""Call callbacks after the Unlock

A function that somebody else supplied runs while the lock is held. Whatever it does, the
lock waits for it; and when it calls back into the object, as listeners like to do, it waits
for the very lock that its caller holds.

Not reported: a callback that only unexported code can set; a function that is passed for this
one call (`Each(fn)`) or whose result is used; calls in a goroutine of their own; a comment
that speaks of the lock. Hints only: log functions, and methods of interfaces with more than two,
unless an implementation takes the lock.

Unsafe: the callback runs later, and two of them may run at once or in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import access_of
from threadmend.golang.builders import with_reason
from threadmend.golang.effects import effects_of, holders
from threadmend.golang.file import GoFile
from threadmend.golang.holding import holding_of
from threadmend.golang.locks import LOCK_CALLS, Held, lock_name, locks_of
from threadmend.golang.package import Package
from threadmend.golang.releases import documentation
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.targets import targets
from threadmend.golang.types import Func, Interface, Named, Type, is_named
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._after_unlock import after_unlock
from ._told_through import Told, told_through

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("

_LOCKS = re.compile(r"(?i)lock")
_LISTENER = 2  # methods of an interface that is there to be told; more make a collaborator
_SAYS = re.compile(rb"(?i)\block|\bheld\b|\bmust not\b|deadlock|synchronous")


@dataclass(frozen=True, slots=True)
class _Callback:
    """A call of something that was supplied: the field that keeps it, and who supplied it."""

    call: Node
    field: Node
    supplier: Node
    told: Told | None = None
    """The call of a helper that goes through the list, with a literal that calls each."""


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of supplied functions under a lock of the object that keeps them."""
    for function in holders(file):
        name = function.get("name")
        if name is not None and _LOCKS.search(name.name):
            continue  # its very contract
        if _SAYS.search(documentation(file, function)):
            continue
        holding = holding_of(file, function)
        for call in function.own():
            if call.kind != "call_expression" or _asks(call):
                continue
            held = holding.at(call)
            if not held or not _may_be_value(file, call["function"]):
                continue
            callback = _callback(file, call) or _through_helper(file, call)
            lock = _own_lock(file, callback, held) if callback is not None else None
            if callback is not None and lock is not None and not _is_the_purpose(file, call, lock):
                yield _finding(file, callback, lock)


def _is_the_purpose(file: GoFile, call: Node, lock: Held) -> bool:
    """Return whether a lock is there to let one set of callbacks run at a time, on its object.

    All who take it call them, and give them the object whose state it keeps as it is:
    `s.reload.Lock(); s.settings = read(); for _, f := range s.callbacks { f(s) }`.
    """
    owner = lock.access.owner
    given = (access_of(file, a) for a in call["arguments"].children)
    if owner is None or not any(a == owner for a in given if a is not None):
        return False
    kept = _origin(file, call["function"])
    for other in file.package.files:
        for function in holders(other) if not other.is_test else ():
            taken = (o for o in locks_of(other, function).operations if o.acquires)
            if any(o.lock_class == lock.lock_class for o in taken):
                named = function.find("selector_expression")
                if kept is None or not any(n["field"].text == kept["field"].text for n in named):
                    return False
    return True


def _asks(call: Node) -> bool:
    """Return whether the result is used: a question to a collaborator, not a notice."""
    return call.parent is None or call.parent.kind != "expression_statement"


def _may_be_value(file: GoFile, function: Node) -> bool:
    """Return whether what is called may be a function value or an interface's method."""
    if function.kind == "index_expression":
        return True
    if function.kind == "identifier":
        binding = resolve_local(function)
        return binding is not None and binding.kind in {"range", "variable"}
    if function.kind != "selector_expression":
        return False
    operand = function["operand"]
    return operand.kind != "identifier" or file.imported(operand.name) is None


def _callback(file: GoFile, call: Node) -> _Callback | None:
    """Return the field that what is called comes from, if somebody else fills it."""
    field = _origin(file, call["function"])
    if field is None:
        return None
    selection = file.selection(field)
    if selection is None or selection.kind != "field" or selection.owner is None:
        return None
    package = file.package.workspace.package_by_key(selection.owner.package)
    if package is not file.package or selection.owner.local:
        return None
    if is_named(file.type_of(call["function"]), "context.CancelFunc", "context.CancelCauseFunc"):
        return None
    supplier = _supplier(package, selection.owner, selection.name)
    return _Callback(call, field, supplier) if supplier is not None else None


def _through_helper(file: GoFile, call: Node) -> _Callback | None:
    """Return the callback that a literal calls, once for each that a helper goes through."""
    told = told_through(file, call)
    for inner in told.literal["body"].own() if told is not None else ():
        if told is None or inner.kind != "call_expression" or _asks(inner):
            continue
        function = inner["function"]
        name = function["operand"] if function.kind == "selector_expression" else function
        binding = file.binding(name) if name.kind == "identifier" else None
        if binding is None or binding.scope is not told.literal or binding.kind != "parameter":
            continue
        kind = Func if name is function else Interface
        known = told.helper.file.selection(told.field)
        if known is None or known.owner is None or not _is(file, file.type_of(name), kind):
            continue
        supplier = _supplier(file.package, known.owner, known.name)
        if supplier is not None:
            return _Callback(inner, told.field, supplier, told)
    return None


def _origin(file: GoFile, function: Node) -> Node | None:
    """Return `s.hooks` of `s.hooks(…)`, `s.hooks[i](…)`, `for _, h := range s.hooks { h(…) }`."""
    if function.kind == "index_expression":
        return _field(function["operand"])
    if function.kind == "selector_expression":
        selection = file.selection(function)
        operand = function["operand"]
        if selection is not None and selection.kind == "field":
            if not _is(file, file.type_of(function), Func):
                return None
            # `for _, sub := range s.subs { sub.notify(…) }`: the list is what is supplied.
            element = _element_of(file, operand) if operand.kind == "identifier" else None
            return element or function
        if not _is(file, file.type_of(operand), Interface):
            return None
        if operand.kind == "identifier":
            return _element_of(file, operand)
        return None  # a collaborator, not a list of listeners
    if function.kind == "identifier" and _is(file, file.type_of(function), Func):
        return _element_of(file, function)
    return None


def _is(file: GoFile, type_: Type | None, kind: type) -> bool:
    return isinstance(file.underlying(type_), kind)


def _element_of(file: GoFile, name: Node) -> Node | None:
    """Return the field over which a variable ranges, or an element of which it is."""
    binding = file.binding(name)
    if binding is None:
        return None
    declaration = binding.declaration
    if binding.kind == "range" and declaration.kind == "range_clause":
        return _field(declaration["right"])
    right = declaration.get("right")
    if declaration.kind == "short_var_declaration" and right is not None:
        if len(right.children) == 1 and right.children[0].kind == "index_expression":
            return _field(right.children[0]["operand"])
    return None


def _field(node: Node) -> Node | None:
    """Return the field that a list stands in: `s.hooks`, or `s.hooks[name]` of several lists."""
    while node.kind == "index_expression":
        node = node["operand"]
    return node if node.kind == "selector_expression" else None


def _supplier(package: Package, owner: Named, name: str) -> Node | None:
    """Return where an exported function puts one of its parameters into a field."""
    known: dict[tuple[str, str], Node | None] = package.facts.setdefault("suppliers", {})
    key = (owner.name, name)
    if key not in known:
        known[key] = next(_supplied(package, owner, name), None)
    return known[key]


def _supplied(package: Package, owner: Named, name: str) -> Iterator[Node]:
    pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"\b")
    for file in package.files:
        if file.is_test or not file.holds(pattern):
            continue
        for statement in file.find("assignment_statement", pattern):
            for left in statement["left"].children:
                place = left["operand"] if left.kind == "index_expression" else left
                if place.kind != "selector_expression" or place["field"].name != name:
                    continue
                selection = file.selection(place)
                if selection is None or selection.owner is None:
                    continue
                if selection.owner.name == owner.name and _from_outside(file, statement["right"]):
                    yield statement


def _from_outside(file: GoFile, value: Node) -> bool:
    """Return whether a value holds a parameter, a function or interface, of exported code."""
    for name in value.find("identifier"):
        binding = file.binding(name)
        if binding is None or binding.kind != "parameter":
            continue
        function = binding.scope
        own = function.get("name")
        if own is None or not own.name[:1].isupper():
            continue
        if _SAYS.search(documentation(file, function)):
            continue
        if isinstance(file.underlying(file.type_of(name)), Func | Interface):
            return True
    return False


def _own_lock(file: GoFile, callback: _Callback, held: frozenset[Held]) -> Held | None:
    """Return the held lock that belongs to the object which keeps the callback."""
    told = callback.told
    place = access_of(file, told.call["function"]["operand"] if told else callback.field)
    for lock in sorted(held, key=lambda h: str(h.access)):
        if place is not None and isinstance(place.root, Binding):
            if lock.access.root is place.root:
                return lock
    return None


def _finding(file: GoFile, callback: _Callback, lock: Held) -> Finding:
    call, name = callback.call, lock_name(file, lock)
    function = " ".join(call["function"].name.split())
    related = []
    under = callback.told.call if callback.told is not None else call
    taken = holding_of(file, under.function).taken_at(lock, under) if under.function else None
    if taken is not None:
        related.append(Related(taken.path, taken.start, taken.end, f"{name} is taken here"))
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
def _fix(file: GoFile, callback: _Callback, lock: Held) -> Fix:
    function = " ".join(callback.call["function"].name.split())
    title = f"Call {function} after {lock_name(file, lock)} is released"
    edits = _after(file, callback, lock)
    return Fix(title, edits, Safety.UNSAFE, "the callback runs after the critical section")


def _after(file: GoFile, callback: _Callback, lock: Held) -> tuple[Edit, ...]:
    """Return the edits that call after the Unlock; a list that a helper goes through is copied."""
    told = callback.told
    if told is None:
        return after_unlock(file, lock.access, _statement(callback.call, lock))
    copy, within, imports = told.inlined()
    statement = told.call.parent
    assert statement is not None
    edits = after_unlock(file, lock.access, statement, first=(copy,), within=within)
    return tuple(dict.fromkeys((*edits, *imports)))


def _confidence(file: GoFile, callback: _Callback, lock: Held) -> Confidence:
    """Return how likely the callback comes back to the object.

    High when a known one does; low when nothing that others may call takes the lock, and of
    what does not exist to be told: a log function, an object with a life of its own.
    """
    if _comes_back(file, callback.call, lock):
        return Confidence.HIGH
    if not _is_told(file, callback.call["function"]):
        return Confidence.LOW
    return Confidence.MEDIUM if _is_open(file, callback, lock) else Confidence.LOW


def _is_told(file: GoFile, function: Node) -> bool:
    """Return whether what is called is a notice: no `logf(format, args...)`, a small interface."""
    type_ = file.underlying(file.type_of(function))
    if isinstance(type_, Func) and type_.variadic:
        return False
    if function.kind != "selector_expression":
        return True
    object_ = file.underlying(file.type_of(function["operand"]))
    if not isinstance(object_, Interface):
        return True
    own = [child.kind for child in object_.node.children if child.kind != "interface"]
    return set(own) <= {"method_elem"} and len(own) <= _LISTENER


def _is_open(file: GoFile, callback: _Callback, lock: Held) -> bool:
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


def _comes_back(file: GoFile, call: Node, lock: Held) -> bool:
    """Return whether a function that may be meant takes the lock, of this or another object."""
    return any(
        event.kind == "acquire"
        and event.lock_class == lock.lock_class
        and lock.lock_class not in event.without
        for body in targets(file, call).bodies
        for event in effects_of(body)
    )


def _statement(call: Node, lock: Held) -> Node:
    """Return the statement to move: the call, or the loop or condition around it.

    A loop may count what it does, and note it in local variables.
    """
    statement = call.parent
    assert statement is not None
    while True:
        block = statement.parent
        around = block.statement if block is not None and block.kind == "block" else None
        if block is None or around is None or around.function is not call.function:
            return statement
        if around.kind not in {"for_statement", "if_statement"} or around.get("alternative"):
            return statement
        beside = [s for s in block.statements if s is not statement]
        if beside and (
            around.kind != "for_statement" or not all(_is_apart(s, lock) for s in beside)
        ):
            return statement
        statement = around


def _is_apart(statement: Node, lock: Held) -> bool:
    """Return whether a statement neither uses the object of a lock nor leads away."""
    root = lock.access.root
    if not isinstance(root, Binding) or statement.kind not in _PLAIN:
        return False
    plain = all(n.kind not in {"call_expression", "func_literal"} for n in statement.walk())
    return plain and not any(statement.contains(use) for use in root.uses)


_PLAIN = frozenset(
    {"inc_statement", "dec_statement", "assignment_statement", "short_var_declaration"}
)
