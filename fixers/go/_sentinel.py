"""The sender's last value, which says that it was the last one.

        ch <- end                     defer close(ch)
    …                             …
    if v == end {                 for v := range ch {
        close(ch)                     …
        break                     }
    }

Once the sender closes, the value has nothing to say. Where both of its places can be seen whole,
it goes; elsewhere the receiver goes on behind it.
"""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, delete, insert_after, replace
from threadmend.golang.calls import has_one_caller
from threadmend.golang.channels import Channel, ChannelOperation, runner_of
from threadmend.golang.flow import is_never_after
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.iterations import own_condition
from threadmend.golang.locks import declaration_of
from threadmend.golang.node import bare
from threadmend.golang.scope import resolve_local
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["past", "sent_sentinel", "without_sentinel"]


def sent_sentinel(channel: Channel, loop: Node) -> bool:
    """Return whether the sender itself sends, at the end, the value that ends the loop.

    Or one with the field that is tested: `Photo{ID: End}` where `p.ID == End` is asked.
    """
    tests = [n for n in loop["body"].own() if n.kind == "binary_expression"]
    return any(_sentinels(channel, test) for test in tests)


def _is_last(send: Node) -> bool:
    """Return whether a send is the last of its function: in no loop, or right before a return."""
    after = send.next
    return innermost_loop(send) is None or (
        after is not None and after.kind == "return_statement" and send.field != "communication"
    )


def _is_told(test: Node, sent: Node) -> bool:
    """Return whether a test asks for a value that is sent, or for a field of it."""
    left, right = bare(test["left"]), bare(test["right"])
    if sent.text in {left.text, right.text}:
        return True
    if test["operator"].text != b"==" or sent.kind != "composite_literal":
        return False
    elements = [e for e in sent["body"].children if e.kind == "keyed_element"]
    told = {(e["key"].text, e["value"].text) for e in elements}
    return any(
        one.kind == "selector_expression" and (one["field"].text, other.text) in told
        for one, other in ((left, right), (right, left))
    )


def past(statement: Node, loop: Node) -> list[Edit]:
    """Go on behind the sentinel: what comes after an early one would have no receiver."""
    jump, block = statement.next, statement.parent
    test = block.parent if block is not None else None
    if jump is not None and jump.text.startswith(b"return ") and not _counts(loop):
        raise BuilderError("the receiver returns a value when it has seen enough")
    if jump is None or test is None or test.kind != "if_statement":
        return []
    if test.parent is not loop["body"] or test.get("alternative") is not None:
        return []
    if jump.text not in {b"return", b"break"} or jump.next is not None:
        return []
    return list(replace(jump, "continue"))


def without_sentinel(
    channel: Channel, statement: Node, loop: Node, launch: Launch
) -> list[Edit] | None:
    """Return the edits that take the sentinel from both sides, None where one has more to do.

    Nothing is lost: a value that was equal to it had no receiver before, and what the sender
    sent after it panicked.
    """
    test, received = _whole_test(statement, loop), _received(loop)
    if test is None or received is None or len(channel.of("receive", "range")) != 1:
        return None
    condition = test["condition"]
    sends = _sentinels(channel, condition)
    others = [s for s in channel.of("send") if s not in sends]
    if not others or not sends or not _is_used_outside(received, test, loop):
        return None
    if not all(_may_go(send, channel, launch) for send in sends):
        return None
    shared = [condition, *(s.node["value"] for s in sends)]
    if any(_needs_a_use(node, received) for node in shared):
        return None
    jump = test["consequence"].statements[-1]
    later: tuple[Edit, ...] = ()
    try:
        if jump.kind == "return_statement" and jump.children[1:] and loop.next is None:
            later = insert_after(loop, jump.name)
        return [*delete(test), *(edit for send in sends for edit in delete(send.node)), *later]
    except BuilderError:
        return None


def _whole_test(statement: Node, loop: Node) -> Node | None:
    """Return `if v == end { close(ch); break }`, of which nothing is needed after the close."""
    jump, block = statement.next, statement.parent
    test = block.parent if block is not None else None
    if test is None or block is None or jump is None or test.kind != "if_statement":
        return None
    if test.parent is not loop["body"] or block.statements != [statement, jump]:
        return None
    if test.get("alternative") is not None or test.get("initializer") is not None:
        return None
    function, condition = loop.function, test["condition"]
    if condition.kind != "binary_expression" or condition["operator"].text != b"==":
        return None
    if b"nil" in {condition["left"].text, condition["right"].text}:
        return None  # nothing could be done with a value that is none
    after = loop.next  # where it says the same, the loop may as well be left
    last = function is not None and loop.parent is function["body"]
    last = last and (after is None or (after.next is None and after.text == jump.text))
    ends = jump.text == b"return" or _may_come_later(jump, loop)
    return test if jump.text == b"break" or (ends and last) else None


def _may_come_later(jump: Node, loop: Node) -> bool:
    """Return whether a statement gives back nothing but variables that the loop has not made."""
    if jump.kind != "return_statement" or own_condition(loop) is not None:
        return False
    values = [v for child in jump.children[1:] for v in _values(child)]
    made = [resolve_local(v) if v.kind == "identifier" else None for v in values]
    return all(
        v.kind in {"nil", "true", "false"} or (b is not None and not loop.contains(b.node))
        for v, b in zip(values, made, strict=True)
    )


def _values(child: Node) -> list[Node]:
    return child.children if child.kind == "expression_list" else [child]


def _received(loop: Node) -> Node | None:
    """Return the name of what is received: `v := <-ch` or `for v := range ch`."""
    clause = next((c for c in loop.children if c.kind == "range_clause"), None)
    first = clause or next(iter(loop["body"].statements), None)
    left = first.get("left") if first is not None else None
    names = left.children if left is not None else []
    return names[0] if len(names) == 1 and names[0].kind == "identifier" else None


def _sentinels(channel: Channel, test: Node) -> list[ChannelOperation]:
    return [s for s in channel.of("send") if _is_last(s.node) and _is_told(test, s.node["value"])]


def _is_used_outside(name: Node, test: Node, loop: Node) -> bool:
    return any(
        n.name == name.name and n is not name and not test.contains(n)
        for n in loop["body"].find("identifier")
    )


def _may_go(send: ChannelOperation, channel: Channel, launch: Launch) -> bool:
    """Return whether a send is the sender's very last, in a function that only serves it."""
    body, block = send.function, send.node.parent
    if send.case is not None or body is None or block is None or block.kind != "block":
        return False
    runner = runner_of(send, channel.make.function or body)
    if not isinstance(runner, Launch) or runner.node is not launch.node:
        return False
    if not all(is_never_after(s.node, send.node) for s in channel.of("send")):
        return False
    if block is not body["body"] and len(block.statements) == 1:
        return False  # an empty block would be left
    decl = declaration_of(send.file, body) if body.kind != "func_literal" else None
    return body.kind == "func_literal" or (decl is not None and has_one_caller(decl))


def _needs_a_use(node: Node, received: Node) -> bool:
    """Return whether an expression names a variable or a package that must be used elsewhere."""
    bound = resolve_local(received)
    for name in node.find("identifier"):
        binding = resolve_local(name)
        if binding is not None and binding is not bound and binding.kind != "constant":
            return True
    return any(
        n["operand"].kind == "identifier" and resolve_local(n["operand"]) is not bound
        for n in node.find("selector_expression")
    )


def _counts(loop: Node) -> bool:
    return any(c.kind in {"for_clause", "range_clause"} for c in loop.children)
