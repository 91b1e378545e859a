"""Return a copy of what a lock guards

The method takes the lock, and returns the slice or map itself: the caller reads it after
the lock has been released, while another goroutine changes it under the lock. With a map
that ends the process ("concurrent map iteration and map write"), with a slice the caller
sees half of a change, or writes into the object's own state without knowing.

Likewise a pointer out of a guarded map or slice, where fields of what it leads to are written under
the lock, and a caller reads them without. Likewise a slice or map that the function sends on a
channel, or gives a `Clone` of the object; or puts into a view that a caller returns under the lock.

Not reported:
- what nobody changes in place under that lock: values that are only replaced as a whole
  (copy on write) or never changed once they are made;
- values handed over: the method puts something else in their place (`s.items = nil`);
- what the method marks as taken or shared (`b.writing = true`, `b.shared = cap(b.items) > 0`);
- an object made in the function itself; a function that returns with the lock held;
- a function whose comment says that the result must not be changed or is shared.

Hints only: what tests' own code returns, and what is out only when a flag says that it is done.

The copy is shallow: where elements are pointers, maps or slices, what they lead to is still
shared, and the finding says so.

Unsafe: when a caller writes through the result or keeps the map, when it is sent, and when what is
returned is a pointer to a field or a struct that holds a map or slice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replace_

from threadmend.golang.access import uses_of
from threadmend.golang.builders import (
    BuilderError,
    add_imports,
    free_name,
    insert_after,
    insert_before,
    replace,
    taken_names,
    with_reason,
)
from threadmend.golang.clones import clone, map_loop
from threadmend.golang.escapes import Escape, escapes
from threadmend.golang.file import GoFile
from threadmend.golang.lock_helpers import taking
from threadmend.golang.locks import lock_name
from threadmend.golang.mutations import mutations
from threadmend.golang.nocopy import nocopy
from threadmend.golang.node import bare
from threadmend.golang.results import why_shared
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Named, Pointer, Slice, Struct, Type
from threadmend.golang.uses import declaration_of
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._element_handed_out import elements_handed_out
from ._guard_copies import lowered
from ._handed_out import is_meant, is_over
from ._marked_taken import is_marked
from ._parts_guarded import home_of, is_under

CATEGORY = "mutex"
GATE = rb"\.R?Lock\(\)|\.\w*[lL]ock\w*\(|\.(?:enter|begin|acquire|hold)\w*\("

_RETURNS = re.compile(rb"\breturn\b|<-")


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The change in place that the caller would race with."""

    file: GoFile
    node: Node
    certain: bool


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the returns that hand out what the lock guards."""
    seen: set[Node] = set()
    takes = taking(file.package)
    for declaration in file.declarations(_RETURNS):
        if not takes.search(file.data, declaration.start, declaration.end):
            continue
        function = declaration.node
        if function.kind == "var_declaration":
            continue
        for escape in escapes(file, function):
            place = escape.source
            if place in seen or is_meant(file, escape) or is_marked(escape):
                continue
            evidence = _evidence(file, escape)
            if evidence is not None:
                seen.add(place)
                yield _finding(*_where_it_stands(file, escape), evidence)
        yield from elements_handed_out(file, function)


def _where_it_stands(file: GoFile, escape: Escape) -> tuple[GoFile, Escape]:
    """Return the file and the escape of the function that reads the place, called by the other."""
    source = escape.source
    if escape.function.contains(source):
        return file, escape
    function, statement = source.function, source.statement
    assert function is not None
    assert statement is not None
    own = file.package.workspace.file_of(source)
    return own, replace_(escape, function=function, statement=statement, value=None, capture=None)


def _evidence(file: GoFile, escape: Escape) -> _Evidence | None:
    """Return the strongest change in place under the same lock, None without any."""
    lock = escape.lock.lock_class
    found: list[_Evidence] = []
    for container, name in _containers(file, escape):
        home = home_of(file, escape, container)
        for mutation in mutations(home, container, name):
            certain = mutation.kind == "store"
            if mutation.kind == "assign" and escape.kind != "pointer":
                continue
            if mutation.kind == "append" and escape.kind == "pointer":
                certain = True
            if not certain and (escape.part or escape.is_sent or escape.kind == "struct"):
                continue  # a snapshot: it sees the elements that were there
            if not is_under(mutation, lock) or mutation.initial:
                continue
            if not is_over(escape, mutation):
                found.append(_Evidence(mutation.file, mutation.node, certain))
    found.sort(key=lambda e: (not e.certain, e.file.path, e.node.start))
    return found[0] if found else None


_IS_OVER = re.compile(
    r"(?i)(?:synced|done|finished|complete|completed|sealed|frozen|final)(?:all)?$"
)


def _confidence(file: GoFile, escape: Escape, evidence: _Evidence) -> Confidence:
    """Return LOW for tests' own accessors, and for what is out only when its changes are over.

    `if !s.done { return nil, errEarly }; return s.found, nil`
    """
    if not evidence.certain or file.is_test_file:
        return Confidence.LOW
    for test in escape.function.own():
        if test.kind != "if_statement" or test.start > escape.statement.start:
            continue
        condition, last = test["condition"], test["consequence"].statements[-1:]
        if condition.kind != "unary_expression" or condition["operator"].kind != "!":
            continue
        if last and last[0].kind == "return_statement" and not test.contains(escape.statement):
            if _IS_OVER.search(condition["operand"].name):
                return Confidence.LOW
    return Confidence.HIGH


def _containers(file: GoFile, escape: Escape) -> list[tuple[str, str]]:
    """Return what the caller could reach: the slice or map; of a struct, its fields'."""
    if escape.kind != "struct":
        return [(escape.container, escape.name)]
    type_ = file.type_of(escape.source)
    owner = getattr(type_, "package", None)
    own = _replaced_fields(escape)
    return [
        (f"{owner}.{getattr(type_, 'name', '')}.{name}", name)
        for name, inner in _fields(file, type_)
        if isinstance(file.underlying(inner), Map | Slice) and name not in own
    ]


