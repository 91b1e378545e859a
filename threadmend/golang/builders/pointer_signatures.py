"""Turn a receiver, parameter or result into a pointer; every caller in the project follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.builders.pointers import (
    CannotFollow,
    Rewrite,
    follow,
    pointer_to,
    prefixed,
)
from threadmend.golang.calls import Site, callers
from threadmend.golang.conversions import interface_value
from threadmend.golang.nocopy import nocopy
from threadmend.golang.node import bare, parenthesized
from threadmend.golang.scope import Binding, bindings_in, declared_by, declared_name
from threadmend.golang.syntax import Node
from threadmend.golang.types import Pointer
from threadmend.golang.uses import (
    addressable,
    declaration_of,
    fixing_interface,
    is_api,
    is_fixed_outside,
    variants,
)
from threadmend.model import Edit

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["calls_of", "parameter_to_pointer", "receiver_to_pointer"]


def parameter_to_pointer(file: GoFile, parameter: Node) -> Rewrite:
    """Return the change of a parameter declaration `p T` (or `a, b T`) to `p *T`.

    `parameter` is that of a function, method or literal with a body.
    """
    function = _function(parameter)
    rewrite = Rewrite()
    positions = _positions(parameter)
    sites: list[Site]
    if function.kind == "func_literal":
        changed = [(file, parameter)]
        sites = list(_literal_calls(file, function))
    else:
        decl = declaration_of(file, function)
        if decl is None or is_fixed_outside(decl):
            raise CannotFollow("the function is known outside of Go")
        changed = list(_same_parameter(decl, parameter))
        sites = list(calls_of(decl))
        if is_api(decl):
            rewrite.reasons.append(f"{decl.name} is exported; callers elsewhere have to follow")

    calls = {site.call for site in sites}
    kept: set[Node] = set()

    def keeps(use: Node) -> bool:
        """The variable is handed on to the very parameter that changes."""
        place = parenthesized(use)
        arguments = place.parent
        if arguments is None or arguments.kind != "argument_list" or arguments.parent not in calls:
            return False
        if arguments.children.index(place) not in positions:
            return False
        kept.add(place)
        return True

    for owner, declaration in changed:
        rewrite.edits.append(prefixed(declaration["type"], b"*"))
        for binding in _bound(declaration):
            follow(owner, binding, rewrite, keeps)
    for site in sites:
        assert site.call is not None
        if site.launched:
            rewrite.launched = True
        _point_arguments(site, positions, rewrite, kept)
    return rewrite


def _function(parameter: Node) -> Node:
    group = parameter.parent
    assert group is not None
    assert group.parent is not None
    return group.parent


def _positions(parameter: Node) -> range:
    assert parameter.parent is not None
    at = 0
    for other in parameter.parent.children:
        count = max(1, len(other.all("name")))
        if other is parameter:
            return range(at, at + count)
        at += count
    return range(0)


def _bound(declaration: Node) -> Iterator[Binding]:
    """Yield the bindings of a parameter declaration's names."""
    function = _function(declaration)
    for name in declaration.all("name"):
        for binding in bindings_in(function).get(name.name, ()):
            if binding.node is name:
                yield binding


def _same_parameter(decl: Decl, parameter: Node) -> Iterator[tuple[GoFile, Node]]:
    """Yield the parameter in every build-tagged variant of a function."""
    assert parameter.parent is not None
    position = _positions(parameter).start
    for variant in variants(decl):
        if variant.key == decl.key:
            yield variant.file, parameter
            continue
        group = variant.node.get("parameters")
        for other in group.children if group else ():
            if _positions(other) == _positions(parameter):
                if other["type"].text == parameter["type"].text:
                    yield variant.file, other
                    break
        else:
            raise CannotFollow(f"a variant of {decl.name} differs at parameter {position + 1}")


def calls_of(decl: Decl, *, any_receiver: bool = False) -> Iterator[Site]:
    """Yield the calls of a function or method; anything else cannot follow.

    A call on a value of unknown type is one of another method, unless it passes a lock by
    value; with `any_receiver` it may be one of this method, and cannot be followed.
    """
    if decl.kind == "method":
        interface = fixing_interface(decl)
        if interface is not None:
            where = f"{interface.path}:{interface.tree.source.line_of(interface.start)}"
            raise CannotFollow(f"an interface fixes the signature of {decl.name} ({where})")
    for site in callers(variants(decl)[0]):
        where = f"{site.file.path}:{site.file.source.line_of(site.node.start)}"
        if site.call is None:
            raise CannotFollow(f"{decl.name} is used as a value ({where})")
        if decl.kind == "method":
            selector = site.node.parent
            selection = site.file.selection(selector) if selector is not None else None
            if selection is None:
                if any_receiver or _passes_lock(site):
                    raise CannotFollow(f"a receiver of {decl.name} has no known type ({where})")
                continue
            if selection.decl is None:
                continue  # an interface with this method that the type does not implement
            if selector is not None and _is_type(site.file, selector["operand"]):
                raise CannotFollow(f"{decl.name} is used as a method expression ({where})")
        yield site


