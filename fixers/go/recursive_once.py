"""Do not call Once.Do from the function that it runs

`once.Do(f)` holds the Once until f returns. Where f comes back to the same `once.Do`, by
whatever way, it waits for itself for ever.

Not reported: calls whose target cannot be told; another Once, also of another object; a
goroutine that f only launches; a call that an argument decides about.

Without a fix: which of the two is meant to be the first is for a person to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import Access, access_of, is_assigned_once
from threadmend.golang.bodies import depends_on_flag
from threadmend.golang.file import GoFile
from threadmend.golang.locks import runs_in_place
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.targets import Body, bodies_of_value, targets
from threadmend.golang.types import is_named
from threadmend.model import Finding, Related

CATEGORY = "mutex"
GATE = rb"\.Do\("

_DEPTH = 5


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the calls of Once.Do whose function comes back to them."""
    for call in file.calls("Do"):
        once = _once(file, call)
        arguments = call["arguments"].children
        if once is None or len(arguments) != 1:
            continue
        if isinstance(once.root, Binding) and not is_assigned_once(once.root):
            continue
        body = bodies_of_value(file, arguments[0]).certain
        if body is None:
            continue
        again = _comes_back(body, _inside(file, arguments[0], body, once), _DEPTH, set())
        if again is not None:
            yield _finding(call, again)


def _once(file: GoFile, call: Node) -> Access | None:
    """Return the Once on which a call of Do is made."""
    function = call["function"]
    if function.kind != "selector_expression" or function["field"].name != "Do":
        return None
    selection = file.selection(function)
    if selection is None or not is_named(selection.owner, "sync.Once"):
        return None
    return access_of(file, function["operand"], selection.via)


def _inside(file: GoFile, value: Node, body: Body, once: Access) -> Access | None:
    """Return the Once as the function that Do runs names it."""
    if body.node.kind == "func_literal" or not isinstance(once.root, Binding):
        return once
    receiver = _receiver(body.node)
    if receiver is None or value.kind != "selector_expression":
        return None
    holder = access_of(file, value["operand"])
    if holder is None or not once.under(holder):
        return None
    return Access(receiver, once.steps[len(holder.steps) :])


def _receiver(method: Node) -> Binding | None:
    receiver = method.get("receiver")
    names = receiver.children[0].all("name") if receiver is not None and receiver.children else []
    for binding in bindings_in(method).get(names[0].name, ()) if names else ():
        if binding.node is names[0]:
            return binding
    return None


def _comes_back(
    body: Body, once: Access | None, depth: int, seen: set[tuple[str, int]]
) -> Node | None:
    """Return the call, in a body, that leads to Do of the same Once."""
    key = (body.node.path, body.node.start)
    if once is None or key in seen:
        return None
    seen.add(key)
    for node in body.node.own():
        if node.kind != "call_expression" or node.is_launched:
            continue
        if _once(body.file, node) == once:
            return node
        if depth == 0 or depends_on_flag(body, node):
            continue
        for called, inside in _run_by(body, node, once):
            if _comes_back(called, inside, depth - 1, seen) is not None:
                return node
    return None


def _run_by(body: Body, call: Node, once: Access) -> Iterator[tuple[Body, Access | None]]:
    """Yield what a call certainly runs, each with the Once in its words.

    That is the function that is called, and the functions it is given to call before it ends:
    `os.Expand(text, c.lookup)`.
    """
    file = body.file
    called = targets(file, call).certain
    if called is not None:
        yield called, _callees(body, call, called, once)
    for value in call["arguments"].children:
        if value.kind not in _FUNCTION_VALUES or not runs_in_place(file, value):
            continue
        given = bodies_of_value(file, value).certain
        if given is not None:
            yield given, _inside(file, value, given, once)


_FUNCTION_VALUES = frozenset({"func_literal", "selector_expression", "identifier"})


def _callees(body: Body, call: Node, called: Body, once: Access) -> Access | None:
    """Return the Once in the words of a function that is called."""
    root = once.root
    if not isinstance(root, Binding):
        return once
    if called.node.kind == "func_literal":
        # The variables of a function are others in another run of it.
        return None if called.node.contains(root.node) else once
    receiver = _receiver(called.node)
    function = call["function"]
    if receiver is None or function.kind != "selector_expression":
        return None
    holder = access_of(body.file, function["operand"])
    if holder is None or not once.under(holder):
        return None
    return Access(receiver, once.steps[len(holder.steps) :])


def _finding(call: Node, again: Node) -> Finding:
    name = call["function"]["operand"].name
    return Finding(
        path=call.path,
        start=call.start,
        end=call.end,
        message=f"the function that {name}.Do runs waits for {name}.Do",
        related=(Related(again.path, again.start, again.end, "comes back here"),),
        reason="which of the two is meant to be the first is for a person to say",
    )
