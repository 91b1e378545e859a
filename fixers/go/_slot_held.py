"""Functions that take a slot of a semaphore and keep it where they fail.

if err := s.slots.acquire(ctx); err != nil {      s.sem <- struct{}{}
    return err                                    if err := open(); err != nil {
}                                                     return err    // keeps the slot
if err := open(); err != nil {                    }
    return err    // keeps the slot               …
}                                                 <-s.sem
…
s.slots.release()
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from threadmend.golang.builders import delete, insert_before, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.failing import fails
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Flow, Point, flow_of
from threadmend.golang.functions import outer_function, result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of
from threadmend.golang.one_liners import naming
from threadmend.golang.package import Decl, Package
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Struct, is_named
from threadmend.model import Confidence, Edit, Finding, Fix, Related, Safety

__all__ = [
    "given_by",
    "given_slot",
    "has_failed",
    "held_slots",
    "kept_on",
    "release_fix",
    "releasing",
    "slot_finding",
    "taken_slot",
]

_RELEASES = re.compile(
    rb"(?m)^\s*<-[\w.]+\s*$|\.(?:[rR]elease|[pP]ut|[gG]ive|[lL]eave|[dD]one|[uU]nlock)\w*\("
)


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a statement takes or gives back: the text of the channel or of the semaphore."""

    name: str
    at: Node


def held_slots(file: GoFile) -> Iterator[Finding]:
    """Yield the error exits of functions that keep a slot which their other paths give back."""
    if file.generated:
        return
    for function in file.functions(releasing(file.package)):
        statements = [n for n in function.own() if n.kind == "expression_statement"]
        given = [s for n in statements if (s := given_slot(file, n)) is not None]
        for name in sorted({s.name for s in given}):
            finding = _kept(file, function, name, [s.at for s in given if s.name == name])
            if finding is not None:
                yield finding


def _kept(file: GoFile, function: Node, name: str, given: list[Node]) -> Finding | None:
    starts = [p for n in function.own() for p in taken_slot(file, n, name)]
    if len(starts) != 1 or starts[0][1] is None:
        return None
    taken, start = starts[0][0], starts[0][1]
    mentions = re.compile(rb"(?:<-\s*|\b)" + re.escape(name.encode()) + rb"(?![\w.]*\w\()")
    literals = [n for n in function.own() if n.kind in {"func_literal", "defer_statement"}]
    if any(mentions.search(n.text) or name.encode() in n.text for n in literals):
        return None  # another function gives it back
    flow = flow_of(function)
    begin = flow.point_of(start)
    stops = {p: n for n in given if (p := flow.point_of(n)) is not None}
    if begin is None or not flow.complete or begin in stops or len(stops) != len(given):
        return None
    kept = kept_on(flow, begin, stops)
    if not kept or not all(has_failed(n) or fails(file, n) for n in kept):
        if not kept or not _keeps_by_mistake(file, function):
            return None  # the slot may be what the function returns
    return slot_finding(function, flow, name, taken, start, stops, kept)


def _keeps_by_mistake(file: GoFile, function: Node) -> bool:
    """Return whether nobody can give back a slot in the place of a function that returns nothing.

    It launches nothing, and none of its callers, which are all in sight, gives one back.
    """
    if result_nodes(function) or any(function.find("go_statement", "func_literal")):
        return False
    decl = declaration_of(file, function)
    sites = callers(decl) if decl is not None and not decl.exported else []
    pattern = releasing(file.package)
    return bool(sites) and all(
        site.call is not None
        and (outer := outer_function(site.node)) is not None
        and not any(
            given_slot(site.file, n)
            for n in outer.find("expression_statement")
            if pattern.search(n.text)
        )
        and not pattern.search(b"".join(n.text for n in outer.find("defer_statement")))
        for site in sites
    )


