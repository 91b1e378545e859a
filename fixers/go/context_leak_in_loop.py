"""Release what a round of a loop acquires at the end of the round

`defer` waits for the function, not for the round of the loop: contexts with their timers,
files and connections pile up until the loop is through, and a mutex that is locked again in
the next round is still held there, so that the function waits for itself.

Not reported: a defer after which the loop never goes round again; a context that the round itself
cancels at its end, a file or connection that it closes there itself; a context, file or
connection that is stored, returned or handed on for later; a listener, whose port is meant to
stay taken; the locks of the elements that are ranged over, which may all be wanted together; a
lock taken under a condition.

Low confidence: tests, and loops over a few constants.

Unsafe: what is released early may have been needed later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.access import root_name
from threadmend.golang.closures import outlives
from threadmend.golang.contexts import derivation_by_helper, derivations
from threadmend.golang.counts import iterations
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.iterations import ends_after
from threadmend.golang.locks import lock_operation, runs_in_place
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Declaration, Node
from threadmend.golang.types import Func, Interface, Pointer, Struct
from threadmend.model import Confidence, Finding

from ._end_of_round import Deferred, released_each_round

CATEGORY = "context"
GATE = rb"\bdefer\s+[\w.]+\("

# What may lead on to a resource that it was made of; or nobody knows.
_LEADS = (Pointer, Interface, Struct, Func, type(None))

# A defer of the function's own block begins a line with one tab.
_DEFER = re.compile(rb"(?<!\n\t)\bdefer\s+(?!func\b)")
_LISTENS = re.compile(rb"\.Listen\w*$")
_LOOPS = FUNCTIONS | {"for_statement"}


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the defers that release what every round of a loop acquires anew."""
    cancels: dict[Binding, Binding | None] | None = None
    for statement in file.find("defer_statement", where=_may_pile_up):
        loop = innermost_loop(statement)
        call = statement.children[-1]
        if loop is None or call.kind != "call_expression" or call["arguments"].children:
            continue
        if cancels is None:
            cancels = _cancels(file)
        message = _released(file, loop, call, cancels)
        if message and not _leaves_at_once(statement) and not ends_after(loop, statement):
            held = message.startswith("the next")
            confidence = Confidence.HIGH if held else _confidence(file, loop)
            resource = _resource(file, call, cancels)
            yield _finding(Deferred(statement, call, loop, message, confidence, file, resource))


def _leaves_at_once(statement: Node) -> bool:
    """Return whether the defer's own block ends with a return: `defer f.Close(); return err`."""
    block = statement.parent
    return block is not None and block.statements[-1].kind == "return_statement"


def _may_pile_up(declaration: Declaration) -> bool:
    """Return whether a defer of something else than a literal stands in a loop."""
    for hit in _DEFER.finditer(declaration.tree.data, declaration.start, declaration.end):
        around = declaration.around(hit.start())
        if next((kind for kind in reversed(around) if kind in _LOOPS), "") == "for_statement":
            return True
    return False


def _cancels(file: GoFile) -> dict[Binding, Binding | None]:
    """Return the cancel functions of a file with their contexts."""
    found = {}
    for derivation in derivations(file, _may_pile_up):
        cancel = file.binding(derivation.cancel)
        if cancel is not None:
            found[cancel] = file.binding(derivation.context)
    return found


def _is_of_helper(file: GoFile, binding: Binding, cancels: dict[Binding, Binding | None]) -> bool:
    """Return whether a variable is the cancel function of a context that a helper derives, which
    is noted then.
    """
    declaration = binding.declaration
    if declaration.kind != "short_var_declaration":
        return False
    derivation = derivation_by_helper(file, declaration)
    if derivation is None or file.binding(derivation.cancel) is not binding:
        return False
    cancels[binding] = file.binding(derivation.context)
    return True


