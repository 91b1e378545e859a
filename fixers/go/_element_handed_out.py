"""A record of a guarded map or slice that is handed out, while others write it under the lock.

func (t *tracker) Get(id int) *job {      func (t *tracker) Get(id int) *job {
    t.mu.RLock()                              t.mu.RLock()
    defer t.mu.RUnlock()                      defer t.mu.RUnlock()
    return t.jobs[id]                →        job := t.jobs[id]
}                                             if job == nil {
                                                  return nil
                                              }
                                              c := *job
                                              return &c
                                          }

Most pointers that come out of a map lead to what never changes, or has a lock of its own. So it
takes both: a field that is written under the lock of the map, and a caller who reads it without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import access_of, uses_of
from threadmend.golang.builders import BuilderError, free_name, replace, taken_names, with_reason
from threadmend.golang.calls import Site, callers, code_files
from threadmend.golang.field_accesses import access_kind
from threadmend.golang.file import GoFile
from threadmend.golang.locks import Held, declaration_of, held_at, held_inside, lock_name, locks_of
from threadmend.golang.nocopy import nocopy
from threadmend.golang.package import Decl, Package
from threadmend.golang.scope import Binding
from threadmend.golang.setup import is_made_here
from threadmend.golang.syntax import Node
from threadmend.golang.types import Map, Named, Pointer, Slice, Struct
from threadmend.model import Confidence, Finding, Fix, Related, Safety

from ._handed_out import asks_for_copy, says_shared

__all__ = ["elements_handed_out"]

_WRITES = frozenset({"write", "update", "store"})
_SETS = re.compile(rb"\.\w+(?:\[[^\]\n]*\])*\s*(?:[-+*/|&]?=(?!=)|\+\+|--)")


def elements_handed_out(file: GoFile, function: Node) -> Iterator[Finding]:
    """Yield a finding for a method that returns a pointer out of what it guards."""
    decl = declaration_of(file, function)
    result = function.get("result")
    if decl is None or result is None or b"*" not in result.text:
        return
    if says_shared(file, function) or asks_for_copy(function):
        return
    for statement in function.own():
        if statement.kind == "return_statement" and len(statement.children) > 1:
            element = _element(file, statement)
            if element is None:
                continue
            owner, lock = element
            written = _written_under(file.package, owner, lock, function)
            reader = _reader(decl, lock, set(written)) if written else None
            if reader is not None:
                write = written[reader["field"].name]
                yield _finding(decl, statement, owner, lock, write, reader)
                return


def _element(file: GoFile, statement: Node) -> tuple[Named, Held] | None:
    """Return the record's type and the lock of `return t.jobs[id]`, or of a variable for that."""
    value = source = statement.children[1].children[0]
    binding = file.binding(value) if value.kind == "identifier" else None
    if binding is not None:
        found = _looked_up(binding)
        if found is None:
            return None
        source = found
    if source.kind != "index_expression":
        return None
    held_in = file.underlying(file.type_of(source["operand"]))
    if not isinstance(held_in, Map | Slice) or not isinstance(held_in.elem, Pointer):
        return None
    owner, base = held_in.elem.elem, access_of(file, source["operand"])
    if not isinstance(owner, Named) or owner.package != file.package.key or base is None:
        return None
    if not isinstance(file.underlying(owner), Struct) or not base.steps:
        return None
    if nocopy(file.package.workspace).path(owner):
        return None
    for lock in sorted(held_inside(file, source), key=lambda h: str(h.lock_class)):
        if lock.access.root == base.root:
            return owner, lock
    return None


def _looked_up(variable: Binding) -> Node | None:
    """Return `t.jobs[id]` of `j, ok := t.jobs[id]`, the one value that a variable gets."""
    declaration = variable.declaration
    if declaration.kind != "short_var_declaration" or variable.index != 0:
        return None
    if any(use.kind in {"write", "address"} for use in uses_of(variable)):
        return None
    values = declaration["right"].children
    return values[0] if len(values) == 1 else None


def _written_under(package: Package, owner: Named, lock: Held, getter: Node) -> dict[str, Node]:
    """Return the fields of a record that are written under a lock, each with such a write."""
    found: dict[str, Node] = {}
    for file in code_files(package):
        if file.generated:
            continue
        for declaration in file.declarations(_SETS):
            for node in declaration.index.get("selector_expression", ()):
                function = node.function
                if function is None or function is getter or node["field"].name in found:
                    continue
                if access_kind(file, node) not in _WRITES or not _is_of(file, node, owner):
                    continue
                if is_made_here(file, node, access_of(file, node["operand"])):
                    continue
                if not isinstance(file.underlying(file.type_of(node["operand"])), Pointer):
                    continue  # a copy, which is to take the record's place
                if any(h.lock_class == lock.lock_class for h in held_at(file, node)):
                    found[node["field"].name] = node
    return found


