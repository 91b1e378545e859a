"""Repeats: for how many goroutines one launch stands, as seen by what they share, and from where.

    func (c *crew) hire(id int) { go c.toil(id) }     // one `go`, and as many goroutines as calls

Followed from the launch outwards, through loops, literals and the callers of the function around
it, to the place where the shared object is made. An exported function is called as often as its
users like, unless its name says that it runs once in the life of its object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import Access, access_of, variable_meant
from threadmend.golang.calls import Site, callers, code_callers
from threadmend.golang.channel_fields import SharedChannel, shared_channel
from threadmend.golang.flow import flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.goroutines import Launch, captures, launch_of_literal, launch_sites
from threadmend.golang.iterations import ends_after
from threadmend.golang.locks import declaration_of, runs_in_place
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.setup import is_made_here, runs_once
from threadmend.golang.strands import literal_binding
from threadmend.golang.syntax import FUNCTIONS, Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = [
    "is_called_again",
    "is_repeated",
    "launch_places",
    "only_workers",
    "runs_for_good",
    "switches",
]

_DEPTH = 4

# What runs once in the life of an object.
_SETS_UP = re.compile(
    r"(?:[Nn]ew|[Ii]nit(?:ial(?:i[sz]e)?)?|[Mm]ake|[Cc]reate|[Bb]uild|[Ss]tart|[Oo]pen|[Ss]et[Uu]p"
    r"|[Cc]lose|[Ss]top|[Ss]hutdown|[Pp]rovision|[Cc]onfigure|OnStart|main$)(?![a-z])"
)
# Likewise, when its name is none of a set-up's.
_FOR_GOOD = re.compile(
    r"(?:Run|Serve|Listen|Launch|Begin|Connect|Dial|Watch|Enable|Resume|Attach|Join|Boot"
    r"|Loop|Wait|Finish|Kill|Exit|Drain|Disconnect|Leave|Abort|Cancel|Activate|Monitor)(?![a-z])"
)
_STATEMENTS = ("assignment_statement", "short_var_declaration", "var_declaration")
_TAKES_TURN = re.compile(rb"\.(?:CompareAndSwap|Swap)\w*\(")


def runs_for_good(name: str) -> bool:
    """Return whether a function's name, none of a set-up, says that it runs once for an object."""
    return _FOR_GOOD.match(name) is not None


def only_workers(file: GoFile) -> Iterator[tuple[Launch, Node]]:
    """Yield the methods of a file that one `go` statement launches, once for each object, and
    that statement: the only worker of its kind that an object has.
    """
    for sites in launch_sites(file.package).values():
        launch, body = sites[0], sites[0].body
        if len(sites) != 1 or launch.kind != "go" or body is None or launch.loop is not None:
            continue
        if body.path == file.path and body.kind == "method_declaration":
            if not is_repeated(file.package.workspace.file_of(launch.node), launch):
                yield launch, body


def launch_places(
    file: GoFile, function: Node, launch: Launch, calls: tuple[Node, ...] = ()
) -> list[Node]:
    """Return the nodes of a function itself at which a launch starts its goroutines.

    The launch; the call of a helper that makes it, the first of `calls`; the calls of a literal
    in a variable. Nothing where it cannot be told.
    """
    inner = launch.function
    if inner is function:
        return [launch.node]
    if inner is None:
        return []
    if calls and not inner.contains(calls[0]):
        decl = file.callee(calls[0])
        own = decl is not None and decl.node is inner and not calls[0].is_launched
        return [calls[0]] if own and calls[0].function is function else []
    binding = literal_binding(file, inner) if inner.kind == "func_literal" else None
    if binding is None or binding.function is not function:
        return []
    uses = [use for use in binding.uses if use is not binding.node]
    found = [call for use in uses if (call := call_of(use)) is not None]
    if len(found) < len(uses) or any(c.is_launched or c.function is not function for c in found):
        return []
    return found


def is_repeated(file: GoFile, launch: Launch, made: Node | None = None) -> bool:
    """Return whether a launch may start several goroutines that share an object.

    `made` makes what they share; by default that is the object whose method is launched, or
    which the launched literal uses. Where it cannot be told, several are taken for granted.
    """
    held = _shared_by(file, launch) if made is None else None
    return _again(file, launch.node, held, made, _DEPTH)


def is_called_again(file: GoFile, launch: Launch) -> bool:
    """Return whether the function around a launch may be called more than once for one object.

    Whatever loop stands around the launch: each round has something else to run, perhaps.
    """
    function = launch.function
    if function is None or function.kind == "func_literal":
        return False
    return _by_callers(file, function, launch.node, _shared_by(file, launch), None, _DEPTH)


def _shared_by(file: GoFile, launch: Launch) -> Binding | None:
    """Return the variable that leads to what the goroutines of a launch share."""
    call, found = launch.runs, list[Binding]()
    if call is not None and call["function"].kind == "selector_expression":
        held = _root(file, call["function"]["operand"])
        if held is not None:
            return held
    if launch.literal is not None:
        names = [places[0] for places in captures(launch.literal).values()]
        found = [b for name in names if (b := variable_meant(file, name)) is not None]
    elif call is not None:
        found = [b for a in call["arguments"].children if (b := _root(file, a)) is not None]
    kinds = ("receiver", "parameter", "variable")
    ordered = sorted((b for b in found if b.kind in kinds), key=lambda b: kinds.index(b.kind))
    return ordered[0] if ordered else None


