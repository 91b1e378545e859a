"""Groups that derive a context: `g, gctx := errgroup.WithContext(ctx)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Use
from threadmend.golang.file import GoFile
from threadmend.golang.groups import is_error_group
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Named, Tuple, deref, is_named

__all__ = ["Derived", "groups_with_context", "is_work"]

_DERIVES = re.compile(rb"(\w+), \w+ *:?= *\w[\w.]*\(")
_USES = re.compile(rb"\.\s*(?:Go|TryGo|Wait)\b")
_USED = re.compile(rb"(\w++)\s*\.\s*(?:Go|TryGo|Wait)\b")
_CANCELS = rb"\bcancel\w*\(|\.Cancel\w*\("
_WITH_CANCEL = re.compile(rb"(\w+) :?= context\.WithCancel")
_WORDS = (
    *("log", "trac", "span", "metric", "info", "debug", "warn", "error", "print", "record"),
    *("report", "value", "background", "detach", "tag", "label", "event"),
)
# Each begins a word: an `Extract` has nothing to do with traces, nor a `Stage` with tags.
_VALUES = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(_WORDS)})|{'|'.join(w.capitalize() for w in _WORDS)}"
    r"|WithoutCancel|Cause|FromContext"
)


@dataclass(frozen=True, slots=True)
class Derived:
    """`g, ctx := errgroup.WithContext(parent)`: the names of both, and what it comes from.

    The context ends with the group's Wait, and where it `fails` with the first error, too.
    """

    statement: Node
    group: Binding
    name: Node
    context: Binding
    parent: Node
    fails: bool


def groups_with_context(file: GoFile) -> Iterator[Derived]:
    """Yield the groups of a file that derive a context: of errgroup, and of the project's own.

    Those on which the function launches something, or waits.
    """
    declarations = list(filter(_uses_group, file.declarations(_DERIVES)))
    for kind in ("short_var_declaration", "var_spec"):
        for declaration in declarations:
            for statement in declaration.index.get(kind, ()):
                derived = _derived(file, statement)
                if derived is not None:
                    yield derived


def _uses_group(declaration: Declaration) -> bool:
    data, start, end = declaration.tree.data, declaration.start, declaration.end
    if _USES.search(data, start, end) is None:
        return False
    used = set(_USED.findall(data, start, end))
    return not used.isdisjoint(_DERIVES.findall(data, start, end))


def _derived(file: GoFile, statement: Node) -> Derived | None:
    left, right = statement.get("left"), statement.get("right") or statement.get("value")
    names = left.children if left is not None else statement.all("name")
    values = right.children if right is not None else []
    if len(names) != 2 or len(values) != 1 or values[0].kind != "call_expression":
        return None
    arguments = values[0]["arguments"].children
    group, context = file.binding(names[0]), file.binding(names[1])
    if group is None or context is None or not arguments or statement.function is None:
        return None
    type_ = file.type_of(values[0])
    items = type_.items if isinstance(type_, Tuple) else ()
    if len(items) != 2 or not is_named(items[1], "context.Context"):
        return None
    if not is_named(file.type_of(arguments[0]), "context.Context"):
        return None
    cancelling = frozenset(("Go", "Wait"))
    if not is_error_group(items[0]):
        cancelling = _cancelling(file, values[0], items[0])
    if "Wait" not in cancelling:
        return None
    fails = "Go" in cancelling
    return Derived(statement, group, names[1], context, arguments[0], fails)


def _cancelling(file: GoFile, call: Node, type_: object) -> frozenset[str]:
    """Return which methods of a type of the project cancel the context that it derives."""
    named = deref(type_)  # type: ignore[arg-type]
    made = file.callee(call)
    if not isinstance(named, Named) or made is None or not made.has_body:
        return frozenset()
    derives = _WITH_CANCEL.search(made.node.text)
    package = file.package.workspace.package_by_key(named.package)
    if derives is None or package is None:
        return frozenset()
    kept = re.findall(rb"(\w+)(?:: *| = )" + derives[1] + rb"\b", made.node.text)
    calls = re.compile(b"|".join([_CANCELS, *(rb"\.%s\(" % field for field in kept)]))
    return frozenset(
        name
        for name, found in package.methods(named.name).items()
        if any(calls.search(method.node.text) for method in found)
    )


def is_work(use: Use) -> bool:
    """Return whether a context is passed to a call that works under it."""
    group = use.node.parent
    call = group.parent if group is not None and group.kind == "argument_list" else None
    if call is None or call.kind != "call_expression":
        return False
    if call["arguments"].children[0] is not use.node:
        return False
    return not _VALUES.search(call["function"].name)
