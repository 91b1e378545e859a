"""What stands in the way of a rewrite that takes a held lock only once."""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once, root_name
from threadmend.golang.builders import BuilderError
from threadmend.golang.effects import Pair
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer

__all__ = ["check_named", "check_place", "check_same_object", "given", "shrinks_its_loop"]


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
