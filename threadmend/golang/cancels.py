"""Edits that cancel a derived context: where the call goes, and where none can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from threadmend.golang.builders import (
    BuilderError,
    add_import,
    delete,
    free_name,
    import_name,
    insert_after,
    insert_at_end,
    insert_before,
    names_around,
)
from threadmend.golang.closures import Later
from threadmend.golang.contexts import Derivation, kept
from threadmend.golang.file import GoFile
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.iterations import point_in
from threadmend.golang.plain import only_words
from threadmend.golang.scope import Binding
from threadmend.golang.subtests import TESTS
from threadmend.golang.syntax import BLOCKS, Node
from threadmend.golang.types import is_named
from threadmend.model import Edit, Fix, Safety

__all__ = ["cancelled"]

_KEPT = {
    "returned": "is returned",
    "goroutine": "is used by a goroutine that may outlive the function",
    "timer function": "is used by a timer's function",
    "parallel subtest": "is used by a parallel subtest",
}


def cancelled(file: GoFile, derivation: Derivation, exits: Sequence[Node]) -> Fix:
    """Return the fix of a derivation whose cancel function is lost on the way to `exits`.

    Raises BuilderError with the reason, where no rewrite is right.

    Soundness of `defer cancel()` right after the derivation: nothing uses the context when
    the function has returned (`kept` found nothing), deferred calls registered later run
    first, and calling cancel twice does nothing.
    """
    function = derivation.call.function
    if function is None:
        raise BuilderError("the context is derived outside of a function")
    later = _later(file, function, derivation)
    name, edits = _named(file, derivation)
    if innermost_loop(derivation.statement) is not None:
        if later is not None:
            raise BuilderError(_too_early(derivation, later))
        return _in_iteration(file, derivation, name, edits)
    call = f"{name}{derivation.call_of_cancel}"
    if later is None and _does_more(file, derivation):
        if not all(e.kind == "return_statement" and only_words(e) for e in exits):
            raise BuilderError(f"a second call of {name} may do more than to cancel")
        for exit_ in exits:
            edits += insert_before(exit_, call)
        reason = "what the context was made for ends where the function fails"
        return Fix(f"Call {call} before the returns without it", edits, Safety.UNSAFE, reason)
    if later is None:
        edits += _deferred(derivation, call)
        return Fix(f"Defer {call} right after the context is derived", edits)
    test = _test(file, function)
    if test is not None and later.how != "returned":
        return _with_test(derivation, name, test, edits)
    handed = _is_handed_on(file, derivation)
    if later.how == "goroutine" and not handed and _ends_elsewhere(function, exits):
        edits += _deferred(derivation, call)
        reason = "the goroutine's context ends when the function returns"
        title = f"Defer {call} right after the context is derived"
        return Fix(title, edits, Safety.UNSAFE, reason)
    if test is not None:
        return _with_test(derivation, name, test, edits)
    if (later.how == "returned" or (handed and later.how == "goroutine")) and _fail(
        derivation, exits
    ):
        for exit_ in exits:
            edits += insert_before(exit_, call)
        reason = "what was made with the context ends where the function fails"
        return Fix(f"Call {call} before the returns without it", edits, Safety.UNSAFE, reason)
    raise BuilderError(_too_early(derivation, later))


def _does_more(file: GoFile, derivation: Derivation) -> bool:
    """Return whether a helper's cancel function is one of its own, which the function calls.

    `return ctx, func() { cancel(); p.free <- slot }`: with a defer it would run twice.
    """
    decl = file.callee(derivation.call)
    cancel = file.binding(derivation.cancel)
    if decl is None or not decl.has_body or decl.file.package.module is None or cancel is None:
        return False
    if all(use is cancel.node or use.field != "function" for use in cancel.uses):
        return False
    return any(_is_literal(decl.file, value) for value in _second_results(decl.node))


def _second_results(function: Node) -> Iterator[Node]:
    for node in function["body"].own():
        values = node.children[-1] if node.kind == "return_statement" else None
        if values is not None and values.kind == "expression_list" and len(values.children) == 2:
            yield values.children[1]


def _is_literal(file: GoFile, value: Node) -> bool:
    binding = file.binding(value) if value.kind == "identifier" else None
    values = binding.values if binding is not None else (value,)
    return any(v.kind == "func_literal" for v in values or ())


def _is_handed_on(file: GoFile, derivation: Derivation) -> bool:
    """Return whether cancel is kept for somebody who calls it later: the context is meant to
    outlive the function.
    """
    binding = file.binding(derivation.cancel)
    if binding is None or derivation.cancel.name == "_":
        return False
    for use in binding.uses:
        above, statement = use.parent, use.statement
        if use is binding.node or above is None or statement is None:
            continue
        if above.kind == "call_expression" and use.field == "function":
            if use.function is not binding.function and statement.kind != "defer_statement":
                return True  # a function that is made here calls it
        elif not statement.text.startswith(b"_ = "):
            return True
    return False


def _fail(derivation: Derivation, exits: Sequence[Node]) -> bool:
    """Return whether all exits are returns that hand out neither the context nor its cancel."""
    words = {derivation.context.text, derivation.cancel.text}
    return derivation.cancel.name != "_" and all(
        exit_.kind == "return_statement"
        and bool(exit_.children[1:])
        and not any(node.text in words for node in exit_.find("identifier"))
        for exit_ in exits
    )


def _with_test(derivation: Derivation, name: str, test: Binding, edits: tuple[Edit, ...]) -> Fix:
    function = f"func() {{ {name}(nil) }}" if derivation.takes_cause else name
    edits += insert_after(_block_statement(derivation), f"{test.name}.Cleanup({function})")
    title = f"Call {name} when the test ends"
    return Fix(title, edits, Safety.UNSAFE, "the context now ends with the test")


def _too_early(derivation: Derivation, later: Later) -> str:
    how = _KEPT.get(later.how, "is stored")
    line = later.node.tree.source.line_of(later.node.start)
    where = f"line {line}" if later.node.path == derivation.call.path else later.node.path
    return f"the context {how} ({where}), and cancel has to go with it"


def _later(file: GoFile, function: Node, derivation: Derivation) -> Later | None:
    """Return what uses the context after the function; raises for what is no local variable."""
    context = derivation.context
    if context.name == "_":
        return None
    binding = file.binding(context) if context.kind == "identifier" else None
    if binding is None or binding.function is not function:
        raise BuilderError(f"the context is kept in {context.name}, which outlives the function")
    if binding.kind == "result":
        raise BuilderError("the context is returned, and cancel has to go with it")
    return kept(file, function, binding, derivation.statement.end)


def _test(file: GoFile, function: Node) -> Binding | None:
    """Return the `t *testing.T` that a function takes."""
    for declaration in function["parameters"].children:
        for name in declaration.all("name"):
            binding = file.binding(name)
            if binding is not None and is_named(file.type_of(name), *TESTS):
                return binding
    return None


def _ends_elsewhere(function: Node, exits: Sequence[Node]) -> bool:
    """Return whether the function's last way out does call cancel."""
    last = [e.node for e in flow_of(function).exits if e.kind in {"return", "end"}]
    return bool(exits and last) and last[-1] not in exits


