"""Wake-ups that are dropped while the worker works: an unbuffered channel, sent to or else.

    q.items = append(q.items, v)        for {
    select {                                <-q.wake
    case q.wake <- struct{}{}:              handle(q.take())    // a wake-up now is lost
    default:                            }
    }

One slot remembers that there is something new. The same for who looks under a lock, and waits
when it has given the lock back:

    c.mu.Lock()                         c.mu.Lock()
    c.busy = true                       if !c.busy {
    select {                                c.mu.Unlock()       // a wake-up here is lost
    case c.wake <- struct{}{}:              <-c.wake
    default:
    }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import with_capacity
from threadmend.golang.calls import callers
from threadmend.golang.channel_index import Behind, behind
from threadmend.golang.channels import ChannelOperation
from threadmend.golang.file import GoFile
from threadmend.golang.functions import remarks_beside
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.locks import declaration_of, held_at
from threadmend.golang.stops import endless
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.targets import is_closed
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["remembered", "wakes_lost"]

_SENDS = re.compile(rb"<-\s*(?:struct\s*\{\s*\}\s*\{\s*\}|true)\s*:")
_REASON = "a wake-up now waits for the worker"


def wakes_lost(file: GoFile) -> Iterator[Finding]:
    """Yield the sends that nobody takes while the one worker is not at its receive."""
    if file.is_test and not is_closed(file.package):
        return
    for send in file.find("send_statement", _SENDS):
        if not _is_tried(send) or not _changes(file, send):
            continue
        if _comes_again(send) or _is_dropped_on_purpose(send):
            continue
        channel = behind(file, send)
        if not channel.known or not channel.unbuffered or channel.of("len", "compare"):
            continue
        sends = [o for o in channel.of("send") if o.file.is_test == file.is_test]
        receives = channel.of("receive", "range")
        receives = [o for o in receives if o.file.is_test == file.is_test]
        if sends[0].node is not send or len(receives) != 1:
            continue
        if not all(_is_tried(o.node) for o in sends):
            continue
        if _works(receives[0]) or _looked_before(file, send, receives[0]):
            yield _finding(file, send, channel, receives[0])


def _is_tried(send: Node) -> bool:
    """Return whether a send is the one case of a select whose default does nothing."""
    case = send.parent
    select = case.parent if case is not None and send.field == "communication" else None
    if case is None or select is None or case.statements:
        return False
    clauses = [c for c in select.children if c.kind in {"communication_case", "default_case"}]
    default = next((c for c in clauses if c.kind == "default_case"), None)
    return len(clauses) == 2 and default is not None and not default.statements


def _comes_again(send: Node) -> bool:
    """Return whether a timer gives the signal: `case <-ticker.C:`, and the next one soon."""
    outer = send.up("select_statement")
    case = outer.up("communication_case", *FUNCTIONS) if outer is not None else None
    if case is None or case.kind != "communication_case":
        return False
    return _TIMED.search(case["communication"].text) is not None


def _is_dropped_on_purpose(send: Node) -> bool:
    """Return whether a comment at the select, or of its function, says why a signal may be dropped.

    `default: // the handler is active or in cooldown`
    """
    select = send.up("select_statement")
    function = send.function
    if select is None or function is None:
        return False
    tree = send.tree
    before = select.previous
    start = before.end if before is not None else function["body"].start
    own = [tree.data[c.start : c.end] for c in tree.comments_in(start, select.end)]
    said = b" ".join([*own, *remarks_beside(select)])
    return _BUSY.search(said) is not None


_BUSY = re.compile(
    rb"(?i)\balready\b|\bactive\b|\bbusy\b|in progress|\brunning\b|cool-?down|\bdrop|\bskip"
    rb"|\bignor|\bpending\b|\bno need\b|\bcoalesc"
)
_CHANGES = ("assignment_statement", "inc_statement", "dec_statement")
_STORES = re.compile(rb"\.(?:Store|Add|Swap|CompareAndSwap|Push\w*|Set|Put|Insert)$")


def _changes(file: GoFile, wake: Node, depth: int = 1) -> bool:
    """Return whether the function, or its caller, changes what others see before it wakes."""
    function = wake.function
    for node in function["body"].own() if function is not None else ():
        if node.start >= wake.start:
            break
        if node.kind in _CHANGES:
            target = node.children[0]
            target = target.children[0] if target.kind == "expression_list" else target
            binding = file.binding(target) if target.kind == "identifier" else None
            if binding is None or binding.function is not function:
                return True
        elif node.kind == "call_expression" and _STORES.search(node["function"].text):
            return True
    decl = declaration_of(file, function) if function is not None and depth else None
    sites = callers(decl) if decl is not None else []
    return any(_changes(s.file, s.call, depth - 1) for s in sites if s.call is not None)


_TIMED = re.compile(rb"(?i)\.C$|\bafter\(|tick|timer")


def _works(receive: ChannelOperation) -> bool:
    """Return whether an endless loop receives, works, and would wait for the next wake-up."""
    loop = innermost_loop(receive.node)
    if receive.kind == "range":
        loop = receive.node.parent
    elif loop is not None and not endless(loop):
        return False
    if loop is None:
        return False
    select = receive.select
    for case in select.children if select is not None else ():
        if case.kind == "default_case":
            return False
        communication = case.get("communication")
        if communication is not None and _TIMED.search(communication.text):
            return False  # it looks by itself from time to time
    calls = loop["body"].find("call_expression")
    return any(c.start > receive.node.end and not c.text.endswith(b".Done()") for c in calls)


def _looked_before(file: GoFile, send: Node, receive: ChannelOperation) -> bool:
    """Return whether the test that leads to the wait was made under the lock of who wakes, and
    the lock given back in between.
    """
    test = receive.node.up("if_statement")
    if receive.kind == "range" or test is None or test.function is not receive.node.function:
        return False
    if receive.select is not None and len(receive.select.children) > 1:
        return False
    changing = {held.lock_class for held in held_at(file, send)}
    asking = {held.lock_class for held in held_at(receive.file, test["condition"])}
    waiting = {held.lock_class for held in held_at(receive.file, receive.node)}
    return bool(changing & asking - waiting - {None})


def _finding(file: GoFile, send: Node, channel: Behind, receive: ChannelOperation) -> Finding:
    name = send["channel"].name
    edits = _one_slot(channel)
    title = f"Make {name.rpartition('.')[2]} with a buffer of 1"
    at = receive.node
    return Finding(
        path=file.path,
        start=send.start,
        end=send.end,
        message=f"a signal on {name} is lost while the goroutine that waits for it works",
        fixes=(Fix(title, edits, Safety.UNSAFE, _REASON),),
        related=(Related(at.path, at.start, at.end, "received here"),),
    )


def _one_slot(channel: Behind) -> tuple[Edit, ...]:
    makes = [(m.call, m.maker) for m in channel.shared.makes] if channel.shared is not None else []
    makes += [(c.make, c.maker) for c in channel.local]
    return tuple(with_capacity(make, "1", maker) for make, maker in makes)


def remembered(file: GoFile, receive: Node) -> tuple[Edit, ...]:
    """Return the slot that an unbuffered channel needs when its receive leaves a lock.

    Who only tries to send found the receiver either waiting or, under the lock, not yet looking;
    without the lock there is a time in between.
    """
    channel = behind(file, receive)
    if not channel.known or not channel.unbuffered or channel.of("len", "compare", "close"):
        return ()
    sends = channel.of("send")
    return _one_slot(channel) if sends and all(_is_tried(o.node) for o in sends) else ()
