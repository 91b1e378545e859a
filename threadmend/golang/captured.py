"""Captured variables: every access of a variable that goroutines share, and what it touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import classify
from threadmend.golang.functions import method_call
from threadmend.golang.map_arguments import is_stored_into
from threadmend.golang.scope import Binding
from threadmend.golang.strands import Place, places_of
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Map, Named, Pointer, Slice, Struct, Type, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["CapturedAccess", "accesses_of", "called_writer", "conflict", "is_buffer"]

_WRITERS = {
    "bytes.Buffer": ("Write", "ReadFrom", "Reset", "Truncate", "Grow", "Read", "Next"),
    "strings.Builder": ("Write", "Reset", "Grow"),
    "bufio.Writer": ("Write", "Flush", "ReadFrom", "Reset"),
    "text/tabwriter.Writer": ("Write", "Flush", "Init"),
    "container/list.List": ("Push", "Insert", "Remove", "Move", "Init"),
}
_PRINTERS = frozenset({"Fprint", "Fprintf", "Fprintln", "WriteString", "Copy"})
CONTENT = "[]"


@dataclass(slots=True)
class CapturedAccess:
    """One access of a variable.

    `kind` is that of `Use`, or `return` for what a return statement does to a named result.
    `steps` are the fields that lead to the part accessed, `[]` for what a map, a slice's
    fixed index or a pointer leads to, `[?]` for an element that is not known. `places` are
    the ways in which it runs, None when they cannot be told.
    """

    node: Node
    kind: str
    target: Node
    steps: tuple[str, ...]
    writes: bool
    places: list[Place] | None

    @property
    def whole(self) -> bool:
        """Return whether the access assigns the variable itself, without reading it."""
        return self.kind == "write" and self.writes and not self.steps

    @property
    def inside(self) -> bool:
        """Return whether a launched goroutine makes the access, in every way it runs."""
        return bool(self.places) and all(p.strand.launch for p in self.places or ())


def accesses_of(file: GoFile, binding: Binding) -> list[CapturedAccess] | None:
    """Return the accesses of a local variable, None when its function is not known."""
    function = binding.function
    if function is None:
        return None
    found = []
    for node in binding.uses:
        if node is not binding.node:
            access = _access(file, binding, function, node)
            if access is not None:
                found.append(access)
    if binding.kind == "result":
        found += _returns(file, function)
    return found


def _access(file: GoFile, binding: Binding, function: Node, node: Node) -> CapturedAccess | None:
    use = classify(node, binding)
    kind, writes = use.kind, use.kind in {"write", "update", "store"}
    operand, steps = _steps(file, node, use.target)
    if steps is None:
        # An element at an index that differs: nothing is known about who else has it.
        steps, writes, kind = ("[?]",), False, "read"
    called = called_writer(file, operand)
    if called is not None or (kind == "address" and _is_printed_to(file, use.target)):
        writes = called is None or called
        kind = "store" if writes else "read"
        steps = (*steps, CONTENT)
    elif kind == "read" and is_stored_into(file, operand):
        kind, writes = "store", True
        steps = (*steps, *(() if steps[-1:] == (CONTENT,) else (CONTENT,)))
    return CapturedAccess(node, kind, use.target, steps, writes, places_of(file, function, node))


def _steps(file: GoFile, node: Node, target: Node) -> tuple[Node, tuple[str, ...] | None]:
    """Return the operand before a method and the path to it, None at an unknown index."""
    steps: list[str] = []
    at = node
    while at is not target and at.parent is not None:
        outer = at.parent
        if outer.kind == "selector_expression":
            selection = file.selection(outer)
            if selection is not None and selection.kind == "method":
                return at, tuple(steps)
            if outer.parent is not None and outer.parent.kind == "call_expression":
                if outer.field == "function" and selection is None:
                    return at, tuple(steps)
            steps += (*(selection.via if selection is not None else ()), outer["field"].name)
        elif outer.kind == "index_expression":
            under = file.underlying(file.type_of(at))
            if isinstance(under, Map):
                steps.append(CONTENT)
                return outer, tuple(steps)
            if not _is_constant(outer["index"]):
                return outer, None
            steps.append(f"[{outer['index'].name}]")
        elif outer.kind == "slice_expression":
            return outer, tuple(steps)
        elif outer.kind == "unary_expression" and outer["operator"].kind == "*":
            steps.append(CONTENT)
        at = outer
    if isinstance(file.underlying(file.type_of(at)), Map) and _reads_content(at):
        steps.append(CONTENT)
    return at, tuple(steps)


def _is_constant(node: Node) -> bool:
    """Return whether an index is the same for everybody: a number or a string."""
    return node.kind in {"int_literal", "interpreted_string_literal", "raw_string_literal"}


def _reads_content(node: Node) -> bool:
    """Return whether a map is used as a whole in a way that looks at its entries."""
    parent = node.parent
    if parent is None:
        return False
    if parent.kind == "range_clause":
        return node.field == "right"
    if parent.kind == "expression_list":
        return parent.field != "left"
    return parent.kind == "argument_list"


def called_writer(file: GoFile, operand: Node) -> bool | None:
    """Return whether a method that writes is called on a buffer; None for all other uses."""
    call = method_call(operand)
    if call is None:
        return None
    owner = deref(file.type_of(operand))
    prefixes = _WRITERS.get(str(owner)) if isinstance(owner, Named) else None
    return call["function"]["field"].name.startswith(prefixes) if prefixes is not None else None


def _is_printed_to(file: GoFile, target: Node) -> bool:
    """Return whether `&buf` is the first argument of fmt.Fprintf and its like."""
    address = target.parent
    arguments = address.parent if address is not None else None
    if arguments is None or arguments.kind != "argument_list" or arguments.parent is None:
        return False
    call = arguments.parent
    function = call.get("function")
    if function is None or function.kind != "selector_expression":
        return False
    if arguments.children[0] is not address or function["field"].name not in _PRINTERS:
        return False
    owner = deref(file.type_of(target))
    path = file.imported(function["operand"].name)
    return path in {"fmt", "io"} and isinstance(owner, Named) and str(owner) in _WRITERS


def is_buffer(type_: Type | None) -> bool:
    """Return whether a type is one of those whose methods write without a lock."""
    owner = deref(type_)
    return isinstance(owner, Named) and str(owner) in _WRITERS


def _returns(file: GoFile, function: Node) -> list[CapturedAccess]:
    """Return what the return statements of a function do to its named results."""
    found = []
    for node in function.own():
        if node.kind == "return_statement":
            writes = any(c.kind == "expression_list" for c in node.children)
            kind = "return" if writes else "read"
            found.append(
                CapturedAccess(node, kind, node, (), writes, places_of(file, function, node))
            )
    return found


def conflict(file: GoFile, binding: Binding, one: CapturedAccess, other: CapturedAccess) -> bool:
    """Return whether two accesses touch the same memory and one of them writes."""
    if not (one.writes or other.writes) or "address" in {one.kind, other.kind}:
        return False
    if "[?]" in one.steps + other.steps:
        # An element: only who assigns the whole is in its way.
        whole = one if "[?]" not in one.steps else other
        return whole.writes and not whole.steps
    if other.writes and not one.writes:
        one, other = other, one
    if other.writes and len(other.steps) < len(one.steps):
        one, other = other, one
    if other.steps[: len(one.steps)] == one.steps:
        return True
    if one.steps[: len(other.steps)] != other.steps:
        return False
    # A part is written, the whole is read: do the bytes of the whole hold the part?
    type_: Type | None = file.package.workspace.inference.binding_type(binding)
    return _holds(file, type_, other.steps, one.steps)


def _holds(
    file: GoFile, type_: Type | None, read: tuple[str, ...], written: tuple[str, ...]
) -> bool:
    for index, step in enumerate(written):
        under = file.underlying(type_)
        if index >= len(read) and not isinstance(under, Struct | Array):
            return False
        if isinstance(under, Struct | Pointer) and not step.startswith("["):
            inference = file.package.workspace.inference
            selection = inference.member(type_, step) if type_ is not None else None
            type_ = selection.type if selection is not None else None
        elif isinstance(under, Array | Slice | Map | Pointer):
            type_ = under.elem
        else:
            return False
    return True
