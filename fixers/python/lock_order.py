"""Take locks in one order

One thread has the first lock and waits for the second, another has the second and waits for the
first: both wait for ever. It takes two places that nest the same locks in different orders, in
one function each or through calls and callbacks, and a moment of bad luck. Or one place that takes
the locks of two objects as they come: `move(a, b)` meets `move(b, a)`.

Not reported: nestings under a third lock that both have, which keeps them apart; locks that are
tried or waited for with a time limit; code of initializers, which has the object for itself;
tests.

Unsafe: the locks are held longer, and in another order than before; or a call at the end of a
section comes behind it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.builders import BuilderError, replace, unwrap
from threadmend.python.file import PythonFile
from threadmend.python.flow import before, walk
from threadmend.python.lockorder import Nesting, circles
from threadmend.python.locks import Section
from threadmend.python.places import Place

from ._behind import moved_behind
from ._families import families
from ._gates import is_gate
from ._reentrant import is_looked_at, make_reentrant
from ._through_callbacks import all_nestings
from ._twins import Twins, in_one_order, twins

CATEGORY = "lock"
GATE = rb"\bwith\b|\.acquire\(|@[\w.]*(?i:lock|sync|mutex|exclusive)"

_Edge = tuple[str, str]


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the nestings whose order is against that of other code."""
    if file.is_test:
        return
    for pair in twins(file):
        yield _by_arguments(file, pair)
    by_edge: dict[_Edge, list[Nesting]] = {}
    for nesting in (n for one in _together(file) for n in all_nestings(one)):
        if _counts(nesting):
            by_edge.setdefault(_edge(nesting), []).append(nesting)
    for victim in _victims(by_edge):
        against = _against(victim, by_edge)
        for nesting in by_edge[victim]:
            rivals = [n for n in against if not _is_gated(nesting, n)]
            if nesting.file is file and rivals:
                yield _finding(file, nesting, rivals[0])


def _together(file: PythonFile) -> list[PythonFile]:
    """Return a file and those whose locks it takes under its own, and so on: in an order that is
    the same for each of them, so that they agree whose order is the wrong one.
    """
    found, pending = {file}, [file]
    while pending:
        others = {n.inner.file for n in all_nestings(pending.pop())} - found
        found |= others
        pending += others
    return sorted(found, key=lambda one: one.path)


# -- find -----------------------------------------------------------------------------------


def _counts(nesting: Nesting) -> bool:
    """Return whether a thread may wait here: not for a lock that it tries, not alone."""
    if nesting.held.anywhere == nesting.inner.place.anywhere and families(nesting) is None:
        return False
    if nesting.file.is_test:
        return False
    function = nesting.function
    if function is not None and function.home is not None and function in function.home.init_only:
        return False
    if nesting.inner.place in _around(nesting):
        return False  # it was taken before, and is re-entrant
    if is_gate(nesting.file, nesting.held) or is_gate(nesting.inner.file, nesting.inner.place):
        return False
    return nesting.outer.waits and nesting.inner.section.waits


def _around(nesting: Nesting) -> frozenset[Place]:
    """Return what is held where the outer lock is taken."""
    outer = nesting.outer
    return nesting.file.held(outer.item if outer.kind == "with" else outer.start).locks


def _edge(nesting: Nesting) -> _Edge:
    both = _name(nesting.held), _name(nesting.inner.place)
    kin = families(nesting) if both[0] == both[1] else None
    return both if kin is None else (f"{both[0]} {kin[0]}", f"{both[1]} {kin[1]}")


def _name(place: Place) -> str:
    return "/".join(place.anywhere)


def _victims(by_edge: dict[_Edge, list[Nesting]]) -> list[_Edge]:
    """Return the orders that are against the others: of each circle one whose file leads to the
    others (that of a base does not lead to those below), that can be turned, then the rarest, then
    the last.
    """
    found: list[_Edge] = []
    left = set(by_edge)
    while True:
        groups = circles(left)
        if not groups:
            return found
        inside = [edge for edge in by_edge if edge in left and set(edge) <= set(groups[0])]
        all_of_it = {n.file for edge in inside for n in by_edge[edge]}
        victim = max(inside, key=lambda edge: (
            all(all_of_it <= {*_together(n.file)} for n in by_edge[edge]),
            *_turning(by_edge[edge]), -len(by_edge[edge]), inside.index(edge)
        ))  # fmt: skip
        found.append(victim)
        left.discard(victim)