# -- a name ---------------------------------------------------------------------------


def _named(file: GoFile, derivation: Derivation) -> tuple[str, tuple[Edit, ...]]:
    """Return the name of the cancel function, and the edits that give it one."""
    node = derivation.cancel
    if node.name != "_":
        return node.name, _without_blanks(file, node)
    base = "stop" if derivation.function_name == "NotifyContext" else "cancel"
    name = free_name(base, names_around(file, node))
    edits: tuple[Edit, ...] = (Edit(file.path, node.start, node.end, name.encode()),)
    statement = derivation.statement
    if statement.kind == "assignment_statement":
        if _declares_with(file, derivation):
            operator = statement["operator"]
            edits += (Edit(file.path, operator.start, operator.end, b":="),)
        else:
            edits += _declared(file, derivation, name)
    return name, edits


def _without_blanks(file: GoFile, cancel: Node) -> tuple[Edit, ...]:
    """Delete `_ = cancel`, which only kept the compiler quiet."""
    binding = file.binding(cancel)
    edits: tuple[Edit, ...] = ()
    for use in binding.uses if binding is not None else ():
        statement = use.statement
        if statement is not None and statement.kind == "assignment_statement":
            if statement["left"].text == b"_" and statement["right"].text == use.text:
                edits += delete(statement)
    return edits


def _declares_with(file: GoFile, derivation: Derivation) -> bool:
    """Return whether `ctx, cancel :=` in place of `=` would still assign the same ctx.

    It does when ctx is declared in the very block, or as a parameter of its function.
    """
    binding = file.binding(derivation.context)
    block = derivation.statement.parent
    if binding is None or block is None:
        return False
    return binding.scope is block or (
        block.field == "body" and block.parent is binding.scope and binding.kind == "parameter"
    )


