"""Objects whose goroutine only a method of theirs ends, made by a function that does not call it.

w := newWorker()
w.Start()                       go func() {
for _, item := range items {        for {
    w.Add(item)                         select {
}                                       case item := <-w.items: …
return nil                              case <-w.done: return    // closed by w.Stop
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.golang.builders import BuilderError, insert_after, with_reason
from threadmend.golang.channel_fields import SharedChannel
from threadmend.golang.channel_index import behind
from threadmend.golang.file import GoFile
from threadmend.golang.functions import call_of, outer_function, result_nodes
from threadmend.golang.goroutines import innermost_loop, launch_of_literal, launch_sites
from threadmend.golang.locks import declaration_of
from threadmend.golang.package import Decl, Package
from threadmend.golang.stops import endless, ways_out
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, Type, deref
from threadmend.model import Finding, Fix, Related, Safety

from ._bodies import bodies
from ._own_object import OwnObject, uses_of, variable_for

__all__ = ["never_stopped"]

_MADE = re.compile(rb":=\s*&?[\w.]+(?:\[[\w.,\[\]* ]*\])?[({]")


@dataclass(slots=True)
class _Worker:
    """A type with a goroutine that receives from its own fields, until a method closes one.

    `launchers` launch it, `enders` end it, by themselves or through each other. `loses`: what
    waits in a buffer when it ends is dropped.
    """

    decl: Decl
    wait: Node
    launchers: set[tuple[str, int]] = field(default_factory=set)
    enders: set[tuple[str, int]] = field(default_factory=set)
    loses: bool = False


def never_stopped(file: GoFile) -> Iterator[Finding]:
    """Yield the objects that a function makes, uses and drops with their goroutine waiting."""
    if file.is_test_file or file.package.name == "main":
        return  # the process ends with them
    workers = {k: worker for package in _in_reach(file) for k, worker in _workers(package).items()}
    if not workers:
        return
    for statement in file.find("short_var_declaration", _MADE):
        function = statement.function
        if function is None or function.get("name") is None or _MADE.search(statement.text) is None:
            continue
        value = statement["right"].children[0]
        binding = variable_for(file, value)
        type_ = deref(file.type_of(binding.node)) if binding is not None else None
        if binding is None or not isinstance(type_, Named):
            continue
        worker = workers.get((type_.package, type_.name))
        if worker is not None:
            yield from _dropped(OwnObject(file, function, binding, value), worker)


def _in_reach(file: GoFile) -> Iterator[Package]:
    """Yield the packages of the module whose types a file may name."""
    yield file.package
    for imported in file.imports:
        package = file.package.workspace.package(imported.path)
        if package is not None and package.module is file.package.module:
            yield package


# -- the types ---------------------------------------------------------------------------------


def _workers(package: Package) -> dict[tuple[str, str], _Worker]:
    """Return the types of a package whose goroutines wait for their own fields alone."""
    found: dict[tuple[str, str], _Worker] | None = package.facts.get("workers of objects")
    if found is None:
        found = package.facts["workers of objects"] = {}
        several: set[tuple[str, str]] = set()
        for file in package.files:
            for body in bodies(file) if not file.is_test_file else ():
                worker = _worker(file, body)
                if worker is None:
                    continue
                key = (package.key, worker.decl.name)
                if key in found:
                    several.add(key)  # which of them runs, and who ends which, is not told apart
                found[key] = worker
        for key in several:
            del found[key]
    return found


def _worker(file: GoFile, body: Node) -> _Worker | None:
    loops = [s for s in body["body"].statements if s.kind == "for_statement"]
    waits = _waits(file, loops[0]) if len(loops) == 1 else None
    if not waits:
        return None
    decl, closes = waits[0][1].decl, [c for _, s in waits for c in s.of("close")]
    closes = [c for c in closes if not c.file.is_test]
    if any(shared.decl.key != decl.key for _, shared in waits) or not closes:
        return None
    enders = [_method_around(c.file, c.anchor, decl) for c in closes]
    launchers = [_around(f, at, decl) for f, at in _launched(file, body)]
    if not launchers or None in enders or None in launchers:
        return None
    worker = _Worker(decl, waits[0][0])
    worker.enders = _with_callers(decl, {d.key for d in enders if d is not None})
    worker.launchers = _with_callers(decl, {d.key for d in launchers if d is not None})
    closed = {s.name for _, s in waits if s.of("close")}
    worker.loses = any(
        s.name not in closed and not all(m.unbuffered for m in s.makes) for _, s in waits
    )
    return worker


def _waits(file: GoFile, loop: Node) -> list[tuple[Node, SharedChannel]] | None:
    """Return the receives that a loop does nothing without, if only a close of one ends it."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if clause is not None:
        shared = _own_channel(file, clause)
        return [(clause, shared)] if shared is not None and not any(ways_out(loop)) else None
    statements = loop["body"].statements
    if not endless(loop) or len(statements) != 1 or statements[0].kind != "select_statement":
        return None
    found = []
    for case in statements[0].children:
        if case.kind == "default_case":
            return None
        if case.kind != "communication_case":
            continue
        receive = next((n for n in case["communication"].walk() if _is_receive(n)), None)
        shared = _own_channel(file, receive) if receive is not None else None
        leaves = any(case.contains(way) for way in ways_out(loop))
        if receive is None or shared is None or leaves != bool(shared.of("close")):
            return None
        found.append((receive, shared))
    return found


