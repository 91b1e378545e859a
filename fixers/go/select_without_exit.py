"""Let an endless select loop of a goroutine listen to the context or stop channel in scope

The goroutine selects for ever; nothing that happens outside can end it. The context that it
was given, or the stop channel that the rest of the package closes, is in scope, and the loop
does not listen: every call that starts this goroutine leaves one behind. The same goes for the
handler of a request, and for a function that is given a context, whose goroutine is its caller's;
a function of their own that loops for them is given the context, too.

Not reported: a loop that one of its cases leaves, a select with a default, a goroutine that
has nothing to listen to; a function of its own that is launched only sometimes, or beside a
method that ends the object, or by a constructor: the context may mean the time for the start
alone.

Unsafe: the goroutine now ends when the context does.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from threadmend.golang.builders import BuilderError, add_case, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.functions import leave_with, result_nodes
from threadmend.golang.locks import declaration_of
from threadmend.golang.runners import runners_of
from threadmend.golang.stops import Stop, endless, is_failure, listens, stops_at, ways_out
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Finding, Fix, Safety

from ._bodies import bodies
from ._given_context import Given, given_context
from ._stop_cases import deserted

CATEGORY = "select"
GATE = rb"\bselect\b"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the endless select loops that ignore what could end them."""
    launched = dict.fromkeys(bodies(file))
    for body in (*launched, *_with_context(file, launched)):
        for select in _endless_selects(file, body):
            stops = [s for s in stops_at(file, select) if not _is_answered_on(body, s)]
            if body not in launched:
                stops = [s for s in stops if _is_for_one(body, s)]
            if stops:
                yield _finding(file, body, select, stops[0])
    for body in file.functions(_SELECTS):
        if body.kind != "func_literal":
            for select in _endless_selects(file, body):
                given = None if stops_at(file, select) else given_context(file, select)
                if given is not None and _is_theirs(given, body in launched):
                    yield _finding(file, body, select, given.stop, given)


def _is_theirs(given: Given, launched: bool) -> bool:
    """Return whether a call passes the context that its function was given itself.

    For a goroutine: in any case, and that of nothing that ends otherwise. `Start(ctx)` beside a
    `Stop` may mean the time for the start alone.
    """
    if not launched:
        return any(_is_for_one(call.function, stop) for _, call, stop in given.calls)
    return all(
        _is_for_one(call.function, stop)
        and _is_in_any_case(call)
        and not _ends_otherwise(file, call)
        for file, call, stop in _outermost(given)
    )


def _outermost(given: Given) -> Iterator[tuple[GoFile, Node, Stop]]:
    """Yield the calls that have a context to pass, by the functions too that gain one for it."""
    above = {outer.decl.node: outer for outer in given.above}
    for file, call, stop in given.calls:
        outer = above.get(call.function) if call.function is not None else None
        if outer is None:
            yield file, call, stop
        else:
            yield from _outermost(outer)


def _is_in_any_case(call: Node) -> bool:
    """Return whether a function comes to a launch whenever it does not return before."""
    statement = call.statement
    around = statement.parent if statement is not None else None
    while around is not None and around.kind in {"block", "for_statement"}:
        around = around.parent
    return around is not None and around is call.function


_ENDS = re.compile(r"(?i)(?:on)?(?:stop|close|shut_?down|halt|quit|terminate|kill|cancel)")
# What these are given a context for is over when they return: it may have a time limit.
_STARTS = re.compile(r"(?i)on_?start|(?:new|make|create|build|dial|connect|open|init|set_?up)")
_LIMITED = re.compile(rb"\bcontext\.With(?:Timeout|Deadline)")


def _ends_otherwise(file: GoFile, call: Node) -> bool:
    """Return whether who launches is the start of something that a method of its own ends, or
    has its context for the start alone.
    """
    function = call.function
    name = function.get("name") if function is not None else None
    if function is None or name is None or _STARTS.match(name.name) or _is_limited(file, function):
        return True
    inference = file.package.workspace.inference
    receiver = function.get("receiver")
    made = [receiver.children[0].get("type")] if receiver is not None else result_nodes(function)
    for node in made:
        type_ = deref(inference.type_from(node)) if node is not None else None
        if isinstance(type_, Named) and any(
            _ENDS.match(method) for method in file.package.all_methods().get(type_.name, ())
        ):
            return True
    return False