def _released(
    file: GoFile, loop: Node, call: Node, cancels: dict[Binding, Binding | None]
) -> str | None:
    """Return what is wrong with a deferred call, None when it may be right."""
    function = call["function"]
    if function.kind == "identifier":
        binding = file.binding(function)
        if binding is None or not _of_round(binding, loop):
            return None
        if binding not in cancels and not _is_of_helper(file, binding, cancels):
            return None
        context = cancels[binding]
        if _called_at_the_end(binding, loop):
            return None
        if context is not None and _lives_on(file, loop, context, call):
            return None
        if context is not None and _is_for_later_rounds(loop, context, call):
            return None
        return f"{binding.name} runs when the function returns, not when the round ends"
    if function.kind != "selector_expression":
        return None
    name = function["field"].name
    if name in {"Unlock", "RUnlock"}:
        return _relocked(file, loop, call)
    root = root_name(function)
    binding = file.binding(root) if root is not None else None
    if name != "Close" or binding is None or not _of_round(binding, loop):
        return None
    if not _opened(binding) or _lives_on(file, loop, binding, call):
        return None
    if any(_is_kept(use) or _goes_on(file, loop, use) for use in binding.uses):
        return None
    if _closed_at_the_end(binding, call):
        return None
    return f"{function.name} runs when the function returns, not when the round ends"


def _resource(file: GoFile, call: Node, cancels: dict[Binding, Binding | None]) -> Binding | None:
    """Return the context that a deferred call cancels, or the variable that it closes."""
    function = call["function"]
    if function.kind == "identifier":
        cancel = file.binding(function)
        return cancels.get(cancel) if cancel is not None else None
    root = root_name(function) if function["field"].name == "Close" else None
    return file.binding(root) if root is not None else None


def _called_at_the_end(cancel: Binding, loop: Node) -> bool:
    """Return whether the round calls cancel itself, further down: the defer is for the returns."""
    for use in cancel.uses:
        call = use.parent
        if use.field == "function" and call is not None and call.parent is not None:
            if call.parent.kind == "expression_statement" and call.parent.parent is loop["body"]:
                return True
    return False


def _closed_at_the_end(resource: Binding, deferred: Node) -> bool:
    """Return whether the block of a deferred Close does the same itself, further down."""
    statement = deferred.statement
    block = statement.parent if statement is not None else None
    return any(
        any(c.text == deferred.text for c in part.find("call_expression"))
        for later in (block.statements if block is not None else ())
        if later.start > deferred.start
        for part in _always_run(later)
        if any(part.contains(use) for use in resource.uses)
    )


def _always_run(statement: Node) -> Iterator[Node]:
    """Yield what a statement does in any case: `if err := f.Close(); err != nil {`."""
    if statement.kind == "if_statement":
        yield from (n for n in (statement.get("initializer"), statement["condition"]) if n)
    elif statement.kind in _SIMPLE:
        yield statement


_SIMPLE = frozenset({"expression_statement", "short_var_declaration", "assignment_statement"})


def _of_round(binding: Binding, loop: Node) -> bool:
    return binding.kind == "variable" and loop["body"].contains(binding.node)


def _opened(binding: Binding) -> bool:
    """Return whether a variable is declared with the result of a call, which is no listener:
    whoever looks for free ports keeps those that it has found until it has them all.
    """
    calls = [c for c in binding.values if c.kind == "call_expression"]
    return bool(calls) and not any(_LISTENS.search(c["function"].text) for c in calls)


def _lives_on(file: GoFile, loop: Node, binding: Binding, call: Node, depth: int = 2) -> bool:
    """Return whether a resource, or what a call of the round makes of it, is used later."""
    for use in binding.uses:
        if use is binding.node or call.contains(use) or _is_target(use):
            continue
        if use.up("go_statement") is not None or outlives(file, loop, use) is not None:
            return True
        inner = use.function
        if inner is not loop.function and inner is not None and not runs_in_place(file, inner):
            return True  # a literal: `work := func() { f(child) }; go work()`
        for made in _made_of(file, loop, use) if depth else ():
            if _lives_on(file, loop, made, call, depth - 1):
                return True
    return False


def _made_of(file: GoFile, loop: Node, use: Node) -> Iterator[Binding]:
    """Yield the variables of the round that get what a call makes of an argument, or a method."""
    parent = use.parent
    if parent is not None and parent.kind == "selector_expression" and use.field == "operand":
        call = parent.parent if parent.field == "function" else None
    else:
        call = parent.parent if parent is not None and parent.kind == "argument_list" else None
    group = call.parent if call is not None and call.kind == "call_expression" else None
    made = group.parent if group is not None and group.kind == "expression_list" else None
    if made is None or made.kind != "short_var_declaration" or not loop.contains(made):
        return
    for name in made["left"].children:
        binding = file.binding(name) if name.name not in {"_", "err", "ok"} else None
        if binding is not None and isinstance(file.underlying(file.type_of(name)), _LEADS):
            yield binding