def _replaced_fields(escape: Escape) -> set[str]:
    """Return the fields of a copied struct that get a value of their own: `c.m = clone(c.m)`."""
    uses = uses_of(escape.variable) if escape.variable is not None else []
    return {
        use.target["field"].name
        for use in uses
        if use.kind == "store" and use.target.kind == "selector_expression"
    }


def _fields(file: GoFile, type_: Type | None) -> list[tuple[str, Type | None]]:
    under = file.underlying(type_)
    if not isinstance(under, Struct):
        return []
    inference = file.package.workspace.inference
    return [
        (name.name, inference.type_from(field.get("type")))
        for group in under.node.children
        for field in group.children
        for name in field.all("name")
    ]


def _finding(file: GoFile, escape: Escape, evidence: _Evidence) -> Finding:
    name = escape.source.name
    lock = lock_name(file, escape.lock)
    fix, reason = _fix(file, escape)
    shallow = _shared_elements(file, escape)
    note = f"; a copy is shallow: {shallow} stays shared" if shallow and fix else ""
    where = "sent to receivers" if escape.is_sent else "returned to callers"
    place = escape.value or escape.statement
    if escape.part or (escape.capture is not None and not escape.held):
        place = escape.source
    return Finding(
        path=file.path,
        start=place.start,
        end=place.end,
        message=f"{name}, guarded by {lock}, is {where} that do not hold it{note}",
        fixes=(fix,) if fix else (),
        related=(
            Related(
                evidence.file.path,
                evidence.node.start,
                evidence.node.end,
                f"{'changed in place' if evidence.certain else 'appended to'} here under {lock}",
            ),
        ),
        reason=reason,
        # Who has the old header of a slice sees the elements that were there, whatever is appended.
        confidence=_confidence(file, escape, evidence),
    )


