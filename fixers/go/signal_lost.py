"""Wake the goroutines that wait on a condition variable, and let them look again

A condition variable remembers nothing: `Wait` returns for any reason, `Signal` wakes one
waiter and not the one that was meant, and a wake-up that comes between a waiter's test and its
`Wait` is gone. What is left is a goroutine that sleeps for ever beside work that is ready, or
one that goes on with a queue that is empty again.

Nine forms are found:
- `if` in place of `for` around Wait: another goroutine may have taken what was signalled;
- `Signal` where goroutines wait on the same variable for different conditions (each for a key of
  its own), or for a flag that none of them takes back, so that nobody wakes the others;
- a state that changes without the lock before it is signalled;
- a signal that is sent, without the lock, before the state changes;
- a Wait that nothing is tested for, so that an earlier signal is lost;
- a Wait on a field that no code signals;
- a loop whose condition nothing can change;
- `cond.Wait` as a value: it runs once, and gives back the lock of whoever holds it;
- a change of state whose signal goes to an unbuffered channel of the object, or nowhere at all
  when the goroutine that waits for it is at work.

Not reported: a Wait whose caller tests again; a signal before the change under one lock; a
condition variable that is passed on, so that its signals may be out of sight; elements of a
slice of them (`conds[worker].Signal()`), which two goroutines share.

Unsafe: waiters run at other times than before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.bodycalls import receiver_of
from threadmend.golang.conditions import (
    CondCall,
    cond_calls,
    loop_condition,
    state_names,
    wait_loop,
    waits_on,
)
from threadmend.golang.file import GoFile
from threadmend.golang.functions import outer_function
from threadmend.golang.locks import held_at
from threadmend.golang.stops import endless
from threadmend.golang.syntax import Node
from threadmend.model import Confidence, Edit, Finding, Fix, Safety

from ._signal_unlocked import by_helpers, unlocked
from ._unsignalled import never_changes, never_signalled, never_tested, wait_values
from ._wake_lost import wakes_lost
from ._woken import asked_by_callers, flag_set, given_to, many, passed_conditions

CATEGORY = "goroutine"
GATE = rb"\.(?:Wait|Signal|Broadcast)\(\)|\.Wait[,)]|<- (?:struct\{\}\{\}|true):"


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the waits that test once, and the signals that a waiter can miss."""
    for call in cond_calls(file):
        if call.method == "Wait":
            yield from _tested_once(call)
            yield from _ended_by_nobody(call)
        elif call.lock_class is not None and (call.statement is not None or call.deferred):
            yield from _signalled(call)
    for value in wait_values(file):
        message = f"{value.name} is passed on: it waits once, and with the lock of another"
        yield Finding(
            path=file.path,
            start=value.start,
            end=value.end,
            message=message,
            reason="what it waits for has to be tested in a loop around it",
        )
    yield from wakes_lost(file)


def _finding(
    call: CondCall, message: str, fix: Fix | str, confidence: Confidence = Confidence.HIGH
) -> Finding:
    found = not isinstance(fix, str)
    return Finding(
        path=call.file.path,
        start=call.call.start,
        end=call.call.end,
        message=message,
        fixes=(fix,) if isinstance(fix, Fix) else (),
        reason="" if found else str(fix),
        confidence=confidence,
    )


# -- Wait ------------------------------------------------------------------------------


def _tested_once(wait: CondCall) -> Iterator[Finding]:
    test = _test(wait)
    loop = wait_loop(wait)
    if test is None or wait.statement is None:
        return
    if loop is not None and not _goes_on(wait, test, loop):
        return
    message = f"{wait.cond.name}.Wait is not in a loop, so its condition may not hold afterwards"
    yield _finding(wait, message, _as_loop(test))


def _ended_by_nobody(wait: CondCall) -> Iterator[Finding]:
    name = wait.cond.name
    condition = never_changes(wait)
    if never_signalled(wait):
        message = f"nobody signals {name}: who waits, waits for ever"
        yield _finding(wait, message, "no code wakes those who wait")
    elif condition is not None:
        message = f"{name}.Wait is in a loop over {condition.name}, which nothing changes"
        yield _finding(wait, message, "what ends the loop cannot be told")
    elif never_tested(wait):
        message = f"{name}.Wait tests nothing: a signal that came before it is lost"
        yield _finding(wait, message, "no state says what it waits for", Confidence.MEDIUM)


def _test(wait: CondCall) -> Node | None:
    """Return the `if` whose body ends with the Wait."""
    block = wait.statement.parent if wait.statement is not None else None
    if block is None or block.kind != "block" or block.statements[-1] is not wait.statement:
        return None
    test = block.parent
    if test is None or test.kind != "if_statement" or block.field != "consequence":
        return None
    return test


def _goes_on(wait: CondCall, test: Node, loop: Node) -> bool:
    """Return whether an endless loop around the test uses the state without testing again."""
    if not endless(loop) or test.parent is not loop["body"]:
        return False
    later = [s for s in loop["body"].statements if s.start > test.end]
    names = state_names(wait.file, test["condition"])
    if not later or later[0].kind in {"if_statement", "continue_statement"}:
        return False
    if _looks_again(later):
        return False
    if re.search(rb"\.R?Unlock\(\)$", later[0].text) and len(later) == 1:
        return False
    return any(node.name in names for s in later for node in s.find("field_identifier"))