def kept_on(flow: Flow, begin: Point, stops: Collection[Point]) -> list[Node]:
    """Return the returns, and the `continue`s of a loop, on which what is taken at `begin` is kept.

    None of them where a round comes to its end with it.
    """
    exits = flow.exits_from(begin, stop=stops.__contains__)
    kept = [e.node for e in exits if e.kind in {"return", "end"}]
    loop = innermost_loop(begin.node)
    if loop is not None:
        holding = flow.reachable(begin, stop=stops.__contains__)
        rounds = {
            point: node
            for node in loop.find("continue_statement")
            if innermost_loop(node) is loop
            and node.function is flow.function
            and node.text == b"continue"
            and (point := flow.point_of(node)) in holding
        }
        ends = {*stops, *rounds}
        if begin in flow.reachable(begin, stop=ends.__contains__):
            return []
        exits = flow.exits_from(begin, stop=ends.__contains__)
        kept = [e.node for e in exits if e.kind in {"return", "end"}] + list(rounds.values())
    return kept if all(n.kind != "block" for n in kept) else []


def has_failed(exit_: Node) -> bool:
    """Return whether code is left because something failed: `if err != nil`, `if !ok`."""
    if exit_.kind not in {"return_statement", "continue_statement"}:
        return False
    block = exit_.parent
    test = block.parent if block is not None else None
    if test is None or test.kind != "if_statement" or block is None:
        return False
    if block.field != "consequence":
        return False
    return bool(_FAILED.search(test["condition"].text))


_FAILED = re.compile(
    rb"\b\w*[eE]rr\w* != nil|^!\w+$|\b\w+ == nil$|\.Err\(\) != nil|^errors\.(?:Is|As)\("
)


def releasing(package: Package) -> re.Pattern[bytes]:
    """Return the pattern of what may give a slot back, also by a method of any name."""
    known: re.Pattern[bytes] | None = package.facts.get("slot releases")
    if known is None:
        names = {d.name for d in package.functions() if d.kind == "method" and _only_receives(d)}
        more = b"|" + naming(names) if names else b""
        known = package.facts["slot releases"] = re.compile(_RELEASES.pattern + more)
    return known


_RECEIVES = re.compile(rb"^\s*<-[\w.]+\s*$", re.MULTILINE)
_LONGEST = 200


def _only_receives(decl: Decl) -> bool:
    """Return whether a short function waits for a channel whose values it does not want."""
    start, end = decl.span
    text = decl.file.data[start:end]
    return (
        len(text) <= _LONGEST
        and _RECEIVES.search(text.replace(b"{", b"\n").replace(b"}", b"\n")) is not None
    )


# -- what takes and gives -----------------------------------------------------------------


def given_slot(file: GoFile, node: Node) -> _Slot | None:
    """Return the slot that a statement gives back: `<-sem`, `s.release()`."""
    child = node.children[0]
    if child.kind == "unary_expression" and child["operator"].kind == "<-":
        operand = child["operand"]
        return _Slot(operand.name, node) if _is_signal(file, operand) else None
    return given_by(file, child, node) if child.kind == "call_expression" else None


def given_by(file: GoFile, call: Node, node: Node) -> _Slot | None:
    """Return the slot that a call, of the statement `node`, gives back."""
    owner = _owner(call)
    if owner is None:
        return None
    if is_named(file.type_of(owner), _WEIGHTED):
        return _Slot(owner.name, node) if call["function"]["field"].name == "Release" else None
    if _TAKES.match(call["function"]["field"].name):
        return None  # a channel that holds the free slots
    path = _moved(file, call, "unary_expression")
    return _Slot(f"{owner.name} {path}", node) if path is not None else None


_TAKES = re.compile(r"(?i)(?:try)?_?(?:lock|acquire|take|enter|reserve|wait|claim|borrow)")
_GIVES = re.compile(r"(?i)unlock|release|put|give|leave|return|free|done")
_WEIGHTED = "golang.org/x/sync/semaphore.Weighted"


def taken_slot(file: GoFile, node: Node, name: str) -> Iterator[tuple[Node, Node | None]]:
    """Yield a node that takes the slot, and the statement from which on it is held."""
    if node.kind == "send_statement" and node["channel"].name == name:
        if node.field == "communication":
            case = node.parent
            first = case.statements[0] if case is not None and case.statements else None
            select = case.parent if case is not None else None
            yield node, first or (select.next if select is not None else None)
        else:
            yield node, node.next
    elif node.kind == "call_expression" and _owner(node) is not None:
        owner = _owner(node)
        assert owner is not None
        if is_named(file.type_of(owner), _WEIGHTED):
            if owner.name == name and node["function"]["field"].name == "Acquire":
                yield node, _after(node)
            return
        if _GIVES.match(node["function"]["field"].name):
            return
        path = _moved(file, node, "send_statement")
        if path is not None and f"{owner.name} {path}" == name:
            yield node, _after(node)


