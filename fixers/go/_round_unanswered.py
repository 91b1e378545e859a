"""Rounds of a loop that leave the request which they received without its answer.

for r := range d.queue {                     func (r *Ride) Wait() error {
    if err := d.check(r); err != nil {           <-r.done
        log.Print(err)                           return r.err
        continue                             }
    }
    …                                        func (r *Ride) finish(err error) {
    r.finish(err)                                r.err = err
}                                                close(r.done)
                                             }
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from threadmend.golang.builders import BuilderError, insert_before, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import SharedChannel, shared_channel, shared_channel_of
from threadmend.golang.channels import operation_at
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, first_of, flow_of
from threadmend.golang.functions import method_call
from threadmend.golang.locks import declaration_of
from threadmend.golang.named_like import may_call
from threadmend.golang.scope import Binding, argument_of, bindings_in
from threadmend.golang.syntax import Declaration, Node
from threadmend.golang.types import Chan, Named, deref
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

from ._exit_signals import failed_at, is_visible
from ._slot_held import kept_on

__all__ = ["unanswered_rounds"]

_RECEIVES = re.compile(rb"\brange\b|<-")
_GIVES = re.compile(rb"\bclose\(|<-")
_DEPTH = 1


@dataclass(frozen=True, slots=True)
class _Request:
    """A variable that holds what was received, and the statement where its round begins."""

    binding: Binding
    begin: Node


def unanswered_rounds(file: GoFile) -> Iterator[Finding]:
    """Yield the ways out of a round on which nobody answers who waits for the answer."""
    if file.is_test or file.generated:
        return
    for function in file.functions(None, partial(_may_answer, file)):
        for request in _requests(file, function):
            finding = _unanswered(file, function, request)
            if finding is not None:
                yield finding


def _may_answer(file: GoFile, declaration: Declaration) -> bool:
    """Return whether a declaration may answer requests and leave a round, told by bytes."""
    data, start, end = file.data, declaration.start, declaration.end
    if data.find(b"continue", start, end) < 0:  # one for a single request: `*request`
        opens = declaration.body_start
        if opens < 0 or data.find(b"return", opens, end) < 0 or data.find(b"*", start, opens) < 0:
            return False
    if _GIVES.search(data, start, end):
        return True
    return may_call(file.package.workspace, _GIVES)(declaration)


def _requests(file: GoFile, function: Node) -> Iterator[_Request]:
    """Yield what a function receives round after round, or is given by such a round."""
    if _RECEIVES.search(function.text):
        for node in function.own():
            if node.kind == "range_clause":
                loop, left = node.parent, node.get("left")
                if loop is None or left is None or not _is_channel(file, node["right"]):
                    continue
                yield from _of(file, left.children[:1], loop["body"].statements)
            elif node.kind in {"short_var_declaration", "receive_statement"}:
                values, left = node.get("right"), node.get("left")
                if values is None or left is None or not values.text.startswith(b"<-"):
                    continue
                case = node.parent if node.field == "communication" else None
                after = case.statements if case is not None else [node.next]
                yield from _of(file, left.children[:1], after)
    if function.kind == "func_literal" or b"*" not in function["parameters"].text:
        return
    decl = declaration_of(file, function)
    if decl is None or decl.exported:
        return
    for binding in (b for group in bindings_in(function).values() for b in group):
        if binding.kind == "parameter" and _is_struct_here(file, binding):
            sites = callers(decl)
            if sites and all(_gives_received(s.file, s.call, function, binding) for s in sites):
                yield from _of(file, [binding.node], function["body"].statements)


def _of(file: GoFile, names: list[Node], statements: Sequence[Node | None]) -> Iterator[_Request]:
    binding = file.binding(names[0]) if names else None
    if binding is not None and statements and statements[0] is not None:
        if _is_struct_here(file, binding):
            yield _Request(binding, statements[0])


def _is_channel(file: GoFile, operand: Node) -> bool:
    return isinstance(file.underlying(file.type_of(operand)), Chan)


def _is_struct_here(file: GoFile, binding: Binding) -> bool:
    type_ = deref(file.type_of(binding.node))
    return isinstance(type_, Named) and not type_.local and type_.package == file.package.key


def _gives_received(file: GoFile, call: Node | None, function: Node, binding: Binding) -> bool:
    """Return whether a call passes on what its function received."""
    given = argument_of(call, function, binding) if call is not None else None
    source = file.binding(given) if given is not None else None
    if source is None:
        return False
    ranged = source.declaration.kind == "range_clause"
    return _is_received(source) and not (
        ranged and not _is_channel(file, source.declaration["right"])
    )


def _is_received(binding: Binding) -> bool:
    """Return whether a loop, or a receive, sets a variable."""
    value = binding.value
    return binding.declaration.kind == "range_clause" or (
        value is not None and value.text.startswith(b"<-")
    )


# -- the answers of a round ----------------------------------------------------------------


def _unanswered(file: GoFile, function: Node, request: _Request) -> Finding | None:
    answers: list[tuple[Node, str]] = []
    rest: list[Node] = []
    for use in request.binding.uses:
        if use is request.binding.node or use.start < request.begin.start:
            continue
        answer = _answer(file, use, _DEPTH)
        if answer is not None and use.function is function:
            answers.append(answer)
        else:
            rest.append(use)
    names = {name for _, name in answers}
    if len(names) != 1:
        return None
    name = names.pop()
    if not all(_is_harmless(file, use, name, function) for use in rest):
        return None
    flow = flow_of(function)
    begin = flow.point_of(first_of(request.begin))
    stops = {p: node for node, _ in answers if (p := flow.point_of(node)) is not None}
    if begin is None or not flow.complete or begin in stops or len(stops) != len(answers):
        return None
    switches = _answering_switches([node for node, _ in answers])
    known = {p for s in switches if (p := flow.point_of(first_of(s))) is not None}
    if begin in known:
        return None
    ends = {*stops, *known}
    kept = [n for n in kept_on(flow, begin, ends) if n.kind == _ways(request.binding)]
    if not kept or any(_is_of_another_kind(n, request.binding, function) for n in kept):
        return None
    channel = _channel(file, request.binding, name)
    waiter = _waiter(function, channel) if channel is not None else None
    return _finding(file, request, name, list(stops.items()), kept, waiter) if waiter else None


def _answering_switches(answers: list[Node]) -> Iterator[Node]:
    """Yield the switches that answer in each case: there is no kind of request but those."""
    for answer in answers:
        switch = answer.up(*_SWITCHES)
        cases = [c for c in switch.children if c.kind in _CASES] if switch is not None else []
        if switch is not None and len(cases) > 1:
            if all(any(c.contains(a) and a.parent is c for a in answers) for c in cases):
                yield switch


_SWITCHES = ("expression_switch_statement", "type_switch_statement")
_CASES = frozenset({"expression_case", "type_case", "default_case"})


# A goroutine that leaves its loop ends; a function for one request gives that up.
def _ways(binding: Binding) -> str:
    return "return_statement" if binding.kind == "parameter" else "continue_statement"


def _answer(file: GoFile, use: Node, depth: int) -> tuple[Node, str] | None:
    """Return the statement by which a use of a request answers it for certain, and the field."""
    statement = use.statement
    selector = use.parent
    if statement is None or selector is None or statement.kind not in _STATEMENTS:
        return None
    if selector.kind == "selector_expression" and use.field == "operand":
        operation = operation_at(file, selector)
        if operation is not None and operation.kind in {"close", "send"}:
            whole = operation.node.statement
            plain = operation.select is None and whole is statement
            return (statement, selector["field"].name) if plain else None
    call = method_call(use)
    if call is None and selector.kind == "argument_list":
        call = selector.parent
    if call is None or call.parent is not statement or not depth:
        return None
    decl = file.callee(call) if call.kind == "call_expression" else None
    if decl is None or not decl.sound or not decl.has_body or not _GIVES.search(decl.node.text):
        return None
    binding = _inside(call, decl.node, use)
    name = _always_answered(decl.file, decl.node, binding, depth) if binding is not None else None
    return (statement, name) if name is not None else None


_STATEMENTS = frozenset({"expression_statement", "send_statement"})


def _inside(call: Node, function: Node, use: Node) -> Binding | None:
    """Return what a function calls the object that it is given, or is a method of."""
    for group in bindings_in(function).values():
        for binding in group:
            if binding.kind == "receiver":
                if method_call(use) is call:
                    return binding
            elif binding.kind == "parameter" and argument_of(call, function, binding) is use:
                return binding
    return None


def _always_answered(file: GoFile, function: Node, binding: Binding, depth: int) -> str | None:
    """Return the field by which a function answers on all its paths, once."""
    answers = [a for use in binding.uses if (a := _answer(file, use, depth - 1)) is not None]
    flow = flow_of(function)
    points = {p for node, _ in answers if (p := flow.point_of(node)) is not None}
    if len({name for _, name in answers}) != 1 or not flow.complete or len(points) != len(answers):
        return None
    if any(map(flow.in_loop, points)) or flow.exits_from(flow.entry, stop=points.__contains__):
        return None
    return answers[0][1]


def _is_harmless(file: GoFile, use: Node, field: str, function: Node) -> bool:
    """Return whether nobody gets the duty to answer by a use of a request."""
    above = use.parent
    if above is None or use.function is not function:
        return False
    if above.kind == "binary_expression":
        return True
    call = method_call(use)
    if above.kind == "selector_expression" and use.field == "operand" and call is None:
        return above["field"].name != field
    if call is None and above.kind == "argument_list":
        call = above.parent
        if call is not None and _PRINTS.match(call["function"].text):
            return True
    if call is None or call.kind != "call_expression" or call.runs_later:
        return False
    decl = file.callee(call)
    if decl is None or not decl.sound or not decl.has_body:
        return False
    binding = _inside(call, decl.node, use)
    if binding is None:
        return False
    return all(
        u is binding.node or _only_reads(u, field) for u in binding.uses if u.function is not None
    )


_PRINTS = re.compile(rb"(?:log|fmt|slog)\.\w+$")


def _only_reads(use: Node, field: str) -> bool:
    above = use.parent
    if above is None or above.kind != "selector_expression" or use.field != "operand":
        return above is not None and above.kind == "binary_expression"
    return above["field"].name != field and method_call(use) is None


def _is_of_another_kind(exit_: Node, binding: Binding, function: Node) -> bool:
    """Return whether a request itself says that nobody waits: `if r.async { continue }`."""
    asks = re.compile(rb"\b" + re.escape(binding.name.encode()) + rb"\.")
    inner = exit_
    for outer in exit_.ancestors():
        if outer is function or outer.kind == "for_statement":
            return False
        if outer.kind == "if_statement" and inner.field == "consequence":
            condition = outer["condition"]
            measured = (
                condition.kind == "binary_expression" and condition["operator"].kind in "<=>="
            )
            if asks.search(condition.text) and not measured and b"(" not in condition.text:
                return True
        if outer.kind in {"expression_case", "type_case", "default_case"}:
            whole = outer.parent
            value = whole.get("value") if whole is not None else None
            if value is None or asks.search(value.text + b"."):
                return True
        inner = outer
    return False


def _channel(file: GoFile, binding: Binding, name: str) -> SharedChannel | None:
    """Return the channel in a request's field, if no stranger has it."""
    for use in binding.uses:
        above = use.parent
        if above is not None and above.kind == "selector_expression" and use.field == "operand":
            if above["field"].name == name:
                return _known(shared_channel(file, above))
    type_ = deref(file.type_of(binding.node))
    assert isinstance(type_, Named)
    owner = file.package.lookup(type_.name)
    return _known(shared_channel_of(owner, name)) if owner is not None else None


