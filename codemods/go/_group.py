"""A local WaitGroup around launches of literals: its parts, or nothing where there are others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.file import GoFile
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.golang.types import deref, is_named

__all__ = ["Group", "Launched", "groups", "is_last", "siblings", "top"]

_GROUP = re.compile(rb"\bsync\.WaitGroup\b")


@dataclass(frozen=True, slots=True)
class Launched:
    """One goroutine: `statement` is `go func(…) {…}(…)` or `wg.Go(func() {…})`.

    `call` is the call of the literal (None for `wg.Go`), `done` what goes with the WaitGroup,
    `aliases` the parameters that stand for variables around (`wg *sync.WaitGroup`).
    """

    statement: Node
    literal: Node
    call: Node | None
    done: tuple[Node, ...]
    aliases: dict[Binding, Binding]

    @property
    def body(self) -> Node:
        """Return the block of the literal."""
        return self.literal["body"]


@dataclass(frozen=True, slots=True)
class Group:
    """`declared` is the statement of the declaration, `wait` the call's; all in one `block`.

    `closer` is a goroutine that waits; then `wait` stands in it.
    """

    function: Node
    binding: Binding
    declared: Node
    adds: tuple[Node, ...]
    launched: tuple[Launched, ...]
    wait: Node
    closer: Node | None

    @property
    def block(self) -> Node:
        """Return the block of the declaration and of Wait."""
        assert self.declared.parent is not None
        return self.declared.parent

    @property
    def end(self) -> Node:
        """Return the statement of the block that waits."""
        return self.closer or self.wait


def groups(file: GoFile) -> Iterator[Group]:
    """Yield the WaitGroups of which every use is Add, a launch with its Done, or one Wait."""
    for kind in ("var_spec", "short_var_declaration"):
        for node in file.find(kind, _GROUP):
            if _GROUP.search(node.text):
                group = _group(file, node)
                if group is not None:
                    yield group


def _group(file: GoFile, node: Node) -> Group | None:
    binding = _declared(file, node)
    function, declared = node.function, node.statement
    if binding is None or function is None or declared is None:
        return None
    block = declared.parent
    launched = _launches(file, function, binding)
    if launched is None or not launched or block is None or block.kind != "block":
        return None
    adds, waits = [], []
    known = {done for one in launched for done in one.done}
    known |= {one.statement for one in launched}
    for use in binding.uses:
        if use is binding.node or any(part.contains(use) for part in known):
            continue
        statement = _statement_of(use, b"Add", b"Wait")
        if statement is None:
            return None
        if statement.text.startswith(use.text + b".Add"):
            if statement.function is not function:
                return None
            adds.append(statement)
        else:
            waits.append(statement)
    if len(waits) != 1:
        return None
    closer = None
    if waits[0].function is not function:
        closer = _closer(waits[0])
        if closer is None:
            return None
    group = Group(function, binding, declared, tuple(adds), tuple(launched), waits[0], closer)
    return group if _in_order(group) else None


def _declared(file: GoFile, node: Node) -> Binding | None:
    """Return the variable of `var wg sync.WaitGroup` and of the ways to say it with `:=`."""
    if node.kind == "var_spec":
        names, value, type_ = node.all("name"), node.get("value"), node.get("type")
        if len(names) != 1 or value is not None:
            return None
        named = file.type_from(type_)
    else:
        names, values = node["left"].children, node["right"].children
        if len(names) != 1 or len(values) != 1 or b"." not in values[0].text:
            return None
        if not re.fullmatch(rb"&?sync\.WaitGroup\{\}|new\(sync\.WaitGroup\)", values[0].text):
            return None
        named = deref(file.type_of(values[0]))
    if not is_named(named, "sync.WaitGroup"):
        return None
    binding = file.binding(names[0])
    return binding if binding is not None and binding.node is names[0] else None


def _statement_of(use: Node, *methods: bytes) -> Node | None:
    """Return the statement `wg.Method(…)`."""
    selector = use.parent
    call = selector.parent if selector is not None else None
    if selector is None or selector.kind != "selector_expression" or call is None:
        return None
    if call.kind != "call_expression" or selector["field"].text not in methods:
        return None
    statement = call.parent
    if statement is None or statement.kind not in {"expression_statement", "defer_statement"}:
        return None
    waits = selector["field"].text == b"Done"
    return statement if waits or statement.kind == "expression_statement" else None


def _closer(wait: Node) -> Node | None:
    """Return the statement `go func() { wg.Wait(); … }()` of which Wait is the first."""
    literal = wait.function
    call = literal.parent if literal is not None else None
    go = call.parent if call is not None else None
    if literal is None or go is None or go.kind != "go_statement":
        return None
    if literal["body"].statements[0] is not wait or literal["parameters"].children:
        return None
    return go


def _in_order(group: Group) -> bool:
    """Return whether the declaration, the launches and Wait follow one another in a block."""
    block = group.block
    if group.end.parent is not block:
        return False
    for node in (*group.adds, *(one.statement for one in group.launched)):
        statement = top(block, node)
        if statement is None or not group.declared.start < statement.start < group.end.start:
            return False
    return True


def top(block: Node, node: Node) -> Node | None:
    """Return the statement of a block that holds a node."""
    while node.parent is not None:
        if node.parent is block:
            return node
        node = node.parent
    return None


# -- launches ---------------------------------------------------------------------------------


def _launches(file: GoFile, function: Node, binding: Binding) -> list[Launched] | None:
    found: list[Launched] = []
    for statement in function.find("go_statement", "expression_statement"):
        if statement.function is not function:
            continue
        one = None
        if statement.kind == "go_statement":
            one = _by_go(file, statement, binding)
        elif statement.text.startswith(binding.name.encode() + b".Go("):
            one = _by_method(statement, binding)
        if one is not None:
            found.append(one)
    return found


def _by_go(file: GoFile, go: Node, binding: Binding) -> Launched | None:
    call = go.children[-1]
    literal = call.get("function")
    if literal is None or literal.kind != "func_literal" or literal.get("result") is not None:
        return None
    aliases = _aliases(file, literal, call)
    names = [binding, *(a for a, meant in aliases.items() if meant is binding)]
    uses = [u for name in names for u in name.uses if literal["body"].contains(u)]
    done = _done(literal, uses)
    return Launched(go, literal, call, done, aliases) if done else None


def _by_method(statement: Node, binding: Binding) -> Launched | None:
    call = statement.children[0]
    arguments = call["arguments"].children
    if not any(call["function"].contains(use) for use in binding.uses) or len(arguments) != 1:
        return None
    literal = arguments[0]
    if literal.kind != "func_literal" or any(literal.contains(u) for u in binding.uses):
        return None
    return Launched(statement, literal, None, (), {})


def _aliases(file: GoFile, literal: Node, call: Node) -> dict[Binding, Binding]:
    """Return which parameters stand for which variables: `wg` for `&wg`, `errs` for `errs`."""
    found: dict[Binding, Binding] = {}
    names = [n for p in literal["parameters"].children for n in (p.all("name") or [p])]
    for name, argument in zip(names, call["arguments"].children, strict=False):
        value = argument
        if value.kind == "unary_expression" and value["operator"].kind == "&":
            value = value["operand"]
        meant = file.binding(value)
        own = next((b for b in bindings_in(literal).get(name.name, ()) if b.node is name), None)
        if meant is not None and own is not None:
            found[own] = meant
    return found


def _done(literal: Node, uses: list[Node]) -> tuple[Node, ...]:
    """Return what calls Done once: `defer wg.Done()`, or the last statement of a literal."""
    if len(uses) != 1:
        return ()
    statement = _statement_of(uses[0], b"Done")
    body = literal["body"]
    if statement is None:
        return ()
    if statement.kind == "defer_statement":
        before = _before(body, statement)
        return (statement,) if before is not None and _only_defers(before) else ()
    if statement.parent is body:
        returns = any(n.function is literal for n in body.find("return_statement"))
        return (statement,) if statement is body.statements[-1] and not returns else ()
    return _with_release(body, statement)


def _with_release(body: Node, statement: Node) -> tuple[Node, ...]:
    """Return the part of `defer func() { <-sem; wg.Done() }()` that is about the WaitGroup."""
    inner = statement.function
    defer = inner.statement if inner is not None else None
    if inner is None or defer is None or defer.kind != "defer_statement":
        return ()
    before = _before(body, defer)
    if statement.parent is not inner["body"] or before is None or not _only_defers(before):
        return ()
    own = inner["body"].statements
    if not all(s is statement or re.fullmatch(rb"<-\s*[\w.]+", s.text) for s in own):
        return ()
    return (defer,) if len(own) == 1 else (statement,)


def _before(body: Node, statement: Node) -> list[Node] | None:
    statements = body.statements
    at = next((i for i, s in enumerate(statements) if s is statement), None)
    return statements[:at] if at is not None else None


def _only_defers(statements: list[Node]) -> bool:
    return all(s.kind == "defer_statement" for s in statements)


# -- what is last -----------------------------------------------------------------------------


def siblings(statement: Node, apart: tuple[Node, ...]) -> tuple[list[Node], int]:
    """Return the statements around one, without those that go, and its place among them."""
    parent = statement.parent
    found = [s for s in parent.statements if s not in apart] if parent is not None else []
    at = next((i for i, s in enumerate(found) if s is statement), -1)
    return found, at


def is_last(statement: Node, literal: Node, apart: tuple[Node, ...]) -> bool:
    """Return whether a literal runs nothing after a statement; deferred calls apart."""
    node = statement
    while node.parent is not None and node is not literal["body"]:
        above = node.parent
        if above.kind in {"for_statement", "labeled_statement"} or node.field == "communication":
            return False
        if above.kind in BLOCKS:
            around, at = siblings(node, apart)
            if at != len(around) - 1:
                return False
        node = above
    return True
