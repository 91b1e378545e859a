"""Self references: fields through which an object gets back to itself.

    func New() *Cache {
        c := &Cache{}
        c.fit = fitter{nodes: c}     // c.fit.nodes is c
        c.log = c                    // c.log is c
        c.plan.nodes = c             // c.plan.nodes is c
        a := &audit{table: c}
        c.watch = a                  // c.watch.table is c
        c.ring = newRing(options{idle: c.rest})      // c.ring.opts.idle() is c
        c.Observe(&trail{table: c})  // c.watch.table is c, where Observe stores it in c.watch

Certain when the package stores nothing else in these fields: an object that never set them
cannot get anywhere through them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.backrefs import given_field, is_set_in_literals
from threadmend.golang.calls import Site, code_callers, code_files
from threadmend.golang.locks import declaration_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node
from threadmend.golang.targets import stored_values
from threadmend.golang.types import Interface, Named, Pointer, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = ["without_detours"]


def without_detours(file: GoFile, access: Access) -> Access:
    """Return a path without the steps that lead from an object back to itself."""
    root, steps = access.root, access.steps
    if len(steps) < 2 or not isinstance(root, Binding):
        return access
    known: dict[tuple[Binding, tuple[str, ...]], int]
    known = file.package.facts.setdefault("steps back", {})
    key = (root, steps[: _FURTHEST + 1])
    count = known.get(key)
    if count is None:
        count = known[key] = _steps_back(file, *key)
    return Access(root, steps[count:]) if count else access


_FURTHEST = 3  # steps of a way back


def _steps_back(file: GoFile, root: Binding, steps: tuple[str, ...]) -> int:
    """Return how many of the first steps from a variable lead back to its object."""
    owner = deref(file.type_of(root.node))
    if not isinstance(owner, Named) or owner.local:
        return 0
    package = file.package.workspace.package_by_key(owner.package)
    if package is None:
        return 0
    for count in range(1, len(steps)):
        if _leads_back(package, owner, steps[:count]):
            return count
    return 0


def _leads_back(package: Package, owner: Named, steps: tuple[str, ...]) -> bool:
    known: dict[tuple[str, tuple[str, ...]], bool] = package.facts.setdefault("detours", {})
    key = (str(owner), steps)
    if key not in known:
        known[key] = False
        word = re.compile(rb"\b" + re.escape(steps[0].encode()) + rb"\b\s*(?::|=|,)")
        if not steps[0].startswith("[") and package.holds(word):
            known[key] = _always(package, owner, steps)
    return known[key]


def _always(package: Package, owner: Named, steps: tuple[str, ...]) -> bool:
    stored = stored_values(package, owner, steps[0])
    if stored and all(_is_its_owner(file, value, steps[1:]) for file, value in stored):
        return True
    return (
        len(steps) == 2
        and all(_is_new(v) for _, v in stored)
        and _set_later(package, owner, *steps)
    )


def _is_new(value: Node) -> bool:
    """Return whether a value is made where it stands, so that nobody else has it."""
    if value.kind == "unary_expression":
        value = value["operand"]
    return value.kind == "composite_literal"


def _set_later(package: Package, owner: Named, outer: str, inner: str) -> bool:
    """Return whether all that sets a field of some struct is `x.outer.inner = x`."""
    found = False
    for file in code_files(package):
        word = re.compile(
            rb"\.%b\.%b\s*=[^=]" % (re.escape(outer).encode(), re.escape(inner).encode())
        )
        for statement in file.find("assignment_statement", word):
            targets, values = statement["left"].children, statement["right"].children
            if len(targets) != 1 or len(values) != 1 or not _is_path(targets[0], outer, inner):
                return False
            part, whole = targets[0]["operand"], targets[0]["operand"]["operand"]
            type_ = deref(file.type_of(part))
            if found or not isinstance(type_, Named) or type_.package != package.key:
                return False
            if len(stored_values(package, type_, inner)) != 1:
                return False
            if deref(file.type_of(whole)) != owner:
                return False
            kept = access_of(file, whole)
            meant = access_of(file, values[0])
            found = kept is not None and kept == meant and not kept.steps
            if not isinstance(file.underlying(file.type_of(values[0])), Pointer | Interface):
                return False  # a copy
    return found


def _is_path(node: Node, outer: str, inner: str) -> bool:
    """Return whether an expression is `….outer.inner`."""
    if node.kind != "selector_expression" or node["field"].name != inner:
        return False
    operand = node["operand"]
    return operand.kind == "selector_expression" and operand["field"].name == outer


def _made_as(file: GoFile, value: Node) -> Node:
    """Return what a variable was declared with that keeps it: `a := &audit{table: t}`."""
    binding = file.binding(value) if value.kind == "identifier" else None
    right = binding.declaration.get("right") if binding is not None else None
    if binding is None or right is None or not is_assigned_once(binding):
        return value
    return right.children[binding.index] if binding.index < len(right.children) else value


def _is_its_owner(file: GoFile, value: Node, inner: tuple[str, ...]) -> bool:
    """Return whether `x.field = value` stores `x` itself, or what keeps `x` in a field."""
    group = value.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return False
    index = next(i for i, child in enumerate(group.children) if child is value)
    target = statement["left"].children[index]
    if target.kind != "selector_expression":
        return False
    owner = target["operand"]
    return _comes_back(file, owner, value, inner) or _handed_in(file, owner, value, inner)


def _handed_in(file: GoFile, owner: Node, value: Node, inner: tuple[str, ...]) -> bool:
    """Return whether a method stores in its object what all callers have made around that object.

    `func (f *Fleet) Audit(a Auditor) { f.auditor = a }`, and `f.Audit(&trail{fleet: f})`.
    """
    given = file.binding(value) if value.kind == "identifier" else None
    receiver = file.binding(owner) if owner.kind == "identifier" else None
    function = value.function
    if given is None or receiver is None or function is None or not inner:
        return False
    if (given.kind, receiver.kind) != ("parameter", "receiver") or not is_assigned_once(given):
        return False
    decl = declaration_of(file, function)
    sites = code_callers(decl) if decl is not None else []
    return bool(sites) and all(_hands_in(site, decl, given, inner) for site in sites if decl)


def _hands_in(site: Site, decl: Decl, given: Binding, inner: tuple[str, ...]) -> bool:
    function = site.call["function"] if site.call is not None else None
    argument = argument_of(site.call, decl.node, given) if site.call is not None else None
    if function is None or argument is None or function.kind != "selector_expression":
        return False
    return _comes_back(site.file, function["operand"], argument, inner)


def _comes_back(file: GoFile, owner: Node, value: Node, inner: tuple[str, ...]) -> bool:
    """Return whether the steps lead from a value back to an object, as one function names both."""
    given: Node | None = value
    for step in inner:
        type_ = deref(file.type_of(given)) if given is not None else None
        if given is None or not isinstance(type_, Named) or type_.package != file.package.key:
            return False
        if not is_set_in_literals(file.package, type_.name, step):
            return False
        given = given_field(file, _made_as(file, given), type_.name, step)
    if given is None or given.path != file.path:
        return False
    if not isinstance(file.underlying(file.type_of(given)), Pointer | Interface):
        return False  # a copy
    kept, meant = access_of(file, owner), access_of(file, given)
    return kept is not None and kept == meant and not kept.steps
