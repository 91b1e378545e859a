"""Parts without a lock of their own: that of the object which has them guards what they hold."""

from __future__ import annotations

from threadmend.golang.calls import callers
from threadmend.golang.escapes import Escape
from threadmend.golang.file import GoFile
from threadmend.golang.locks import held_at, locks_of
from threadmend.golang.mutations import Mutation
from threadmend.golang.package import Package
from threadmend.golang.uses import declaration_of

__all__ = ["home_of", "is_under"]


def home_of(file: GoFile, escape: Escape, container: str) -> Package:
    """Return the package whose code changes a container: that of a part that has it in a field."""
    if escape.source.kind == "call_expression":
        key = container.rpartition(".")[0].rpartition(".")[0]
        part = file.package.workspace.package_by_key(key)
        if part is not None and part.module is not None:
            return part
    return file.package


def is_under(mutation: Mutation, lock: str | None) -> bool:
    """Return whether a change is made under a lock: where it stands, or where its method is called.

    `s.index.Add(k)` under `s.mu`, and an index that has no lock of its own.
    """
    if mutation.under(lock):
        return True
    function = mutation.node.function
    decl = declaration_of(mutation.file, function) if function is not None else None
    if decl is None or decl.kind != "method" or locks_of(decl.file, decl.node).operations:
        return False
    return any(
        held.lock_class == lock
        for site in callers(decl).in_code()
        if site.call is not None
        for held in held_at(site.file, site.call)
    )