def _shared_elements(file: GoFile, escape: Escape) -> str:
    """Return what a shallow copy leaves shared, `""` for nothing."""
    under = file.underlying(escape.type)
    if not isinstance(under, Map | Slice):
        return ""
    elem = file.underlying(under.elem)
    words = {Pointer: "pointers", Map: "maps", Slice: "slices"}
    found = next((word for kind, word in words.items() if isinstance(elem, kind)), "")
    return f"what its {found} refer to" if found else ""


@with_reason
def _fix(file: GoFile, escape: Escape) -> Fix:
    if escape.is_sent and escape.kind != "reference":
        raise BuilderError("what is sent is a copy that shares what its fields refer to")
    if escape.kind == "pointer":
        return _copy_pointee(file, escape)
    if escape.kind == "struct":
        return _copy_fields(file, escape)
    edits, why = _copy_reference(file, escape), _why_unsafe(file, escape)
    safety = Safety.UNSAFE if why else Safety.SAFE
    title = f"{'Send' if escape.is_sent else 'Return'} a copy of {escape.source.name}"
    return Fix(title, edits, safety, why)


def _why_unsafe(file: GoFile, escape: Escape) -> str:
    if escape.is_sent:
        return "a receiver that writes to it no longer changes the object"
    decl = declaration_of(file, escape.function)
    shared = why_shared(decl, escape.index) if decl is not None else None
    if shared is None:
        return ""
    node, how = shared
    line = node.tree.source.line_of(node.start)
    return f"a caller {how} ({node.path}:{line})"


def _copy_reference(file: GoFile, escape: Escape) -> tuple[Edit, ...]:
    """Copy while the lock is held: at the return, else where the reference is read.

    Sound: a copy of the same type and content, nil for nil, made under the lock; readers see
    what they saw at that moment.
    """
    function = escape.function
    if escape.part:
        return _copy_in_place(file, escape, escape.source, escape.capture or escape.statement)
    if escape.held and escape.value is not None:
        return _copy_in_place(file, escape, escape.value, escape.statement)
    capture, variable = escape.capture, escape.variable
    if capture is None or variable is None:
        raise BuilderError("where the copy could be made is not clear")
    if any(u.kind in {"store", "address"} for u in uses_of(variable)):
        raise BuilderError(f"{variable.name} is also written through before it is returned")
    right = capture.get("right") or capture.get("value")
    left = capture.get("left")
    names = left.children if left is not None else capture.all("name")
    single = right is not None and len(right.children) == len(names)
    if single and clone(file, function, escape.source.name, escape.type) is not None:
        return _copy_in_place(file, escape, escape.source, capture)
    if capture.parent is None or capture.kind == "var_spec":
        raise BuilderError("the copy needs statements of its own")
    name = variable.name
    copied = clone(file, function, name, escape.type)
    if copied is not None:
        return (*insert_after(capture, f"{name} = {copied[0]}"), *copied[1])
    text = _type_text(file, escape)
    if text is None or not single or len(names) != 1:
        raise BuilderError("the copy needs a loop, and where it could stand is not clear")
    declares = capture.kind == "short_var_declaration"
    code = map_loop(function, name, escape.source.name, text, declare=declares)
    return replace(capture, code)


def _copy_in_place(file: GoFile, escape: Escape, value: Node, statement: Node) -> tuple[Edit, ...]:
    """Wrap an expression in a copy; before Go 1.21 a map needs a loop above the statement."""
    function = escape.function
    copied = _wrapped(file, escape, bare(value))
    if copied is not None:
        return (Edit(file.path, value.start, value.end, copied[0].encode()), *copied[1])
    text = _type_text(file, escape)
    if text is None or not isinstance(file.underlying(escape.type), Map):
        raise BuilderError("the type of the copy cannot be written here")
    name = free_name(escape.name, taken_names(function))
    code = map_loop(function, name, value.name, text)
    edit = Edit(file.path, value.start, value.end, name.encode())
    return (*insert_before(statement, code), edit)