def _declared(file: GoFile, derivation: Derivation, name: str) -> tuple[Edit, ...]:
    package = import_name(file.tree, "context")
    edits: tuple[Edit, ...] = ()
    if package is None:
        package, edits = "context", add_import(file.tree, "context")
    kind = "CancelCauseFunc" if derivation.takes_cause else "CancelFunc"
    code = f"var {name} {package}.{kind}"
    return edits + insert_before(derivation.statement, code)


# -- a call ---------------------------------------------------------------------------


def _block_statement(derivation: Derivation) -> Node:
    statement = derivation.statement
    if statement.kind == "var_spec":
        return statement.statement or statement
    return statement


def _deferred(derivation: Derivation, call: str) -> tuple[Edit, ...]:
    """Insert `defer cancel()`, taking away one that stands further down in the block."""
    statement = _block_statement(derivation)
    edits = insert_after(statement, f"defer {call}")
    block = statement.parent
    for other in block.statements if block is not None else ():
        if other.start > statement.end and other.text == f"defer {call}".encode():
            edits += delete(other)
    return edits


def _in_iteration(file: GoFile, derivation: Derivation, name: str, edits: tuple[Edit, ...]) -> Fix:
    """Call cancel on every way out of the iteration; a defer would run after the loop."""
    statement = _block_statement(derivation)
    block, function = statement.parent, derivation.call.function
    assert function is not None
    if block is None or block.kind not in BLOCKS:
        raise BuilderError("the context is derived in the header of a statement")
    binding = file.binding(derivation.context)
    if binding is not None and not block.contains(binding.node):
        raise BuilderError("the context is used after the iteration that derives it")
    call = f"{name}{derivation.call_of_cancel}"
    leaving, falls = _ways_out(file, derivation, block)
    for node in leaving:
        if binding is not None and any(node.contains(use) for use in binding.uses):
            raise BuilderError(f"line {_line(node)} uses the context as it leaves the iteration")
        edits += insert_before(node, call)
    if falls:
        edits += insert_at_end(block, call)
    title = f"Call {call} at the end of the iteration"
    return Fix(title, edits, Safety.UNSAFE, "the context now ends with its iteration")


def _line(node: Node) -> int:
    return node.tree.source.line_of(node.start)


def _ways_out(file: GoFile, derivation: Derivation, block: Node) -> tuple[list[Node], bool]:
    """Return the statements that leave the block without cancel, and whether its end does."""
    function = derivation.call.function
    assert function is not None
    flow = flow_of(function)
    start = flow.point_of(derivation.call)
    if start is None:
        raise BuilderError("the context is derived where no call of cancel can follow")
    leaves = {p for p in flow.points if block.contains(p.node) and _leaves(p.node, block)}
    using = set(_using(file, derivation))

    def stop(point: Point) -> bool:
        return point in using or point in leaves

    passed = flow.reachable(start, stop=stop)
    beyond = any(not block.contains(p.node) or p is start for p in passed)
    skipping = [p.node for p in leaves if p in flow.reachable(start, stop=lambda q: q in using)]
    return sorted(skipping, key=lambda node: node.start), beyond


def _using(file: GoFile, derivation: Derivation) -> Iterator[Point]:
    binding = file.binding(derivation.cancel)
    function = derivation.call.function
    if binding is None or function is None or binding.name == "_":
        return
    for use in binding.uses:
        point = point_in(flow_of(function), use)
        if use is not binding.node and point is not None:
            yield point


def _leaves(node: Node, block: Node) -> bool:
    """Return whether a statement jumps out of a block."""
    if node.kind in {"return_statement", "goto_statement"}:
        return True
    if node.kind not in {"break_statement", "continue_statement"}:
        return False
    label = next((c.name for c in node.children if c.kind == "label_name"), None)
    kinds = _LOOPS if node.kind == "continue_statement" else _LOOPS | _SWITCHES
    for ancestor in node.ancestors():
        if ancestor.kind in kinds and (label is None or _label(ancestor) == label):
            return not block.contains(ancestor)
    return True


_LOOPS = frozenset({"for_statement"})
_SWITCHES = frozenset({"select_statement", "expression_switch_statement", "type_switch_statement"})


def _label(statement: Node) -> str | None:
    parent = statement.parent
    if parent is None or parent.kind != "labeled_statement":
        return None
    return next((c.name for c in parent.children if c.kind == "label_name"), None)