def _turning(some: list[Nesting]) -> tuple[bool, bool]:
    """Return whether the order of nestings can be turned, and without a look into calls."""
    is_direct = all(not n.inner.calls for n in some)
    try:
        for one in some:
            _fix(one.file, one, "", "")
    except BuilderError:
        return False, is_direct
    return True, is_direct


def _against(victim: _Edge, by_edge: dict[_Edge, list[Nesting]]) -> list[Nesting]:
    """Return the nestings of a way from the inner lock of an order back to the outer one."""
    held, taken = victim
    if (taken, held) in by_edge:
        return by_edge[taken, held]
    seen, pending = {taken}, [taken]
    first: list[Nesting] = []
    while pending:
        at = pending.pop()
        for (start, end), some in by_edge.items():
            if start == at and end not in seen:
                first = first or some
                seen.add(end)
                pending.append(end)
    return first


def _is_gated(one: Nesting, other: Nesting) -> bool:
    """Return whether both happen under a third lock."""
    both = [{p.anywhere for p in _around(n)} for n in (one, other)]
    locks = {place.anywhere for n in (one, other) for place in (n.held, n.inner.place)}
    return bool((both[0] & both[1]) - locks)


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, one: Nesting, other: Nesting) -> Finding:
    held, taken = one.outer.name(file), one.inner.section.name(one.inner.file)
    is_of_two = held == taken
    if is_of_two:
        held, taken = _shown(one.held, one.outer), _shown(one.inner.place, one.inner.section)
    node: ast.AST = one.inner.calls[0] if one.inner.calls else one.inner.section.item
    start, end = file.span(node)
    where = other.function.qualname if other.function is not None else other.file.path
    how = f", in {file.text(node)}" if one.inner.calls else ""
    said = f"{taken} is taken under {held}{how}; {where} takes them in the other order"
    related = [Related(file.path, *file.span(one.outer.item), f"{held} is taken here")]
    for nesting, section in ((other, other.outer), (other, other.inner.section)):
        at = nesting.file if section is other.outer else nesting.inner.file
        shown = _shown(section.lock.place, section) if is_of_two else section.name(at)
        text = f"{shown} is taken here, by {where}"
        related.append(Related(at.path, *at.span(section.item), text))
    try:
        fix = _fix(file, one, held, taken)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=tuple(related), reason=str(error))
    return Finding(file.path, start, end, said, fixes=(fix,), related=tuple(related))


def _shown(place: Place, section: Section) -> str:
    """Return how a lock is called that another class has by the same name."""
    home = None if section.function is None or place.kind != "attribute" else section.function.home
    return str(place) if home is None or place.base == "class" else f"{home.name}.{place.name}"


def _fix(file: PythonFile, one: Nesting, held: str, taken: str) -> Fix:
    """Return the fix that turns the order, else the one that needs no order."""
    try:
        edits = _edits(file, one)
    except BuilderError as error:
        if not one.inner.calls:
            raise
        try:
            edits = moved_behind(file, one.outer, one.inner.calls[0])
        except BuilderError:
            raise error from None
        name = file.text(one.inner.calls[0]).partition("(")[0]
        reason = "others may come between the section and the call"
        return Fix(f"Call {name} behind {held}", edits, Safety.UNSAFE, reason)
    reason = "the locks are held longer, and in another order"
    return Fix(f"Take {taken} before {held}", edits, Safety.UNSAFE, reason)


def _by_arguments(file: PythonFile, pair: Twins) -> Finding:
    """Return the finding of two objects' locks: `move(a, b)` and `move(b, a)` meet."""
    start, end = file.span(pair.second)
    first, second = file.text(pair.first), file.text(pair.second)
    said = f"{first} and {second} are taken in the order of the arguments, which may be any"
    related = (Related(file.path, *file.span(pair.first), f"{first} is taken here"),)
    try:
        edits = in_one_order(file, pair)
    except BuilderError as error:
        return Finding(file.path, start, end, said, related=related, reason=str(error))
    reason = "both locks are held from the start"
    fix = Fix("Take the locks in one order for all", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=related)