def _root(file: GoFile, node: Node) -> Binding | None:
    access = access_of(file, node)
    return access.root if access is not None and isinstance(access.root, Binding) else None


def _again(file: GoFile, node: Node, held: Binding | None, made: Node | None, depth: int) -> bool:
    """Return whether a node may run more than once for what is shared there."""
    if made is None and held is not None and is_made_here(file, held.node, Access(held)):
        made = held.node
    for above in node.ancestors():
        if made is not None and above.path == made.path and above.contains(made):
            return False
        if above.kind == "for_statement" and not ends_after(above, node):
            return True
        if above.kind == "func_literal":
            outer = _run_at(file, above)
            if outer is None:
                return not runs_once(above)
            if not above.contains(outer) and above.parent is not outer.parent:
                return _again(file, outer, held, made, depth)
        elif above.kind in FUNCTIONS:
            return _by_callers(file, above, node, held, made, depth)
    return False


def _run_at(file: GoFile, literal: Node) -> Node | None:
    """Return the one place where the function around a literal runs it, or launches it."""
    if runs_once(literal):
        return None
    if runs_in_place(file, literal) or literal.is_deferred:
        return literal
    launch = launch_of_literal(file, literal)
    if launch is not None:
        return launch.node
    binding = literal_binding(file, literal)
    uses = [use for use in binding.uses if use is not binding.node] if binding is not None else []
    return call_of(uses[0]) if len(uses) == 1 else None


def _by_callers(
    file: GoFile,
    function: Node,
    node: Node,
    held: Binding | None,
    made: Node | None,
    depth: int,
) -> bool:
    """Return whether a function that launches is called more than once for one object."""
    decl = declaration_of(file, function)
    if decl is None or depth == 0:
        return True
    if decl.name in {"init", "main"} and not decl.receiver:
        return False
    if held is not None and held.kind == "receiver":
        if switches(function, held) or _ends_its_channel(file, function, node, held):
            return False
    if _TAKES_TURN.search(file.data, function.start, node.start):
        return False
    if made is None and _is_open(decl):
        return True
    sites = list(callers(decl)) if file.is_test else code_callers(decl)
    met: list[Binding | None] = []
    for site in sites:
        if site.call is None or function.contains(site.node):
            return True
        given = _given(site, function, held) if held is not None else None
        if _again(site.file, site.call, given, made, depth - 1):
            return True
        known = given is not None and is_made_here(site.file, given.node, Access(given))
        met.append(given if known else None)
    return len(set(met)) < len(met)


def _ends_its_channel(file: GoFile, function: Node, node: Node, receiver: Binding) -> bool:
    """Return whether a method closes, on every path from a node, a channel of its object's that is
    made with the object: another call would panic.
    """
    flow = flow_of(function)
    start = flow.point_of(node)
    if start is None or not flow.complete or b"close(" not in function.text:
        return False
    closes = []
    for call in function.own():
        if call.kind != "call_expression" or call["function"].text != b"close":
            continue
        operand = next(iter(call["arguments"].children), None)
        if operand is None or operand.kind != "selector_expression":
            continue
        if operand["operand"].kind == "identifier" and file.binding(operand["operand"]) is receiver:
            channel = shared_channel(file, operand)
            if channel is not None and channel.is_field and _made_with(channel):
                closes.append(flow.point_of(call))
    return bool(closes) and not flow.exits_from(start, stop=closes.__contains__)


def _made_with(channel: SharedChannel) -> bool:
    """Return whether the channels of a field are all made in literals of their objects."""
    if channel.stores or channel.nils or not channel.makes:
        return False
    around = (m.call.up("keyed_element", *_STATEMENTS) for m in channel.makes)
    return all(a is not None and a.kind == "keyed_element" for a in around)


def _is_open(decl: Decl) -> bool:
    """Return whether users of a package call a function, and as often as they like."""
    if not decl.exported or decl.file.package.name == "main":
        return False
    return not (_SETS_UP.match(decl.name) or runs_for_good(decl.name))


def _given(site: Site, function: Node, held: Binding) -> Binding | None:
    """Return the variable whose object a call gives to a receiver or parameter."""
    value: Node | None = None
    if site.call is not None and held.kind == "receiver":
        value = site.call["function"].get("operand")
    elif site.call is not None:
        value = argument_of(site.call, function, held)
    return _root(site.file, value) if value is not None else None


def switches(function: Node, receiver: Binding) -> bool:
    """Return whether a method tests a field and sets it: `if s.on { return }; s.on = true`."""
    paths = [u.parent for u in receiver.uses if u.parent is not None and u.function is function]
    tested = {p.text for p in paths if p.up("if_statement") is not None}
    return any(
        p.text in tested
        and (group := p.parent) is not None
        and group.field == "left"
        and (statement := group.parent) is not None
        and statement.kind == "assignment_statement"
        for p in paths
    )
