"""Methods that close a channel of their object, without a guard against a second call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.access import Access, access_of
from threadmend.golang.builders import (
    BuilderError,
    add_field,
    add_import,
    free_name,
    import_name,
    realign,
    wrap,
)
from threadmend.golang.calls import Site, importers, own_callers
from threadmend.golang.channel_fields import SharedChannel, literals_of, shared_channel
from threadmend.golang.file import GoFile
from threadmend.golang.flow import flow_of
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import BLOCKS, FUNCTIONS, Node
from threadmend.model import Confidence, Edit, Finding, Fix, Related

__all__ = ["closed_by_methods"]

_ENDS = re.compile(
    r"(?i)^(?:close|stop|shutdown|quit|cancel|halt|kill|finish|end|terminate|destroy|dispose"
    r"|teardown|release|disconnect|abort|exit|done|interrupt|signal|complete)"
)


@dataclass(slots=True)
class _Close:
    """A close of a field or package variable, in a function that may be called again."""

    file: GoFile
    call: Node
    operand: Node
    channel: SharedChannel
    decl: Decl
    access: Access
    select: Node | None = None

    @property
    def statement(self) -> Node:
        parent = self.call.parent
        return parent if parent is not None else self.call


def closed_by_methods(file: GoFile) -> Iterator[Finding]:
    """Yield the closes in functions such as Close and Stop that nothing guards."""
    seen: set[tuple[tuple[str, int], str]] = set()
    for call in file.calls("close"):
        close = _close(file, call)
        if close is None or file.is_test or file.generated:
            continue
        key = (close.decl.key, str(close.access))
        if key not in seen:
            seen.add(key)
            yield from _finding(close)


def _close(file: GoFile, call: Node, ends: re.Pattern[str] = _ENDS) -> _Close | None:
    function = call["function"]
    arguments = call["arguments"].children
    if function.kind != "identifier" or file.resolve(function) is not None or len(arguments) != 1:
        return None
    operand = arguments[0]
    outer = call.function
    if outer is None or outer.kind == "func_literal" or not ends.match(outer["name"].name):
        return None
    parent = call.parent
    if parent is None or parent.kind not in {"expression_statement", "defer_statement"}:
        return None
    access = access_of(file, operand)
    decl = declaration_of(file, outer)
    channel = shared_channel(file, operand)
    if access is None or decl is None or channel is None:
        return None
    if isinstance(access.root, Binding):
        if access.root.kind != "receiver" or len(access.steps) != 1 or not channel.is_field:
            return None
    close = _Close(file, call, operand, channel, decl, access)
    if channel.nils or _made_again(channel) or _guarded(close):
        return None
    return close


def _made_again(channel: SharedChannel) -> bool:
    """Return whether a method makes the channel anew: after that a second close is right."""
    for made in channel.makes:
        function = made.call.function
        while function is not None and function.kind == "func_literal":
            function = function.function
        if function is None:
            continue
        statement = made.call.statement
        assigned = statement is not None and statement.kind == "assignment_statement"
        if assigned and (function.kind == "method_declaration" or not channel.is_field):
            return True
    return bool(channel.stores)


def _guarded(close: _Close) -> bool:
    """Return whether something decides that the close runs: a Once, a flag, a state."""
    outer = close.call.function
    node, above = close.statement, close.statement.parent
    while above is not None and node is not outer:
        if above.kind == "communication_case" or above.kind == "default_case":
            select = above.parent
            if select is None or select.kind != "select_statement":
                return True
            if above.kind != "default_case" or not _looks_at(select, close):
                return True
            if held_at(close.file, select):
                return True
            close.select = select
        elif above.kind == "select_statement":
            pass
        elif above.kind == "if_statement":
            if not _is_nil_test(above.get("condition"), close.operand):
                return True
        elif above.kind not in {"block", *FUNCTIONS}:
            return True
        if above.kind in BLOCKS:
            for statement in above.statements:
                if statement.start < node.start and _may_leave(statement, close):
                    return True
        node, above = above, above.parent
    return False


def _looks_at(select: Node, close: _Close) -> bool:
    """Return whether `select { case <-ch: default: close(ch) }` asks the channel itself."""
    cases = [c for c in select.children if c.kind == "communication_case"]
    if len(cases) != 1:
        return False
    communication = cases[0].get("communication")
    return communication is not None and communication.text == b"<-" + close.operand.text


def _is_nil_test(condition: Node | None, operand: Node) -> bool:
    return condition is not None and condition.text == operand.text + b" != nil"


def _may_leave(statement: Node, close: _Close) -> bool:
    """Return whether a statement before the close may return because of the object's state."""
    if statement.kind not in {"if_statement", "expression_switch_statement", "select_statement"}:
        return False
    if not any(True for _ in statement.find("return_statement", "goto_statement")):
        return False
    if statement.kind == "if_statement":
        condition = statement["condition"]
        if statement.get("initializer") is None and condition.text.endswith(b" == nil"):
            return condition["left"].kind != "identifier"
        root = close.access.root
        name = root.name.encode() if isinstance(root, Binding) else b""
        text = statement.tree.data[statement.start : condition.end]
        if name and not re.search(rb"\b" + re.escape(name) + rb"\b", text):
            local = all(close.file.binding(n) is not None for n in condition.find("identifier"))
            return not local or b"err" not in condition.text
    return True