def _known(channel: SharedChannel | None) -> SharedChannel | None:
    if channel is None or not channel.is_field or channel.exported or channel.stores:
        return None
    returned = (n.parent.parent for n in channel.escapes if n.parent is not None)
    if not all(p is not None and p.kind == "return_statement" for p in returned):
        return None
    return channel if channel.makes and not channel.nils else None


def _waiter(function: Node, channel: SharedChannel) -> Node | None:
    """Return a receive that waits for the answer and for nothing else; None if some do not."""
    receives = [o for o in channel.of("receive", "range") if not o.file.is_test]
    if any(o.has_alternative or o.node.function is function for o in receives):
        return None
    return receives[0].node if receives else None


# -- the finding ---------------------------------------------------------------------------


def _finding(
    file: GoFile,
    request: _Request,
    name: str,
    answers: list[tuple[Point, Node]],
    exits: list[Node],
    waiter: Node,
) -> Finding:
    fix, reason = _fix(file, [node for _, node in answers], exits)
    where = "the round ends" if exits[0].kind == "continue_statement" else "the function returns"
    owner = request.binding.name
    return Finding(
        path=file.path,
        start=exits[0].start,
        end=exits[0].end,
        message=f"{where} here without an answer on {owner}.{name}, which others wait for",
        fixes=(fix,) if fix is not None else (),
        related=(Related(waiter.path, waiter.start, waiter.end, "waits here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def _fix(file: GoFile, answers: list[Node], exits: list[Node]) -> Fix:
    """Answer before each way out that lacks it.

    Sound: nobody else has the request then, and it was not answered on that path.
    """
    edits: list[Edit] = []
    for exit_ in exits:
        codes = {_code_at(file, answer, exit_) for answer in answers}
        known = sorted(code for code in codes if code is not None)
        if len(known) != 1:
            raise BuilderError("what to answer there cannot be told")
        edits += insert_before(exit_, known[0])
    title = f"Answer before the {exits[0].kind.partition('_')[0]}"
    return Fix(title, tuple(edits), Safety.UNSAFE, "the waiter goes on where it hung before")


def _code_at(file: GoFile, answer: Node, exit_: Node) -> str | None:
    """Return an answer as it reads at an exit: with the error that the exit is taken for."""
    if answer.kind == "send_statement":
        value = _value_at(file, answer["value"], exit_)
        return f"{answer['channel'].name} <- {value}" if value is not None else None
    call = answer.children[0]
    function, arguments = call["function"], call["arguments"].children
    if function.text == b"close":
        return answer.name
    given = [_value_at(file, argument, exit_) for argument in arguments]
    values = [value for value in given if value is not None]
    if len(values) != len(given):
        return None
    return f"{function.name}({', '.join(values)})"


_CONSTANT = re.compile(rb"(?:struct\{\}\{\}|true|false|\d+)$")


def _value_at(file: GoFile, value: Node, exit_: Node) -> str | None:
    if str(file.type_of(value)) == "error":
        return failed_at(exit_)
    if _CONSTANT.match(value.text):
        return value.name
    names = list(value.find("identifier"))
    if value.kind in {"identifier", "selector_expression"} and names:
        binding = file.binding(names[0])
        if binding is not None and is_visible(file, names[0], exit_):
            lasting = binding.kind in {"parameter", "receiver"} or _is_received(binding)
            return value.name if lasting else None
    return None