def _looks_again(later: list[Node]) -> bool:
    """Return whether the code takes a part of the state and asks what it got: `m := s.head`."""
    taken = later[0]
    if taken.kind != "short_var_declaration" or len(taken["left"].children) != 1 or not later[1:]:
        return False
    asked = later[1].get("condition") if later[1].kind == "if_statement" else None
    name = taken["left"].children[0].text
    return asked is not None and any(n.text == name for n in asked.find("identifier"))


def _as_loop(test: Node) -> Fix | str:
    """Turn `if` into `for`.

    Sound: the loop goes on under the condition under which the Wait was entered.
    """
    if test.get("initializer") is not None:
        return "the test has a statement of its own"
    if test.get("alternative") is not None:
        return "the test has an else branch"
    if test["consequence"].statements[0].kind == "if_statement":
        return "the test holds another one"
    edit = Edit(test.path, test.start, test.start + len("if"), b"for")
    reason = "the goroutine waits again when the condition does not hold yet"
    return Fix("Wait in a loop over the condition", (edit,), Safety.UNSAFE, reason)


# -- Signal and Broadcast ----------------------------------------------------------------


def _signalled(call: CondCall) -> Iterator[Finding]:
    waits = waits_on(call.file.package, call.lock_class or "")
    conditions = [(wait, node) for wait in waits for node in _conditions(wait)]
    if not conditions:
        return
    if call.method == "Signal":
        yield from _wakes_too_few(call, waits, conditions)
    names = frozenset().union(*(state_names(wait.file, node) for wait, node in conditions))
    for each in (call, *by_helpers(call)):
        if not held_at(each.file, each.call):
            for message, fix in unlocked(each, names):
                yield _finding(each, message, fix)


def _conditions(wait: CondCall) -> list[Node]:
    """Return what a Wait waits for: its own condition, or those of its function's callers."""
    condition = _condition(wait)
    if condition is None:
        return asked_by_callers(wait)
    passed = passed_conditions(wait, condition)
    return [condition] if passed is None else passed


def _condition(wait: CondCall) -> Node | None:
    """Return the condition of a Wait's loop, or of its `if`."""
    loop, test = wait_loop(wait), _test(wait)
    if loop is not None and not endless(loop):
        return loop_condition(loop)
    return test["condition"] if test is not None else None


def _wakes_too_few(
    call: CondCall, waits: list[CondCall], conditions: list[tuple[CondCall, Node]]
) -> Iterator[Finding]:
    tested = [state_names(wait.file, node) for wait, node in conditions]
    texts: dict[bytes, set[str]] = {}  # of each type: two that embed one gate have a gate each
    for wait, node in conditions:
        texts.setdefault(_owner(node), set()).add(_normal(wait, node))
    differ = any(len(some) > 1 for some in texts.values())
    name = call.cond.name
    if any(one.cond.kind == "index_expression" for one in (call, *waits)):
        return  # each pair of goroutines has its own: one of them waits at a time
    if differ and {w.call for w, _ in conditions} == {w.call for w in waits}:
        message = f"{name}.Signal may wake a goroutine that waits for something else"
        yield _finding(call, message, _broadcast(call))
        return
    given = next((g for g in (given_to(w, c) for w, c in conditions) if g is not None), None)
    if given is not None:
        message = f"{name}.Signal may wake a goroutine that waits for another {given}"
        yield _finding(call, message, _broadcast(call))
        return
    flag = flag_set(call, waits, frozenset().union(*tested))
    if flag is not None and any(many(wait) for wait in waits):
        message = f"{name}.Signal wakes one of the goroutines that wait for {flag}"
        yield _finding(call, message, _broadcast(call))


def _owner(condition: Node) -> bytes:
    """Return the type whose method tests a condition, empty for a function."""
    outer = outer_function(condition)
    receiver = outer.get("receiver") if outer is not None else None
    return receiver.children[0]["type"].text.lstrip(b"*") if receiver is not None else b""


def _normal(wait: CondCall, condition: Node) -> str:
    """Return a condition as text in which receivers of different names are alike."""
    text = " ".join(condition.name.split())
    root = wait.cond.name.partition(".")[0]
    outer = outer_function(condition)
    if outer is not None and outer is not outer_function(wait.call):
        receiver = receiver_of(outer)  # passed by a caller, in its own words
        root = receiver.name if receiver is not None else root
    return re.sub(rf"\b{re.escape(root)}\.", "_.", text)


def _broadcast(call: CondCall) -> Fix:
    """Wake all: each tests its own condition again.

    Sound: a waiter in a loop may be woken at any time.
    """
    field = call.call["function"]["field"]
    edit = Edit(field.path, field.start, field.end, b"Broadcast")
    return Fix("Wake all waiters", (edit,), Safety.UNSAFE, "all waiters wake up and test again")