def _is_of(file: GoFile, node: Node, owner: Named) -> bool:
    selection = file.selection(node)
    if selection is None or selection.kind != "field" or selection.owner is None:
        return False
    return (selection.owner.package, selection.owner.name) == (owner.package, owner.name)


def _reader(decl: Decl, lock: Held, names: set[str]) -> Node | None:
    """Return where a caller that does not hold the lock reads one of the fields."""
    for site in callers(decl).in_code():
        if site.call is None:
            continue
        for node in _parts(site):
            if node["field"].name in names and access_kind(site.file, node) == "read":
                if not any(h.lock_class == lock.lock_class for h in held_at(site.file, node)):
                    return node
    return None


def _parts(site: Site) -> Iterator[Node]:
    """Yield the selectors of what a call returns."""
    call = site.call
    parent = call.parent if call is not None else None
    if call is None or parent is None:
        return
    if parent.kind == "selector_expression":
        yield parent
    variable = _variable(site)
    for use in variable.uses if variable is not None else ():
        if use.parent is not None and use.parent.kind == "selector_expression":
            if use.field == "operand":
                yield use.parent


def _variable(site: Site) -> Binding | None:
    """Return the variable that gets the first result of a call."""
    call = site.call
    values = call.parent if call is not None else None
    statement = values.parent if values is not None else None
    if values is None or values.kind != "expression_list" or values.children[0] is not call:
        return None
    if statement is None or statement.kind != "short_var_declaration":
        return None
    return site.file.binding(statement["left"].children[0])


def _finding(
    decl: Decl, statement: Node, owner: Named, lock: Held, write: Node, reader: Node
) -> Finding:
    file, value = decl.file, statement.children[1].children[0]
    name = lock_name(file, lock)
    fix, reason = _fix(decl, statement, owner)
    return Finding(
        path=file.path,
        start=value.start,
        end=value.end,
        message=f"a {owner.name} whose fields are written under {name} is returned to callers"
        " that do not hold it",
        fixes=(fix,) if fix is not None else (),
        related=(
            Related(write.path, write.start, write.end, f"written under {name} here"),
            Related(reader.path, reader.start, reader.end, "read without it here"),
        ),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(decl: Decl, statement: Node, owner: Named) -> Fix:
    """Return a pointer to a copy that is made under the lock.

    Unsafe: callers that write through the pointer, or ask whether two are the same, see that.
    """
    file, function = decl.file, decl.node
    if not any(o.releases and o.deferred for o in locks_of(file, function).operations):
        raise BuilderError("the lock is released before the return")
    for site in callers(decl):
        if site.call is None:
            raise BuilderError("the function is used as a value")
        if not site.file.is_test:
            _check_use(site)
    values = statement.children[1].children
    taken = set(taken_names(function))
    lines = []
    name = values[0].name
    if values[0].kind != "identifier":
        name = free_name(owner.name[:1].lower() + owner.name[1:], taken)
        taken.add(name)
        lines.append(f"{name} := {values[0].name}")
    rest = "".join(f", {v.name}" for v in values[1:])
    if values[0].kind != "identifier" or not _is_there(statement, name):
        lines += [f"if {name} == nil {{", f"\treturn nil{rest}", "}"]
    copied = free_name("c", taken)
    lines += [f"{copied} := *{name}", f"return &{copied}{rest}"]
    reason = "callers that write through the pointer no longer change the record"
    title = f"Return a pointer to a copy of the {owner.name}"
    return Fix(title, replace(statement, "\n".join(lines)), Safety.UNSAFE, reason)


def _is_there(statement: Node, name: str) -> bool:
    """Return whether the statement above leaves where there is no record."""
    above = statement.previous
    if above is None or above.kind != "if_statement" or not above["consequence"].statements:
        return False
    if above["consequence"].statements[-1].kind != "return_statement":
        return False
    return above["condition"].name in {f"{name} == nil", "!ok", "!exists", "!found"}


def _check_use(site: Site) -> None:
    """Refuse where a caller does more than look at fields and ask whether there is a record."""
    variable = _variable(site)
    uses = [u for u in variable.uses if u is not variable.node] if variable is not None else []
    nodes = uses if variable is not None else [n for n in (site.call,) if n is not None]
    for node in nodes:
        parent = node.parent
        if parent is None:
            continue
        if parent.kind == "selector_expression" and node.field == "operand":
            selection = site.file.selection(parent)
            if selection is not None and selection.kind == "field":
                if access_kind(site.file, parent) in _WRITES | {"address"}:
                    raise BuilderError("a caller writes through the pointer")
                continue
        if parent.kind == "binary_expression" and b"nil" in (
            parent["left"].text,
            parent["right"].text,
        ):
            continue
        if parent.kind == "expression_list" and node is site.call:
            continue  # `_ = t.Get(id)`
        raise BuilderError("a caller does more with the pointer than to look at fields")