def _is_receive(node: Node) -> bool:
    return node.kind == "unary_expression" and node["operator"].kind == "<-"


def _own_channel(file: GoFile, receive: Node) -> SharedChannel | None:
    """Return the channel of a field, if all that is done with it is known."""
    channel = behind(file, receive)
    shared = channel.shared
    if shared is None or not shared.is_field or not channel.known or not shared.makes:
        return None
    return shared


def _launched(file: GoFile, body: Node) -> Iterator[tuple[GoFile, Node]]:
    """Yield the places that launch a goroutine's body."""
    decl = declaration_of(file, body)
    if decl is None:
        launch = launch_of_literal(file, body)
        if launch is not None:
            yield file, launch.node
        return
    for site in launch_sites(file.package).get(decl.key, ()):
        yield file.package.workspace.file_of(site.node), site.node


def _around(file: GoFile, node: Node, owner: Decl) -> Decl | None:
    """Return the method of a type, or its maker, that a node stands in."""
    function = outer_function(node)
    decl = declaration_of(file, function) if function is not None else None
    return decl if decl is not None and _is_of(decl, owner) else None


def _is_of(decl: Decl, owner: Decl) -> bool:
    """Return whether a declaration is a method of a type, or a function that returns one first."""
    if decl.receiver:
        return decl.receiver == owner.name
    results = result_nodes(decl.node)
    made = deref(decl.file.type_from(results[0])) if results else None
    return isinstance(made, Named) and made.name == owner.name


def _method_around(file: GoFile, node: Node, owner: Decl) -> Decl | None:
    decl = _around(file, node, owner)
    return decl if decl is not None and decl.receiver else None


