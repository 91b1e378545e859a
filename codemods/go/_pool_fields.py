"""What a pool type gains so that it can be stopped: fields, and an error for late tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.builders import (
    BuilderError,
    add_element,
    add_field,
    fields,
    free_name,
    insert_after,
    package_name,
)
from threadmend.golang.channels import initialised
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.model import Edit

from ._pool_type import TypePool

__all__ = ["Names", "error_variable", "made", "names_of", "new_fields", "receiver_name"]


@dataclass(frozen=True, slots=True)
class Names:
    """The fields that a pool gains (or has: the WaitGroup), and the error of a stopped one."""

    done: str
    lock: str
    once: str
    group: str
    counted: bool
    error: str


def names_of(pool: TypePool) -> Names:
    """Return free names for the fields that a pool gets."""
    declared = fields(pool.struct)
    taken = {n.name for f in declared for n in f.all("name")}
    taken |= set(pool.tasks.package.methods(pool.decl.name))
    group = _group(pool)
    name = "ErrStopped" if pool.decl.exported else "errStopped"
    if name in pool.tasks.package.names:
        name = f"{'Err' if pool.decl.exported else 'err'}{pool.decl.name.capitalize()}Stopped"
    return Names(
        "done" if "done" not in taken else free_name("stopped", taken),
        "mu" if "mu" not in taken else free_name("submitMu", taken),
        free_name("stopOnce", taken),
        group or free_name("wg", taken),
        bool(group),
        free_name(name, pool.tasks.package.names),
    )


def _group(pool: TypePool) -> str:
    """Return the field with the WaitGroup that counts the workers, "" without one."""
    launching = pool.launch.function
    if launching is None:
        return ""
    for statement in pool.body["body"].statements:
        found = re.fullmatch(rb"(?:defer )?\w+\.(\w+)\.Done\(\)", statement.text)
        if found is None:
            continue
        added = re.search(rb"\b\w+\." + found[1] + rb"\.Add\(", launching.text)
        for declared in fields(pool.struct):
            if any(n.text == found[1] for n in declared.all("name")) and added:
                if is_named(pool.decl.file.type_from(declared["type"]), "sync.WaitGroup"):
                    return found[1].decode()
    return ""


def new_fields(pool: TypePool, names: Names) -> list[Edit]:
    """Return the edits that add the fields to the struct of a pool."""
    sync = package_name(pool.decl.file.tree, "sync")
    wanted = [(names.done, "chan struct{}"), (names.lock, f"{sync}.RWMutex")]
    wanted.append((names.once, f"{sync}.Once"))
    if not names.counted:
        wanted.append((names.group, f"{sync}.WaitGroup"))
    if b"\n" not in pool.struct.text:
        raise BuilderError(f"{pool.decl.name} is written on one line")
    last = fields(pool.struct)[-1]
    found: list[Edit] = []
    for name, type_ in wanted:
        found += add_field(pool.struct, name, type_, after=last)
    new = b"".join(edit.new for edit in found)
    return [Edit(found[0].path, found[0].start, found[0].end, new)]


def made(pool: TypePool, names: Names) -> list[Edit]:
    """Make the stop channel where the channel of tasks is made."""
    edits: list[Edit] = []
    value = "make(chan struct{})"
    for make in pool.tasks.makes:
        element = make.call.up("keyed_element", "assignment_statement", "short_var_declaration")
        if element is None or element.function is not make.call.function:
            raise BuilderError("how the channel is made cannot be followed")
        if element.kind == "keyed_element":
            literal = element.up("composite_literal")
            assert literal is not None
            if not _is_one(pool, literal):
                raise BuilderError(f"{pool.decl.name} is used by value")
            edits += add_element(literal, f"{names.done}: {value}")
        elif element.kind == "assignment_statement" and len(element["left"].children) == 1:
            owner = element["left"].children[0]
            if owner.kind != "selector_expression":
                raise BuilderError("how the channel is made cannot be followed")
            edits += insert_after(element, f"{owner['operand'].name}.{names.done} = {value}")
        else:
            raise BuilderError("how the channel is made cannot be followed")
    return edits


def _is_one(pool: TypePool, literal: Node) -> bool:
    """Return whether a literal is reached by its address only: a lock in it is not copied."""
    if literal.parent is not None and literal.parent.text.startswith(b"&"):
        return True
    for make in pool.tasks.makes:
        variable = initialised(make.file, literal) if make.call.path == literal.path else None
        if variable is not None:
            uses = [use for use in variable.uses if use is not variable.node]
            parents = [use.parent for use in uses if use.parent is not None]
            return all(p.kind == "selector_expression" or p.text.startswith(b"&") for p in parents)
    return False


def error_variable(pool: TypePool, name: str) -> Edit:
    """Return the edit that declares the error of a pool that is stopped."""
    file = pool.decl.file
    declaration = pool.decl.node
    while declaration.parent is not None and declaration.parent.kind != "source_file":
        declaration = declaration.parent
    errors = package_name(file.tree, "errors")
    text = f"{file.package.name}: {pool.decl.name} is stopped"
    code = f"\n\n// {name} says that a {pool.decl.name} takes no more tasks.\n"
    code += f'var {name} = {errors}.New("{text}")'
    code = code.replace("\n", file.source.newline.decode())
    at = file.source.line_end(declaration.end) - len(file.source.newline)
    return Edit(file.path, at, at, code.encode())


def receiver_name(receiver: Node) -> str:
    """Return the name of a method's receiver, "" without one."""
    names = receiver.children[0].all("name")
    return names[0].name if names else ""