def _wrapped(file: GoFile, escape: Escape, value: Node) -> tuple[str, tuple[Edit, ...]] | None:
    copied = clone(file, escape.function, value.name, escape.type)
    if copied is None or not copied[0].startswith("append("):
        return copied
    if value.kind in {"slice_expression", "call_expression"}:
        # A bound or a call would run twice: the result's type starts the copy instead.
        text = _type_text(file, escape)
        if text is None:
            return None
        return f"append({text}(nil), {value.name}...)", ()
    return copied


def _type_text(file: GoFile, escape: Escape) -> str | None:
    """Return the type of a copy as it is written in this file."""
    if not escape.part and not escape.is_sent:
        node = _result_node(escape.function, escape.index)
        under = file.underlying(file.type_from(node))
        return node.name if node is not None and isinstance(under, Map | Slice) else None
    source = escape.source
    selection = file.selection(source) if source.kind == "selector_expression" else None
    field = selection.node if selection is not None else None
    type_ = field.get("type") if field is not None and field.path == file.path else None
    return type_.name if type_ is not None else None


def _result_node(function: Node, index: int) -> Node | None:
    result = function.get("result")
    if result is None or result.kind != "parameter_list":
        return result if index == 0 else None
    types = [p.get("type") for p in result.children for _ in (p.all("name") or [p])]
    return types[index] if index < len(types) else None


def _copy_pointee(file: GoFile, escape: Escape) -> Fix:
    """Return the address of a copy: `stats := s.stats; return &stats`."""
    source = escape.source
    operand = source["operand"]
    if not escape.held or escape.value is None or escape.value is not source:
        raise BuilderError("the pointer is read in one place and returned in another")
    if nocopy(file.package.workspace).path(file.type_of(operand)):
        raise BuilderError(f"{operand.name} holds a lock and must not be copied")
    name = free_name(escape.name, taken_names(escape.function))
    edits = (
        *insert_before(escape.statement, f"{name} := {operand.name}"),
        Edit(file.path, operand.start, operand.end, name.encode()),
    )
    reason = "callers that write through the pointer no longer change the object"
    return Fix(f"Return a pointer to a copy of {operand.name}", edits, Safety.UNSAFE, reason)


def _copy_fields(file: GoFile, escape: Escape) -> Fix:
    """Copy the struct, then the maps and slices in it that are changed in place."""
    direct = escape.held and escape.value is not None and escape.value is escape.source
    if not direct and (escape.capture is None or escape.variable is None):
        raise BuilderError("the struct is read in one place and returned in another")
    name = escape.variable.name if escape.variable is not None else escape.name
    if direct:
        name = _name_of_copy(escape)
    lines, edits, imports = [], list[Edit](), set[str]()
    types = dict(_fields(file, file.type_of(escape.source)))
    for container, field in _containers(file, escape):
        changes = mutations(file.package, container, field)
        if not any(m.kind != "assign" and m.under(escape.lock.lock_class) for m in changes):
            continue
        copied = clone(file, escape.function, f"{name}.{field}", types[field])
        if copied is None:
            raise BuilderError("the copy of a map in it needs a loop before Go 1.21")
        lines.append(f"{name}.{field} = {copied[0]}")
        if copied[1]:
            imports.add(copied[0].partition(".")[0])
    edits.extend(add_imports(file.tree, imports))
    if direct:
        lines.insert(0, f"{name} := {escape.source.name}")
        edits.extend(insert_before(escape.statement, "\n".join(lines)))
        edits.append(Edit(file.path, escape.source.start, escape.source.end, name.encode()))
    elif escape.capture is not None:
        edits.extend(insert_after(escape.capture, "\n".join(lines)))
    reason = "callers that write through the struct's maps or slices no longer change the object"
    title = f"Return a copy of {escape.source.name} with its own maps and slices"
    return Fix(title, tuple(edits), Safety.UNSAFE, reason)


def _name_of_copy(escape: Escape) -> str:
    """Return a name for the copy: the field's, or for `*b` that of what it is, `box`."""
    taken = taken_names(escape.function)
    if escape.source.kind == "unary_expression" and isinstance(escape.type, Named):
        name = lowered(escape.type.name)
        return name if name not in taken else free_name("copied", taken)
    return free_name(escape.name, taken)