def _with_callers(owner: Decl, found: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return functions and those methods and makers of a type which call them."""
    near = [d for d in owner.file.package.functions() if d.has_body and _is_of(d, owner)]
    while True:
        more = {d.key for d in near if _calls(d, found)} - found
        if not more:
            return found
        found |= more


def _calls(decl: Decl, wanted: set[tuple[str, int]]) -> bool:
    calls = decl.node.find("call_expression")
    return any(c is not None and c.key in wanted for c in map(decl.file.callee, calls))


# -- the functions that drop one ---------------------------------------------------------------


def _dropped(own: OwnObject, worker: _Worker) -> Iterator[Finding]:
    start = _start(own, worker)
    if start is None or not own.is_alone():
        return
    used = False
    for use in uses_of(own.binding):
        selector = use.parent
        selection = own.file.selection(selector) if selector is not None else None
        if selector is None or selection is None or not _ends_there(own.file, selector):
            return
        if selection.decl is not None and selection.decl.key in worker.enders:
            return
        used = used or use.start > start.end
    if used:
        yield _finding(own, worker, start)


def _start(own: OwnObject, worker: _Worker) -> Node | None:
    """Return the call that launches the goroutine: of a method, or what makes the object."""
    made = own.made
    decl = own.file.callee(made) if made.kind == "call_expression" else None
    if decl is not None and decl.key in worker.launchers:
        return made
    for use in uses_of(own.binding):
        call = call_of(use.parent) if use.parent is not None else None
        decl = own.file.callee(call) if call is not None else None
        if call is not None and decl is not None and decl.key in worker.launchers:
            return call if call.function is own.function else None
    return None


def _ends_there(file: GoFile, selector: Node) -> bool:
    """Return whether nothing of an object's use is left when the function is: no channel of it,
    and no result behind which the goroutine could be asked.
    """
    value = call_of(selector) or selector
    above = value.parent
    if above is None or above.kind in {"expression_statement", "range_clause", "send_statement"}:
        return above is None or above.kind != "send_statement" or value.field == "channel"
    if _is_receive(above) or above.kind == "defer_statement":
        return True
    if value is selector:
        return value.field == "left" or _is_plain(file, file.type_of(value))
    decl = file.callee(value)
    results = result_nodes(decl.node) if decl is not None else ()
    return decl is not None and all(_is_plain(decl.file, decl.file.type_from(r)) for r in results)


def _is_plain(file: GoFile, type_: Type | None) -> bool:
    """Return whether a value is a number, a text, a flag or an error."""
    under = file.underlying(type_)
    return isinstance(under, Named) and not under.package and not under.local


def _finding(own: OwnObject, worker: _Worker, start: Node) -> Finding:
    fix, reason = _fix(own, worker, start)
    name = own.binding.name
    ways = _ways(own, worker)
    by = f"{name}.{ways[0].name}" if len(ways) == 1 else f"a method of {name}"
    function = own.function["name"].name
    return Finding(
        path=own.file.path,
        start=start.start,
        end=start.end,
        message=f"the goroutine of {name} waits for ever: {function} does not call {by}",
        fixes=(fix,) if fix is not None else (),
        related=(Related(worker.wait.path, worker.wait.start, worker.wait.end, "waits here"),),
        reason=reason,
    )


def _ways(own: OwnObject, worker: _Worker) -> list[Decl]:
    """Return the methods that may be called to end the goroutine, without arguments."""
    package = worker.decl.file.package
    methods = [d for decls in package.methods(worker.decl.name).values() for d in decls]
    here = own.file.package is package
    able = (d for d in methods if d.key in worker.enders and (here or d.exported))
    return [d for d in able if not d.node["parameters"].children]


@with_reason
def _fix(own: OwnObject, worker: _Worker, start: Node) -> Fix:
    """End the goroutine with the function.

    Sound: nobody else has the object, and no path of the function has ended its goroutine.
    """
    ways = _ways(own, worker)
    if len(ways) != 1:
        raise BuilderError("which method ends the goroutine is not clear")
    if worker.loses:
        raise BuilderError("what waits in the buffer would be dropped")
    if innermost_loop(start) is not None:
        raise BuilderError("the object is made in a loop")
    text = f"defer {own.binding.name}.{ways[0].name}()"
    title = f"Defer {own.binding.name}.{ways[0].name}"
    edits = insert_after(_checked(start), text)
    return Fix(title, edits, Safety.UNSAFE, "the goroutine ends with the function")


def _checked(start: Node) -> Node:
    """Return the statement of a call, or the test of its error that follows it."""
    statement = start.statement
    if statement is None:
        raise BuilderError("the goroutine is launched within an expression")
    if statement.kind != "short_var_declaration" or len(statement["left"].children) == 1:
        return statement
    following = statement.next
    condition = following["condition"] if following and following.kind == "if_statement" else None
    error = statement["left"].children[-1].name
    if following is None or condition is None or condition.name != f"{error} != nil":
        raise BuilderError("whether there is an object is not tested at once")
    return following
