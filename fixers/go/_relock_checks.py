"""What stands in the way of a rewrite that takes a held lock only once."""

from __future__ import annotations

from threadmend.golang.access import Access, is_assigned_once, root_name
from threadmend.golang.builders import BuilderError
from threadmend.golang.effects import Pair
from threadmend.golang.field_accesses import accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Func, Interface, Pointer

__all__ = [
    "can_be_released_above",
    "check_named",
    "check_place",
    "check_same_object",
    "given",
    "shrinks_its_loop",
    "waits_for_others",
]


def shrinks_its_loop(pair: Pair, site: int) -> bool:
    """Return whether the inner function changes the list that the outer one goes over.

    Under one lock the loop would see the change: the copy that it needs comes with a release.
    """
    loop = pair.event.path[site].up("for_statement")
    clause = next((c for c in loop.children if c.kind == "range_clause"), None) if loop else None
    right = clause["right"] if clause is not None else None
    inner = pair.event.operation.function
    if right is None or right.kind != "selector_expression" or inner is None:
        return False
    if loop is None or loop.function is not pair.function or inner is pair.function:
        return False
    name = right["field"].name
    for statement in inner.find("assignment_statement"):
        left = statement["left"].children
        if any(n.kind == "selector_expression" and n["field"].name == name for n in left):
            return True
    return False


def given(file: GoFile, call: Node, inner: Node) -> Node | None:
    """Return `c.add` in `each(xs, c.add)`, where the function that is given locks.

    `inner`: what stands in the function that locks, next on the way.
    """
    for value in call["arguments"].children:
        if value.kind in {"selector_expression", "identifier"}:
            decl = file.package.workspace.inference.function_decl(value)
            if decl is not None and decl.node is inner.function:
                return value
    return None


def check_named(call: Node, decl: object) -> None:
    """Refuse where a function is not called by its own name."""
    function = call["function"]
    last = function.get("field") if function.kind == "selector_expression" else function
    if last is None or last.name != getattr(decl, "name", ""):
        raise BuilderError("the function that locks is called through a value")


def check_place(file: GoFile, call: Node, other: GoFile) -> None:
    """Refuse where the function is in another package, generated, or there for tests alone."""
    here = file.package.workspace.file_of(call)
    if here.package is not other.package or other.generated:
        raise BuilderError("the function that locks is in another package")
    if other.is_test and not here.is_test:
        raise BuilderError("the function that locks is in a test file")


def check_same_object(file: GoFile, steps: tuple[Node, ...]) -> None:
    """Refuse where a call or an operation means other objects later: `r.get(); r = r.base`.

    Only the first of them is locked by who calls.
    """
    for step in steps:
        function = step.get("function")
        root = root_name(function) if function is not None else None
        owner = file.package.workspace.file_of(step)
        names = [root] if root is not None and root.kind == "identifier" else []
        if step.kind == "call_expression":
            names += [a for a in step["arguments"].children if a.kind == "identifier"]
        for name in names:
            binding = owner.binding(name)
            if binding is not None and binding.kind in {"receiver", "parameter"}:
                if isinstance(owner.type_of(name), Pointer) and not is_assigned_once(binding):
                    raise BuilderError(f"{binding.name} becomes another object on the way")


def waits_for_others(file: GoFile, pair: Pair) -> Node | None:
    """Return the call by which a function asks somebody who may take long, under its read lock.

    A callback, or a method behind an interface, that may fail; what goes over the network.
    """
    taken = pair.taken_at
    for call in pair.function.find("call_expression") if taken is not None else ():
        if taken is not None and taken.end <= call.start and call.end <= pair.node.start:
            if _asks(file, call):
                return call
    return None


def _asks(file: GoFile, call: Node) -> bool:
    function = call["function"]
    selection = file.selection(function) if function.kind == "selector_expression" else None
    if selection is not None and selection.kind == "package":
        path = file.imported(function["operand"].name) or ""
        return path.startswith(("net/", "os/exec", "database/")) or path == "net"
    if selection is not None and selection.kind == "method":
        is_open = isinstance(file.underlying(selection.owner), Interface)
    else:
        is_open = isinstance(file.underlying(file.type_of(function)), Func)
    return is_open and file.callee(call) is None and _may_fail(call)


def _may_fail(call: Node) -> bool:
    """Return whether the last of a call's results is taken for an error."""
    values = call.parent
    statement = values.parent if values is not None else None
    left = statement.get("left") if statement is not None else None
    if values is None or left is None or values.field != "right":
        return False
    return left.children[-1].name.lower().endswith("err")


def can_be_released_above(file: GoFile, access: Access, asking: Node, call: Node) -> Node | None:
    """Return the statement from which on nothing needs the lock until a call, if that asks first.

    What it reads of the object until then are fields that nobody sets once it is made.
    """
    last, first = call.statement, asking.statement
    if last is None or first is None or last.parent is not first.parent or last.parent is None:
        return None
    between = [s for s in last.parent.statements if first.start <= s.start < last.start]
    for statement in between:
        for name in statement.find("identifier"):
            if file.binding(name) is access.root and not _keeps_its_value(file, name):
                return None
    return first


def _keeps_its_value(file: GoFile, name: Node) -> bool:
    """Return whether a field is read at a name that is not set after its object was made."""
    field = name.parent
    if field is None or field.kind != "selector_expression" or name.field != "operand":
        return False
    selection = file.selection(field)
    if selection is None or selection.kind != "field":
        return False
    if not isinstance(file.underlying(file.type_of(field)), Func | Interface):
        return False
    uses = accesses_like(file.package, file, field)
    return bool(uses) and not any(
        (a.writes or a.kind == "address") and not (a.fresh or a.setup) for a in uses
    )