def _passes_lock(site: Site) -> bool:
    """Return whether a call passes something by value that contains a lock."""
    assert site.call is not None
    facts = nocopy(site.file.package.workspace)
    return any(facts.path(site.file.type_of(a)) for a in site.call["arguments"].children)


def _is_type(file: GoFile, node: Node) -> bool:
    return file.type_of(bare(node)) is None


def _literal_calls(file: GoFile, literal: Node) -> Iterator[Site]:
    """Yield the calls of a function literal: in place, or through its only name."""
    place = parenthesized(literal)
    parent = place.parent
    if parent is not None and parent.kind == "call_expression" and place.field == "function":
        yield Site(file, literal, parent)
        return
    name = declared_name(place, untyped=True)
    binding = declared_by(name) if name is not None else None
    if binding is None:
        raise CannotFollow("the function literal is handed on, and its type with it")
    for use in binding.uses:
        if use is binding.node:
            continue
        at = parenthesized(use)
        if at.parent is None or at.parent.kind != "call_expression" or at.field != "function":
            raise CannotFollow(f"{binding.name} is used as a value")
        yield Site(file, use, at.parent)


def _point_arguments(site: Site, positions: range, rewrite: Rewrite, kept: set[Node]) -> None:
    assert site.call is not None
    arguments = site.call["arguments"].children
    for position in positions:
        if position >= len(arguments):
            raise CannotFollow("a call passes the results of another call")
        if arguments[position] not in kept:
            rewrite.edits.append(pointer_to(site.file, arguments[position]))


# -- receivers ------------------------------------------------------------------------


def receiver_to_pointer(file: GoFile, parameter: Node) -> Rewrite:
    """Return the change of a method's receiver `(t T)` to `(t *T)`."""
    decl = declaration_of(file, _function(parameter))
    if decl is None:
        raise CannotFollow("the method is not known")
    rewrite = Rewrite()
    for variant in variants(decl):
        group = variant.node.get("receiver")
        declaration = group.children[0] if group is not None and group.children else None
        if declaration is None:
            raise CannotFollow("a variant of the method has no receiver")
        if bare(declaration["type"]).kind != "pointer_type":
            rewrite.edits.append(prefixed(declaration["type"], b"*"))
            for binding in _bound(declaration):
                follow(variant.file, binding, rewrite)
    converted = interface_value(decl)
    if converted is not None:
        line = converted.tree.source.line_of(converted.start)
        raise CannotFollow(
            f"a {decl.receiver} is used as an interface that needs {decl.name}"
            f" ({converted.path}:{line})"
        )
    for site in callers(variants(decl)[0]):
        _point_receiver(site, decl, rewrite)
    if is_api(decl):
        rewrite.reasons.append(
            f"{decl.name} is exported; only pointers to {decl.receiver} have it then"
        )
    return rewrite


def _point_receiver(site: Site, decl: Decl, rewrite: Rewrite) -> None:
    """Make the operand of a call or method value one that a pointer receiver takes."""
    selector = site.node.parent
    if selector is None or selector.kind != "selector_expression":
        return
    file = site.file
    where = f"{file.path}:{file.source.line_of(site.node.start)}"
    selection = file.selection(selector)
    if selection is None or selection.decl is None:
        return  # another type's: what this project declares has a known type
    operand = bare(selector["operand"])
    type_ = file.underlying(file.type_of(operand))
    if type_ is None:
        raise CannotFollow(f"{decl.name} is used as a method expression ({where})")
    if isinstance(type_, Pointer) or addressable(file, operand):
        if site.launched and site.call is not None:
            rewrite.launched = True
        return
    if operand.kind == "composite_literal":
        outer = selector["operand"]
        if outer is operand:
            new = b"(&" + operand.text + b")"
            rewrite.edits.append(Edit(file.path, operand.start, operand.end, new))
        else:
            rewrite.edits.append(prefixed(operand, b"&"))
        return
    raise CannotFollow(f"{decl.name} is called on a value without an address ({where})")