def _edits(file: PythonFile, one: Nesting) -> tuple[Edit, ...]:
    """Draw `with a: x(); with b: y()` as `with b, a: x(); y()`."""
    outer, inner = one.outer, one.inner.section
    if any(_is_method(node, "wait", "wait_for") for node in walk(outer.body)):
        raise BuilderError("the code waits for somebody in between")
    if one.inner.calls:
        return _taken_before(file, one)
    if isinstance(outer.start, ast.FunctionDef) or isinstance(inner.start, ast.FunctionDef):
        raise BuilderError("a decorator takes the lock")
    if any(_is_named(section) for section in (outer, inner)):
        raise BuilderError("what a context manager gives has a name")
    if file.function(inner.start) is not outer.function:
        raise BuilderError("the second lock is taken by another function")
    if inner.start is outer.start or _is_adjacent(outer, inner):
        return _swapped(file, (outer, inner))
    start, end = outer.start, inner.start
    if not isinstance(start, ast.With | ast.AsyncWith) or type(start) is not type(end):
        raise BuilderError("the locks are not taken by with statements")
    assert isinstance(end, ast.With | ast.AsyncWith)
    if len(end.items) != 1:
        raise BuilderError("the inner statement takes several locks")
    if outer.body == [end]:
        return _swapped(file, (outer, inner))
    both = f"{file.text(inner.item)}, {file.text(outer.item)}"
    return (*_replaced(file, outer.item, both), *unwrap(file, end))


def _is_named(section: Section) -> bool:
    items = getattr(section.start, "items", [])
    return any(i.context_expr is section.item and i.optional_vars is not None for i in items)


def _taken_before(file: PythonFile, one: Nesting) -> tuple[Edit, ...]:
    """Take the lock that a call takes before the other one; it has to be re-entrant then."""
    place, taking = one.inner.place, one.inner
    name = ""
    if place.kind == "global" and place.owner == file.module:
        name = place.name
    elif place.kind == "global":
        name = _through_module(file, one)
    elif place.base == "self" and one.function is not None and one.function.self_name:
        name = f"{one.function.self_name}.{place.name}"
    if not name or one.outer.kind != "with" or taking.lock.family == "async":
        raise BuilderError("the second lock is taken by another function")
    edits = _replaced(file, one.outer.item, f"{name}, {file.text(one.outer.item)}")
    if taking.lock.reentrant:
        return edits
    if is_looked_at(taking.file, taking.lock):
        raise BuilderError("the second lock is taken by another function")
    return (*edits, *make_reentrant(taking.file, taking.section))


def _through_module(file: PythonFile, one: Nesting) -> str:
    """Return how the lock of another module is written in front of the outer section, empty where
    the module has no name there: `plugins.lock`, as the call says `plugins.names()`.
    """
    call = one.inner.calls[0]
    func = call.func if isinstance(call, ast.Call) else None
    module = func.value if isinstance(func, ast.Attribute) else None
    if module is None or file.qualified(module) != one.inner.place.owner:
        return ""
    root: ast.expr = module
    while isinstance(root, ast.Attribute):
        root = root.value
    binding = file.binding(root)
    sites = [] if binding is None else binding.sites
    if len(sites) != 1 or sites[0].kind != "import":
        return ""
    statement = sites[0].node
    if file.function(statement) is not None and statement not in before(one.outer.start):
        return ""
    return f"{file.text(module)}.{one.inner.place.name}"


def _replaced(file: PythonFile, node: ast.expr, text: str) -> tuple[Edit, ...]:
    return (Edit(file.path, *file.span(node), file.encode(text)),)


def _swapped(file: PythonFile, sections: Iterable[Section]) -> tuple[Edit, ...]:
    first, second = (section.item for section in sections)
    return (*replace(file, first, file.text(second)), *replace(file, second, file.text(first)))


def _is_adjacent(outer: Section, inner: Section) -> bool:
    """Return whether `a.acquire()` stands right before `b.acquire()`, or both go to a stack."""
    same = outer.kind == inner.kind and outer.kind in {"acquire", "stacked"}
    return same and outer.body[:1] == [inner.start]


def _is_method(node: ast.AST, *names: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
    )