def _after(call: Node) -> Node | None:
    """Return the statement behind a call, and behind the test of its error."""
    statement = call.statement
    if statement is None:
        return None
    if statement.parent is not None and statement.parent.kind == "if_statement":
        return statement.parent.next  # if err := acquire(); err != nil { return }
    if statement.kind == "expression_statement":
        return statement.next
    if statement.kind == "if_statement":
        return statement.next
    test = statement.next
    return test.next if test is not None and test.kind == "if_statement" else None


def _owner(call: Node) -> Node | None:
    function = call["function"]
    return function["operand"] if function.kind == "selector_expression" else None


def _moved(file: GoFile, call: Node, kind: str) -> str | None:
    """Return on which channel of its object a method sends, or receives, as all that it does.

    `""` for the object itself, `.sem` for a field.
    """
    decl = file.callee(call)
    receiver = decl.node.get("receiver") if decl is not None and decl.has_body else None
    names = [n.name for d in receiver.children for n in d.all("name")] if receiver else []
    if decl is None or not names:
        return None
    found = set()
    for node in decl.node.own():
        operand = None
        if node.kind == "send_statement":
            operand = node["channel"]
        elif node.kind == "unary_expression" and node["operator"].kind == "<-":
            operand = node["operand"]
        if operand is None or not _is_signal(decl.file, operand):
            continue
        if operand.kind == "call_expression":
            continue  # ctx.Done()
        if node.kind != kind or operand.name.partition(".")[0] != names[0]:
            return None
        found.add(operand.name[len(names[0]) :])
    return found.pop() if len(found) == 1 else None


def _is_signal(file: GoFile, operand: Node) -> bool:
    """Return whether an expression is a channel of empty structs, as semaphores are."""
    under = file.underlying(file.type_of(operand))
    if not isinstance(under, Chan) or under.direction != "both":
        return False
    elem = file.underlying(under.elem)
    return isinstance(elem, Struct) and next(elem.node.find("field_declaration"), None) is None


# -- the finding --------------------------------------------------------------------------


def slot_finding(
    function: Node,
    flow: Flow,
    name: str,
    taken: Node,
    start: Node,
    stops: dict[Point, Node],
    exits: list[Node],
) -> Finding:
    """Return the finding about a slot that some exits do not give back."""
    fix, reason = release_fix(function, flow, start, stops, exits)
    exit_ = exits[0]
    leaves = "the loop goes on" if exit_.kind == "continue_statement" else "the function returns"
    return Finding(
        path=function.path,
        start=exit_.start,
        end=exit_.end,
        message=f"{leaves} here with the slot of {name.split(' ')[0]} that it took",
        fixes=(fix,) if fix else (),
        related=(Related(taken.path, taken.start, taken.end, "taken here"),),
        reason=reason,
        confidence=Confidence.MEDIUM,
    )


@with_reason
def release_fix(
    function: Node, flow: Flow, start: Node, stops: dict[Point, Node], exits: list[Node]
) -> Fix:
    """Give a slot back in a defer, where nothing follows the releases; else before the exits."""
    code = next(iter(stops.values())).name
    edits: list[Edit] = []
    if all(_is_last(flow, p) for p in stops) and start.parent is function["body"]:
        deferred = code if code.endswith(")") else f"func() {{ {code} }}()"
        edits += insert_before(start, f"defer {deferred}")
        for statement in stops.values():
            edits += delete(statement)
        title = f"Defer {code}"
    else:
        for left in exits:
            edits += insert_before(left, code)
        title = f"Give the slot back before the {exits[0].kind.partition('_')[0]}: {code}"
    return Fix(title, tuple(edits), Safety.UNSAFE, "others get the slot that was lost")


def _is_last(flow: Flow, point: Point) -> bool:
    """Return whether nothing but a plain return follows."""
    after = point.successors
    return len(after) == 1 and (
        after[0] is flow.end
        or (after[0].node.kind == "return_statement" and b"(" not in after[0].node.text)
    )