def _is_limited(file: GoFile, function: Node) -> bool:
    """Return whether somebody calls a function with a context that has a time limit."""
    decl = declaration_of(file, function)
    for site in callers(decl) if decl is not None else ():
        for argument in site.call["arguments"].children if site.call is not None else ():
            binding = site.file.binding(argument) if argument.kind == "identifier" else None
            if binding is not None and _LIMITED.search(binding.declaration.text):
                return True
    return False


def _is_answered_on(body: Node, stop: Stop) -> bool:
    """Return whether a channel is one on which the body itself sends: that of a reply."""
    name = stop.receive.encode()
    return any(n["channel"].text == name for n in body.own() if n.kind == "send_statement")


_SELECTS = re.compile(rb"\bselect\b")


def _endless_selects(file: GoFile, body: Node) -> Iterator[Node]:
    for loop in body.own():
        if loop.kind != "for_statement" or not endless(loop):
            continue
        if any(not _is_panic(file, way_out, loop) for way_out in ways_out(loop)):
            continue
        selects = [n for n in loop["body"].statements if n.kind == "select_statement"]
        if len(selects) == 1 and not _has_default(selects[0]) and not listens(file, loop):
            yield selects[0]


def _is_panic(file: GoFile, way_out: Node, loop: Node) -> bool:
    """Return whether a loop is left only by what ends the program: a case that cannot be."""
    return way_out.kind == "call_expression" and is_failure(file, way_out, loop)


def _with_context(file: GoFile, launched: Container[Node]) -> Iterator[Node]:
    """Yield the other functions that are given a context or a request themselves.

    Handlers, what others may run in a goroutine, and what the package does.
    """
    for body in file.functions(_SELECTS):
        taken = _contexts(body)
        name = body.get("name")
        if body in launched or not taken or next(_endless_selects(file, body), None) is None:
            continue
        handles = any(p.text.endswith(b"Request") for p in taken)
        lasts = name is not None and name.name[:1].isupper()
        if handles or lasts or runners_of(file, body).launches:
            yield body


_TAKEN = re.compile(rb"\bcontext\.Context$|\*http\.Request$")


def _contexts(function: Node) -> list[Node]:
    """Return the parameters by which a function is given a context or a request."""
    return [p for p in function["parameters"].children if _TAKEN.search(p.text)]


def _is_for_one(function: Node | None, stop: Stop) -> bool:
    """Return whether the context is the function's own: a parameter, a request's."""
    name = stop.context.partition(".")[0]
    taken = _contexts(function) if function is not None else []
    return any(n.name == name for p in taken for n in p.all("name"))


def _has_default(select: Node) -> bool:
    return any(c.kind == "default_case" for c in select.children)


def _finding(
    file: GoFile, body: Node, select: Node, stop: Stop, given: Given | None = None
) -> Finding:
    fix, reason = _fix(file, body, select, stop, given)
    heard = given.calls[0][2] if given is not None else stop
    return Finding(
        path=file.path,
        start=select.start,
        end=select.start + len("select"),
        message=f"the goroutine selects for ever and does not listen to {heard.receive}",
        fixes=(fix,) if fix else (),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, body: Node, select: Node, stop: Stop, given: Given | None) -> Fix:
    leave = leave_with(body, f"{stop.context}.Err()" if stop.context else "")
    if leave is None:
        raise BuilderError("what the function should return then cannot be told")
    edits = add_case(select, f"<-{stop.receive}", leave)
    edits += given.edits() if given is not None else ()
    edits += deserted(file, select, stop)
    title = f"Leave the loop when {stop.receive} is ready"
    return Fix(title, edits, Safety.UNSAFE, "the goroutine now ends with it")
