"""Do not copy a value that contains a lock.

A copy of a struct with a Mutex (RWMutex, Once, Cond, Pool, Map, WaitGroup or a value of
sync/atomic) in it has a lock of its own, in whatever state the original was: two goroutines
that lock the "same" mutex exclude nobody, and a mutex that was copied while locked stays
locked for ever. Reported are receivers, parameters, results, assignments, loop variables,
elements of literals, arguments and sends; and what a generic container finds, where its lock is
used. The lock may be in a field, an embedded struct or
an array; a type whose pointer has Lock and Unlock methods (noCopy) counts as one.

Not reported:
- a fresh value: a composite literal, a zero value, the result of a call;
- `_ = x`, len, cap and unsafe.Sizeof of x;
- an argument whose parameter is reported;
- a WaitGroup itself: see waitgroup-by-value.

Without a fix: a variable's copy that is changed without its lock, or whose address is taken, as
one that was meant to be.

Unsafe: where the function is exported from the module, where data beside the lock is written
through the copy of a receiver or parameter without taking the lock (the original changes then),
where a goroutine or a variable that only reads would see later changes, and where an interface
gets a pointer.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.copies import Copy
from threadmend.golang.file import GoFile
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref, is_named
from threadmend.model import Finding

from ._copied import found
from ._copied_by_container import copied_by_containers

CATEGORY = "mutex"
ALSO = "govet copylocks revive"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield a finding for every copy of a value that contains a lock."""

    def is_wanted(copy: Copy) -> bool:
        return not is_named(copy.type, "sync.WaitGroup") and not _is_of_a_variant(file, copy)

    yield from found(file, is_wanted)
    yield from copied_by_containers(file)


def _is_of_a_variant(file: GoFile, copy: Copy) -> bool:
    """Return whether a field's struct has another form for the platform of this file."""
    if copy.node.kind != "selector_expression":
        return False
    owner = deref(file.type_of(copy.node["operand"]))
    if not isinstance(owner, Named) or owner.package != file.package.key:
        return False
    forms = [d for d in file.package.lookup_all(owner.name) if d.kind == "type"]
    field = copy.node["field"].text
    return len(forms) > 1 and len({_declared(d.node, field) for d in forms}) > 1


def _declared(struct: Node, name: bytes) -> bytes:
    """Return the type that a struct declares for a field, as it is written."""
    for field in struct.find("field_declaration"):
        if any(n.text == name for n in field.all("name")):
            return field["type"].text
    return b""
