"""Methods that leave the lock out which all others hold for what they change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from threadmend.model import Confidence, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, replace
from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import block_of, enclosing, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.guards import Guard, guards_of, is_named_for
from threadmend.python.held import callers_seem_to_hold
from threadmend.python.locks import Lock, Section
from threadmend.python.threads import reached
from threadmend.python.uses import AttributeUse

from ._deque_ends import are_at_its_ends
from ._guarding import check_apart, raced
from ._hold import edits_of, plan_of
from ._uneven import entered, guarded_data, is_left_out, is_made_with, lock_of, locks_itself
from ._unit import Unit
from ._waiting import is_plain

__all__ = ["Forgotten", "forgotten"]

_FEW = 2
"""Uses elsewhere without the lock may be glances at the value: of two, one is locked."""
_MOST = 6
"""Where so many uses are under the lock and one is not, that one was forgotten, whatever it is."""
_MANY = 4
"""So many uses under the lock say what a private helper is to do as well."""
_LOOKUPS = frozenset({"KeyError", "IndexError", "LookupError"})
_IN_PLACE = frozenset({"mutate", "augment", "delete"})


@dataclass(frozen=True, slots=True, eq=False)
class Forgotten:
    """A public method that changes an attribute without the lock that the others all hold.

    `instead` is a section of another lock, which nothing in it needs, that it does so in.
    """

    file: PythonFile
    cls: Class
    guard: Guard
    lock: Lock
    function: Function
    uses: list[AttributeUse]
    instead: Section | None = None

    def finding(self, said: str) -> Finding:
        """Return the finding, with the fix that takes the lock around all uses; `said` gets
        the attribute, the lock and the number of the other uses.
        """
        return _finding(self, said)


def forgotten(file: PythonFile) -> list[Forgotten]:
    """Return the methods of a file that leave out a lock, each once for one lock."""
    known: list[Forgotten] | None = file.__dict__.get("_forgotten")
    if known is None:
        known = file.__dict__["_forgotten"] = [] if file.is_test else list(_forgotten(file))
    return known


def _forgotten(file: PythonFile) -> Iterator[Forgotten]:
    for cls in file.classes:
        seen: set[tuple[Function, str]] = set()
        for guard in guards_of(cls).values():
            lock = lock_of(file, cls, guard) if guard.unlocked and guard.is_meant else None
            if lock is None or are_at_its_ends(cls, guard):
                continue
            for function in dict.fromkeys(use.function for use in guard.unlocked):
                if function.file is not file or function.home is not cls:
                    continue
                uses = [use for use in guard.unlocked if use.function is function]
                key = (function, lock.place.name)
                if key in seen or not _is_alone(guard, function, uses):
                    continue
                if _may_hold(file, function, lock) or _is_told(file, cls, guard):
                    continue
                if is_made_with(cls, lock, file.held(uses[0].node)):
                    continue
                seen.add(key)
                instead = _instead(file, cls, uses)
                yield Forgotten(file, cls, guard, lock, function, uses, instead)


def _is_alone(guard: Guard, function: Function, uses: list[AttributeUse]) -> bool:
    """Return whether a method is the only one that changes an attribute without the lock, in
    place or by what it read.
    """
    if function.is_async or is_left_out(function):
        return False
    if len(guard.unlocked) == 1 and len(guard.locked) >= _MOST and not function.is_private:
        if len({use.function for use in guard.locked}) >= _MANY and not guard.unsure:
            return uses[0].mode in _IN_PLACE
    if any("property" in name for name in function.decorators):
        return False  # whoever reads it may hold the lock: that is seen of calls alone
    if any(_is_expected(use) or locks_itself(use) for use in uses):
        return False
    if any(use.function is function for use in (*guard.locked, *guard.unsure)):
        return False  # it knows of the lock
    others = [use for use in guard.unlocked if use.function is not function]
    others = [use for use in others if use.changes or not _is_answer(use.function)]
    if is_named_for(guard.lock.name, guard.name) and not function.is_private:
        # What the lock is for needs no majority to say so.
        if any(use.mode in _IN_PLACE for use in guard.locked):
            return any(use.mode in _IN_PLACE for use in uses)
    if any(use.changes for use in others) or _FEW * len(others) > len(guard.locked):
        return False
    if function.is_private and (
        others
        or not function.is_only_called
        or len(function.callers) < 2
        or len(guard.locked) < _MANY
    ):
        return False
    if len({use.function for use in guard.locked}) < 2:
        return not others and any(use.mode == "augment" for use in uses)
    if any(use.mode in _IN_PLACE for use in uses):
        return True
    return any(use.changes for use in uses) and any(_decides(use) for use in uses)


def _is_answer(function: Function) -> bool:
    """Return whether a function does nothing but return: `return len(self.jobs)`."""
    body = getattr(function.node, "body", None)
    if not isinstance(body, list):
        return False
    code = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return len(code) == 1 and isinstance(code[0], ast.Return)


def _is_expected(use: AttributeUse) -> bool:
    """Return whether the code is ready for others that are faster: `except IndexError`."""
    for above in enclosing(use.node, ast.Try):
        assert isinstance(above, ast.Try)
        for handler in above.handlers:
            named = [] if handler.type is None else list(ast.walk(handler.type))
            if any(isinstance(n, ast.Name) and n.id in _LOOKUPS for n in named):
                return True
    return False


def _decides(use: AttributeUse) -> bool:
    """Return whether a use is part of a test."""
    for above in enclosing(use.node, ast.If, ast.While):
        assert isinstance(above, ast.If | ast.While)
        if use.node in ast.walk(above.test):
            return True
    return False


def _instead(file: PythonFile, cls: Class, uses: list[AttributeUse]) -> Section | None:
    """Return the section that all uses are in and that none of its lock's own data are in, nor
    any lock in what it calls: whoever wrote it took the wrong lock.
    """
    for section in file.sections:
        inside = set(walk(section.body))
        if section.kind != "with" or not all(use.node in inside for use in uses):
            continue
        if section.lock.family != "thread" or len(section.start.items) != 1:  # type: ignore[attr-defined]
            continue
        calls = [node for node in inside if isinstance(node, ast.Call)]
        callees = [function_of(file, call.func) for call in calls]
        functions = {f for callee in callees if callee is not None for f in reached(callee)}
        own = [g for g in guards_of(cls).values() if g.lock == section.lock.place]
        touched = (u for g in own for u in (*g.locked, *g.unlocked, *g.unsure))
        if any(use.node in inside or use.function in functions for use in touched):
            continue
        if not own or any(s.function in functions or s.start in inside for s in file.sections):
            continue
        return section
    return None


def _may_hold(file: PythonFile, function: Function, lock: Lock) -> bool:
    """Return whether somebody calls a method with the lock, or it deals with locks by hand, or a
    comment in it speaks of the lock: whoever wrote it had thought of it.
    """
    start, end = file.span(function.node)
    name = re.escape(file.encode(lock.place.name.rpartition(".")[2]))
    if re.search(rb"#[^\n]*\b" + name + rb"\b", file.data[start:end]):
        return True
    if any(isinstance(call.func, ast.Attribute) and call.func.attr in {"acquire", "release"}
           for call in function.calls):  # fmt: skip
        return True
    if callers_seem_to_hold(function, lock.place):
        return True
    return any(
        lock.place in held or held.unknown
        for held in (site.file.held(site.call) for site in function.callers)
    )


def _is_told(file: PythonFile, cls: Class, guard: Guard) -> bool:
    """Return whether threads are seen to race for the attribute: another rule tells that."""
    return any(data.cls is cls and data.name == guard.name for data, _ in raced(file))


def _finding(one: Forgotten, said: str) -> Finding:
    file, guard, lock = one.file, one.guard, one.lock
    use = next((u for u in one.uses if u.changes), one.uses[0])
    start, end = file.span(use.node)
    said = said.format(ast.unparse(use.node), lock.place.name, len(guard.locked))
    related: tuple[Related, ...] = ()
    other = next((u for u in guard.locked if u.function.file is file), None)
    if other is not None:
        seen = f"{ast.unparse(other.node)} is used under {lock.place.name} here"
        related = (Related(file.path, *file.span(other.node), seen),)
    level = Confidence.MEDIUM
    spelled = f"{ast.unparse(use.owner)}.{lock.place.name}"
    if one.instead is not None:
        text = file.text(one.instead.item)
        said = f"{ast.unparse(use.node)} is changed under {text}, but elsewhere under {spelled}"
        edits = replace(file, one.instead.item, spelled)
        reason = f"it no longer waits for {text}"
        fix = Fix(f"Hold {spelled} in place of it", edits, Safety.UNSAFE, reason)
        return Finding(file.path, start, end, said, (fix,), related, confidence=level)
    try:
        plan = plan_of(_unit(one, use))
        edits = (*entered(file, lock, one.function, plan), *edits_of(plan, spelled))
        check_apart([*edits])
    except BuilderError as error:
        return Finding(file.path, start, end, said, (), related, str(error), confidence=level)
    fix = Fix(f"Hold {spelled} here as well", edits, Safety.UNSAFE, f"it waits for {spelled}")
    return Finding(file.path, start, end, said, (fix,), related, confidence=level)


def _unit(one: Forgotten, use: AttributeUse) -> Unit:
    """Return the unit of all that a method does with what the lock is there for."""
    nodes = [
        other.node
        for guard in guards_of(one.cls).values()
        if guard.lock == one.guard.lock
        for other in guard.unlocked
        if other.function is one.function
    ]
    data = guarded_data(one.file, one.cls, one.guard)
    mine = next(u for u in data.uses if u.node is use.node)
    block = _common(one.file, nodes)
    if _takes_it_again(one, block) or _does_more(one.file, block, nodes):
        block = _common(one.file, [u.node for u in one.uses])
    return Unit("check", data, mine, block)


def _takes_it_again(one: Forgotten, block: Sequence[ast.stmt]) -> bool:
    """Return whether the method takes the lock for the rest: to hold it from here to there is not
    meant.
    """
    inside = {*walk(block)}
    return any(s.start in inside and s.lock.place == one.lock.place for s in one.file.sections)


def _does_more(file: PythonFile, block: Sequence[ast.stmt], nodes: Sequence[ast.AST]) -> bool:
    """Return whether statements in between have nothing to do with what the lock is there for, and
    call who knows what.
    """
    return any(
        not any(node in inside for node in nodes)
        and any(isinstance(n, ast.Call) and not is_plain(file, n) for n in inside)
        for statement in block
        if (inside := {*ast.walk(statement)})
    )


def _common(file: PythonFile, nodes: Sequence[ast.AST]) -> list[ast.stmt]:
    """Return the statements of one block, from the first to the last that some nodes are in."""
    chains = []
    for node in nodes:
        at = file.statement(node)
        chain = [at]
        for above in enclosing(at, ast.stmt):
            assert isinstance(above, ast.stmt)
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                break
            chain.append(above)
        chains.append(chain[::-1])
    depth = 0
    while all(len(c) > depth + 1 for c in chains) and len({c[depth] for c in chains}) == 1:
        if any(n in ast.walk(_head(chains[0][depth])) for n in nodes):
            break
        if len({id(block_of(c[depth + 1])) for c in chains}) > 1:
            break
        depth += 1
    block = block_of(chains[0][depth])
    places = [block.index(c[depth]) for c in chains]
    return block[min(places) : max(places) + 1]


def _head(statement: ast.stmt) -> ast.AST:
    """Return what a compound statement evaluates before its blocks."""
    for name in ("test", "iter", "subject"):
        found = getattr(statement, name, None)
        if isinstance(found, ast.AST):
            return found
    return ast.Pass()