def _is_for_later_rounds(loop: Node, context: Binding, call: Node) -> bool:
    """Return whether only some rounds make the context, and the next ones use it as well."""
    statement = call.statement
    return not loop["body"].contains(context.node) and (
        statement is None or statement.parent is not loop["body"]
    )


def _is_kept(use: Node) -> bool:
    """Return whether a resource is a part of what a method is given: it may stay there."""
    literal = use.up("composite_literal")
    call = literal.up("call_expression") if literal is not None else None
    return call is not None and call["arguments"].contains(use)


def _goes_on(file: GoFile, loop: Node, use: Node, depth: int = 2) -> bool:
    """Return whether a resource, or what is made of it, is for later rounds or behind the loop.

    `dir = f`, `files = append(files, index.Of(f))`.
    """
    parent = use.parent
    if parent is None or not loop["body"].contains(use):
        return False
    if parent.kind == "expression_list" and parent.field == "right":
        statement = parent.parent
        targets = statement["left"].children if statement is not None else []
        roots = [r for r in map(root_name, targets) if r is not None]
        bindings = [file.binding(r) for r in roots]
        return any(b is not None and not loop.contains(b.node) for b in bindings)
    call = parent.parent
    if parent.kind == "selector_expression" and call is not None and depth:
        lent = parent.field == "function" and _LENDS.fullmatch(parent["field"].name)
        return bool(lent) and _goes_on(file, loop, call, depth - 1)
    if parent.kind != "argument_list" or call is None or depth == 0:
        return False
    if call["function"].text == b"append":
        return _goes_on(file, loop, call, depth)
    group = call.parent
    made = group.parent if group is not None and group.kind == "expression_list" else None
    if made is None or made.kind != "short_var_declaration":
        return False
    names = [n for n in made["left"].children if n.name not in {"_", "err"}]
    results = [b for b in map(file.binding, names) if b is not None]
    return any(_goes_on(file, loop, u, depth - 1) for b in results for u in b.uses)


_LENDS = re.compile(r"Bytes|Data|Slice|View|Buffer")  # what is in the resource's own memory


def _is_target(use: Node) -> bool:
    return use.parent is not None and use.parent.field == "left"


def _relocked(file: GoFile, loop: Node, call: Node) -> str | None:
    release = lock_operation(file, call)
    if release is None or release.access is None:
        return None
    root = release.access.root
    if isinstance(root, Binding) and loop.contains(root.node):
        return _piles_up(loop, call) if _of_round(root, loop) else None
    if any(step.startswith("[") for step in release.access.steps):
        return None
    if release.mode == "read" or (statement := call.statement) is None:
        return None
    if statement.parent is not loop["body"]:
        return None  # under a condition: perhaps once
    for node in loop["body"].own():
        if node.kind == "call_expression" and node.end <= call.start:
            taken = lock_operation(file, node)
            if taken is not None and taken.acquires and taken.access == release.access:
                return f"the next round waits for {release.lock.name}, which is still held"
    return None


def _piles_up(loop: Node, call: Node) -> str | None:
    """Say that the locks of all rounds stay held, where the rounds do the work under them.

    A function that takes many locks first and works after the loop means to hold them all.
    """
    statement = call.statement
    after = loop.next
    if statement is None or statement.parent is not loop["body"] or statement.next is None:
        return None
    if after is not None and after.kind != "return_statement":
        return None
    return f"{call['function'].name} runs when the function returns, not when the round ends"


def _confidence(file: GoFile, loop: Node) -> Confidence:
    times = iterations(file, loop)
    if file.is_test_file or (times is not None and times.is_constant):
        return Confidence.LOW
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    if clause is not None and clause["right"].kind == "composite_literal":
        return Confidence.LOW
    return Confidence.HIGH


def _finding(deferred: Deferred) -> Finding:
    fix, reason = released_each_round(deferred)
    return Finding(
        path=deferred.call.path,
        start=deferred.statement.start,
        end=deferred.statement.end,
        message=deferred.message,
        fixes=(fix,) if fix else (),
        reason=reason,
        confidence=deferred.confidence,
    )