_ANY = re.compile("")
_NO_LAST = re.compile(rb"(?!)")


def _others(close: _Close) -> list[_Close]:
    """Return the unguarded closes of the same channel in other functions."""
    found = []
    for operation in close.channel.of("close"):
        if operation.file.is_test or operation.calls or operation.node.function is None:
            continue
        if operation.node.function is not close.call.function:
            other = _close(operation.file, operation.node, _ANY)
            if other is not None and other.select is None:
                found.append(other)
    return found


def _finding(close: _Close) -> Iterator[Finding]:
    visible = list(own_callers(close.decl, _NO_LAST))
    others = _others(close)
    place = (close.file.path, close.call.start)
    if any(_ENDS.match(o.decl.name) and (o.file.path, o.call.start) < place for o in others):
        return  # reported there
    if any(site.launched for site in visible):
        return
    once = _only_in_once(visible)
    if once:
        return
    twice = _called_twice(close, visible)
    public = close.decl.exported and (not close.decl.receiver or close.decl.receiver[:1].isupper())
    hidden = close.decl.exported and bool(importers(close.file.package))
    sure = twice is not None or public or not (visible or hidden)
    fix, reason = _fix(close, others)
    name = close.operand.name
    owner = f"{close.decl.receiver}." if close.decl.receiver else ""
    yield Finding(
        path=close.file.path,
        start=close.call.start,
        end=close.call.end,
        message=f"a second call of {owner}{close.decl.name} closes {name} again and panics",
        fixes=(fix,) if fix else (),
        related=tuple(
            Related(s.node.path, s.node.start, s.node.end, "called here") for s in twice or ()
        ),
        reason=reason,
        confidence=Confidence.MEDIUM if sure else Confidence.LOW,
    )


def _called_twice(close: _Close, sites: list[Site]) -> tuple[Site, Site] | None:
    """Return two calls on one object, of which one may run after the other."""
    placed = []
    for site in sites:
        call, function = site.call, site.node.function
        if call is None or function is None or call["function"].kind != "selector_expression":
            continue
        selection = site.file.selection(call["function"])
        base = access_of(site.file, call["function"]["operand"])
        if selection is None or selection.decl is None or base is None:
            continue
        point = flow_of(function).point_of(call)
        if point is not None:
            placed.append((site, function, base, point))
    for site, function, base, point in placed:
        flow = flow_of(function)
        root = base.root
        made = flow.point_of(root.node) if isinstance(root, Binding) else None
        for other, second, owner, other_point in placed:
            if other is site or second is not function or owner != base:
                continue
            if other_point in flow.reachable(point, stop={made}.__contains__):
                return site, other
    return None


def _only_in_once(sites: list[Site]) -> bool:
    """Return whether every call stands in a literal that a Once runs, or is its argument."""
    if not sites:
        return False
    for site in sites:
        node = site.node
        text = b""
        for above in node.ancestors():
            if above.kind == "call_expression" and above is not site.call:
                text = above["function"].text
                if text.endswith((b".Do", b".OnceFunc", b"OnceFunc")):
                    break
        if not text.endswith((b".Do", b"OnceFunc")):
            return False
    return True


def _fix(close: _Close, others: list[_Close]) -> tuple[Fix | None, str]:
    """Run the close through a `sync.Once` beside the channel.

    Sound: the first call does what it did; a later one, which panicked, does the rest of the
    function. The Once lives where the channel lives, and is not copied with it.
    """
    try:
        if close.channel.is_field:
            edits = _with_field(close, others)
        else:
            edits = _with_variable(close, others)
    except BuilderError as error:
        return None, str(error)
    return Fix(f"Close {close.operand.name} only once", tuple(edits)), ""


def _once_name(close: _Close) -> str:
    """Return the name for the Once: after the function, or the channel where there are more."""
    if close.channel.decl.node.text.count(b"chan") > 1:
        own = close.operand.name.rpartition(".")[2]
        return f"{own[:1].lower()}{own[1:]}Once"
    found = re.match(r"[A-Z]?[a-z]*", close.decl.name)
    verb = (found[0] if found and found[0] else "close").lower()
    return f"{verb}Once"


