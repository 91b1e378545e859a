"""A context on its way through the callers: who gains the parameter, and what each call passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.ambient import Ambient, ambient, left
from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_import,
    add_parameter,
    import_name,
    package_name,
    parameters,
)
from threadmend.golang.calls import Site
from threadmend.golang.families import CannotFollow, Family, family
from threadmend.golang.file import GoFile
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import declaration_of, is_api
from threadmend.model import Edit

__all__ = [
    "Plan",
    "at_hand",
    "edits_of",
    "follow",
    "plan",
    "reached",
    "refuse_boundaries",
    "unreached",
]

_DEPTH = 5  # callers of callers
_FIXED = (
    *("Read", "Write", "Close", "String", "Error", "ServeHTTP", "RoundTrip", "Scan", "Value"),
    *("Accept", "Addr", "Len", "Less", "Swap", "Is", "As", "Unwrap", "Format", "Seek", "Lock"),
    *("Unlock", "Flush", "Push", "Pop", "Open", "Stat", "Name", "MarshalJSON", "UnmarshalJSON"),
    *("MarshalText", "UnmarshalText", "Set", "Get", "Type", "Execute", "Run", "ReadFrom"),
    *("WriteTo", "ReadAt", "WriteAt", "Sync", "Load", "Store", "Dial", "Lookup"),
)


@dataclass
class Plan:
    """Which functions gain a context, and the boundaries where none is at hand.

    `detached` are calls that leave the life of the context around them.
    """

    families: dict[tuple[str, int], Family] = field(default_factory=dict)
    twins: set[tuple[str, int]] = field(default_factory=set)
    boundaries: list[Site] = field(default_factory=list)
    passed: list[tuple[Site, str, bool]] = field(default_factory=list)
    detached: list[Site] = field(default_factory=list)


def follow(decl: Decl) -> Family:
    """Return the family of a function that may gain a parameter; CannotFollow says why not."""
    if decl.kind == "method" and decl.exported:
        if decl.name in _FIXED:
            raise CannotFollow(f"{decl.name} may implement an interface of the standard library")
        if _imports_others(decl):
            raise CannotFollow(f"{decl.name} may implement an interface of another module")
    found = family(decl, lambda site: decl.kind == "method" and not decl.exported)
    if found.interfaces and any(is_api(member) for member in found.decls):
        raise CannotFollow(f"an exported interface fixes {decl.name}")
    if is_api(decl):
        for member in found.decls:
            _check_twin(member)
    for member in found.decls:
        for parameter in parameters(member.node):
            if parameter.name is not None and parameter.name.name == "ctx":
                raise CannotFollow(f"{member.name} has a parameter ctx of another type")
    return found


def _imports_others(decl: Decl) -> bool:
    workspace = decl.file.package.workspace
    for file in decl.file.package.files:
        for imported in file.imports:
            package = workspace.package(imported.path)
            if "." in imported.path.partition("/")[0]:
                if package is None or package.module is None:
                    return True
    return False


def _check_twin(decl: Decl) -> None:
    package = decl.file.package
    name = f"{decl.name}Context"
    if package.lookup(name) is not None or name in package.methods(decl.receiver):
        raise CannotFollow(f"{name} exists, and is something else")
    if decl.node.get("type_parameters") is not None:
        raise CannotFollow(f"{decl.name} is generic and exported")
    listed = parameters(decl.node)
    if any(p.name is None or p.name.name == "_" for p in listed):
        raise CannotFollow(f"a parameter of {decl.name} has no name")
    if decl.kind == "method" and not decl.node["receiver"].children[0].all("name"):
        raise CannotFollow(f"the receiver of {decl.name} has no name")


# -- who has a context -------------------------------------------------------------------


def reached(found: Family, depth: int = _DEPTH) -> list[Site]:
    """Return the calls of a family from which a context can come: at hand, or further up."""
    return [site for site in found.sites if at_hand(site) or _above(site, depth) is not None]


def at_hand(site: Site) -> Ambient | None:
    """Return the context that a call can pass on, if it is work inside of its life."""
    assert site.call is not None
    context = ambient(site.file, site.call)
    if context is None or context.kind == "test":
        return None
    return None if left(site.file, site.call, context) else context


def _above(site: Site, depth: int) -> Decl | None:
    """Return the function around a call that can gain a context from its own callers."""
    assert site.call is not None
    if depth == 0 or site.file.is_test_file or ambient(site.file, site.call) is not None:
        return None
    function = site.call.function
    decl = declaration_of(site.file, function) if function is not None else None
    if decl is None or site.launched or site.deferred:
        return None
    known: dict[tuple[tuple[str, int], int], Decl | None] = (
        site.file.package.workspace.facts.setdefault("context_above", {})
    )
    key = (decl.key, depth)
    if key not in known:
        known[key] = None
        try:
            if not _is_taken(decl) and reached(follow(decl), depth - 1):
                known[key] = decl
        except CannotFollow:
            pass
    return known[key]


def _is_taken(decl: Decl) -> bool:
    """Return whether a parameter ctx would clash with what the function calls ctx."""
    if decl.name in {"main", "init"}:
        return True
    names = (n for n in decl.node.find("identifier", "package_identifier") if n.name == "ctx")
    return not all(_gives_way(decl, name) for name in names)


_ENDLESS = re.compile(rb"\bcontext\.(?:Background|TODO)\(\)")


def _gives_way(decl: Decl, name: Node) -> bool:
    """Return whether a name ctx is a key, or a context that may hide the parameter.

    `ctx, cancel := context.WithTimeout(…)` declares cancel, and assigns to the parameter.
    """
    if name.parent is not None and name.parent.field == "key":
        return True
    file = decl.file
    binding = file.binding(name)
    if binding is None or not is_named(
        file.package.workspace.inference.binding_type(binding), "context.Context"
    ):
        return False
    if binding.scope is not decl.node and binding.scope is not decl.node["body"]:
        return True
    if binding.declaration.kind != "short_var_declaration":
        return False
    if _ENDLESS.search(binding.declaration["right"].text):
        return False  # it would take the parameter's place, and not be derived from it
    others = [n for n in binding.declaration["left"].children if n.name not in {"_", "ctx"}]
    return any(b is not None and b.node is n for n in others for b in (file.binding(n),))


# -- the plan ----------------------------------------------------------------------------


def plan(*decls: Decl) -> Plan:
    """Return who gains a context when functions do; raises CannotFollow, BuilderError."""
    for decl in decls:
        if _is_taken(decl):
            raise BuilderError(f"{decl.name} uses the name ctx for something else")
    made = Plan()
    pending = list(decls)
    while pending:
        current = pending.pop()
        if current.key in made.families:
            continue
        found = follow(current)
        for member in found.decls:
            made.families[member.key] = found
        if is_api(current):
            made.twins.update(member.key for member in found.decls)
        for site in found.sites:
            _pass(site, current, made, pending)
    return made


def _pass(site: Site, callee: Decl, made: Plan, pending: list[Decl]) -> None:
    assert site.call is not None
    file = site.file
    twin = is_api(callee)
    context = ambient(file, site.call)
    if context is not None:
        text = context.text
        if context.kind != "test" and left(file, site.call, context):
            text = f"context.WithoutCancel({text})" if file.go_version >= (1, 21) else ""
            made.detached.append(site)
    else:
        above = _above(site, _DEPTH)
        function = site.call.function
        own = declaration_of(file, function) if function is not None else None
        text = ""
        if above is not None or (own is not None and own.key in made.families):
            text = "ctx"
        if above is not None:
            pending.append(above)
    if text:
        made.passed.append((site, text, twin))
    elif not twin:
        test = file.is_test_file
        made.passed.append((site, "context.Background()" if test else "context.TODO()", False))
        if not test:
            made.boundaries.append(site)


def refuse_boundaries(made: Plan, others: int = 0) -> None:
    """Refuse a plan that writes context.TODO() more often than it passes a context.

    `others` are places that get a context otherwise. Raises BuilderError.
    """
    without = len(made.boundaries)
    given = others + sum(at_hand(site) is not None for site, _, _ in made.passed)
    if without > given:
        raise BuilderError(f"a context reaches fewer calls ({given}) than it does not ({without})")


# -- its edits ---------------------------------------------------------------------------


def unreached(made: Plan) -> str:
    """Return what to say of the places that no context reaches, if there are any."""
    if not made.boundaries:
        return ""
    site = made.boundaries[0]
    line = site.file.source.line_of(site.node.start)
    more = f" and {len(made.boundaries) - 1} more" if len(made.boundaries) > 1 else ""
    return f"; context.TODO() marks {site.file.path}:{line}{more}, which none reaches"


def edits_of(made: Plan) -> Iterator[Edit]:
    """Yield the edits of signatures, calls and imports."""
    files: dict[str, GoFile] = {}
    done: set[int] = set()
    for found in made.families.values():
        if id(found) in done:
            continue
        done.add(id(found))
        for decl in found.decls:
            files[decl.file.path] = decl.file
            if decl.key in made.twins:
                yield _twin(decl)
            else:
                used = decl.key in made.families and not _is_taken(decl)
                yield from add_parameter(
                    decl.node, "ctx" if used else "_", _type(decl.file), index=0
                )
        workspace = found.decls[0].file.package.workspace
        for method in found.interfaces:
            file = workspace.file_of(method)
            files[file.path] = file
            yield from add_parameter(method, "ctx", _type(file), index=0)
    for site, text, twin in made.passed:
        assert site.call is not None
        if twin:
            end = site.node.end
            yield Edit(site.file.path, end, end, b"Context")
        if text.startswith("context."):
            files[site.file.path] = site.file
            text = _package(site.file) + text.removeprefix("context")
        yield from add_argument(site.call, text)
    for file in files.values():
        if import_name(file.tree, "context") is None:
            yield from add_import(file.tree, "context")


def _package(file: GoFile) -> str:
    return package_name(file.tree, "context")


def _type(file: GoFile) -> str:
    return f"{_package(file)}.Context"


def _twin(decl: Decl) -> Edit:
    """Write `FooContext` around the body, and a `Foo` that calls it.

    func Foo(n int) error {
        return FooContext(context.Background(), n)
    }

    // FooContext is Foo with a context that can end it.
    func FooContext(ctx context.Context, n int) error { … }
    """
    node, file = decl.node, decl.file
    name = f"{decl.name}Context"
    body, listed = node["body"], node["parameters"]
    given = [f"{_package(file)}.Background()"]
    for parameter in parameters(node):
        assert parameter.name is not None
        given.append(parameter.name.name + ("..." if parameter.variadic else ""))
    receiver = node.get("receiver")
    target = name
    if receiver is not None:
        target = f"{receiver.children[0].all('name')[0].name}.{name}"
    result = node.get("result")
    word = "return " if result is not None else ""
    head = f"({receiver.name[1:-1]}) " if receiver is not None else ""
    inside = listed.name[1:-1]
    line = file.source.newline.decode()
    joined = f"ctx {_type(file)}" + (f", {inside}" if inside.strip() else "")
    if inside.startswith(("\n", "\r\n")):
        joined = f"{line}\tctx {_type(file)},{inside}"
    text = line.join(
        (
            "{",
            f"\t{word}{target}({', '.join(given)})",
            "}",
            "",
            f"// {name} is {decl.name} with a context that can end it.",
            f"func {head}{name}({joined}) {result.name + ' ' if result is not None else ''}",
        )
    )
    return Edit(file.path, body.start, body.start, text.encode())
