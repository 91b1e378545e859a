"""Containers of the standard library in the fields beside those that get a lock.

    c.order.MoveToFront(e)      // c.order *list.List, beside c.items, which races

Their methods change what they hold, and nothing in them is safe for several goroutines: what a
lock guards in such a function it has to guard together with them.
"""

from __future__ import annotations

from threadmend.golang.access import lock_class
from threadmend.golang.builders.structs import fields
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.functions import method_call
from threadmend.golang.package import Decl, Package
from threadmend.golang.types import deref

__all__ = ["calls_into", "containers_beside"]

_CONTAINERS = frozenset(
    {
        *("container/list.List", "container/ring.Ring", "bytes.Buffer", "strings.Builder"),
        *("bufio.Reader", "bufio.Writer", "math/rand.Rand", "math/rand/v2.Rand"),
    }
)


def containers_beside(
    package: Package, decl: Decl, accesses: list[FieldAccess]
) -> list[list[FieldAccess]]:
    """Return the accesses of the containers that the accessing functions use, field by field."""
    class_ = (accesses[0].place or "").rpartition(".")[0]
    known = {a.place for a in accesses}
    functions = {a.node.function: a.file for a in accesses if a.node.function is not None}
    found = []
    for field in fields(decl.node["type"]):
        if str(deref(decl.file.type_from(field["type"]))) not in _CONTAINERS:
            continue
        for name in field.all("name"):
            place = f"{class_}.{name.name}"
            node = next(
                (
                    (file, n)
                    for function, file in functions.items()
                    for n in function.find("selector_expression")
                    if n["field"].text == name.text and lock_class(file, n) == place
                ),
                None,
            )
            if node is not None and place not in known:
                found.append(accesses_like(package, *node))
    return found


def calls_into(access: FieldAccess) -> bool:
    """Return whether an access calls a method of a container, which may change what it holds."""
    if method_call(access.node) is None:
        return False
    return str(deref(access.file.type_of(access.node))) in _CONTAINERS