def _with_field(close: _Close, others: list[_Close]) -> list[Edit]:
    receiver = close.access.root
    if not isinstance(receiver, Binding):
        raise BuilderError("the channel's owner is not the receiver")
    if receiver.declaration["type"].kind != "pointer_type":
        raise BuilderError("the receiver is a copy, and so would its Once be")
    decl = close.channel.decl
    struct = decl.node.get("type")
    if struct is None or struct.kind != "struct_type":
        raise BuilderError("the struct is not declared with the type")
    for _, literal in literals_of(decl):
        elements = literal["body"].children
        if elements and any(e.kind != "keyed_element" for e in elements):
            raise BuilderError("values of the type are written without field names")
    declared = [
        f for f in struct.find("field_declaration") if f.parent and f.parent.parent is struct
    ]
    names = {n.name for f in declared for n in f.all("name")}
    names |= set(decl.file.package.methods(decl.name))
    name = free_name(_once_name(close), names)
    after = next(
        (f for f in declared if any(n.name == close.channel.name for n in f.all("name"))), None
    )
    package = import_name(decl.file.tree, "sync") or "sync"
    edits = [*add_field(struct, name, f"{package}.Once", after=after)]
    edits += add_import(decl.file.tree, "sync")
    base = close.operand["operand"].name
    edits += _guard(close, f"{base}.{name}")
    for other in others:
        edits += _guard(other, f"{other.operand['operand'].name}.{name}")
    return _aligned([close.file, decl.file, *(o.file for o in others)], edits)


def _with_variable(close: _Close, others: list[_Close]) -> list[Edit]:
    decl = close.channel.decl
    if decl.file.package is not close.file.package:
        raise BuilderError("the channel belongs to another package")
    names = {
        *close.file.package.names,
        *(i.name for f in close.file.package.files for i in f.imports),
    }
    name = free_name(_once_name(close), names)
    outer = close.call.function
    if outer is not None and any(name in bindings_in(n) for n in outer.find("block")):
        raise BuilderError(f"{name} is taken")
    package = import_name(decl.file.tree, "sync") or "sync"
    source = decl.file.source
    end = source.line_end(decl.span[1])
    text = source.newline + f"var {name} {package}.Once".encode() + source.newline
    edits = [Edit(decl.file.path, end, end, text)]
    edits += add_import(decl.file.tree, "sync")
    edits += _guard(close, name)
    for other in others:
        edits += _guard(other, name)
    return _aligned([close.file, decl.file, *(o.file for o in others)], edits)


def _guard(close: _Close, once: str) -> list[Edit]:
    """Wrap the close, with the closes of the same method right below it."""
    if close.select is not None:
        return _instead_of_select(close, once)
    run = [close.statement]
    if close.statement.kind == "expression_statement":
        after = close.statement.next
        while after is not None and _closes_another(close, after):
            run.append(after)
            after = after.next
    if len(run) > 1:
        return list(wrap(run, f"{once}.Do(func() {{", "})"))
    text = f"{once}.Do(func() {{ {close.call.name} }})"
    return [Edit(close.file.path, close.call.start, close.call.end, text.encode())]


def _closes_another(close: _Close, statement: Node) -> bool:
    if statement.kind != "expression_statement":
        return False
    call = statement.children[0]
    other = _close(close.file, call) if call.kind == "call_expression" else None
    return other is not None and other.select is None


def _instead_of_select(close: _Close, once: str) -> list[Edit]:
    """Ask the Once, not the channel: two callers may both find it open."""
    select = close.select
    assert select is not None
    for case in select.children:
        if case.kind == "communication_case":
            if any(s.kind != "return_statement" or s.children[1:] for s in case.statements):
                raise BuilderError("the closed channel's case does something of its own")
            if case.statements and select.next is not None:
                raise BuilderError("the closed channel's case leaves the function")
    if select.tree.comments_in(select.start, select.end):
        raise BuilderError("a comment would be lost")
    default = next(c for c in select.children if c.kind == "default_case")
    if len(default.statements) != 1:
        raise BuilderError("the default case does more than the close")
    text = f"{once}.Do(func() {{ {close.call.name} }})"
    return [Edit(close.file.path, select.start, select.end, text.encode())]


def _aligned(files: list[GoFile], edits: list[Edit]) -> list[Edit]:
    found: list[Edit] = []
    for file in {f.path: f for f in files}.values():
        found += realign(file.tree, [e for e in edits if e.path == file.path])
    return found
