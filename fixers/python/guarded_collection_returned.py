"""Return a copy

A method takes a lock and returns the collection that the lock guards. The caller gets the
object itself: it reads and loops over it with no lock at all while other threads change it. The
lock guarded the reading of a name. The same goes for a variable that is set under the lock and
used behind it.

Not reported: copies; immutable values; collections that are never changed in place, or that
the section replaces by a new one (a hand-over); helpers whose callers hold the lock.

Unsafe: code that changed the collection through what it got now changes a copy.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.python.api import MUTATORS
from threadmend.python.borrowed import all_sections
from threadmend.python.builders import BuilderError, free_name, insert_before, replace
from threadmend.python.file import PythonFile
from threadmend.python.flow import always_leaves, before, enclosing, walk
from threadmend.python.functions import Function, function_of
from threadmend.python.held import callers_hold
from threadmend.python.locks import Section
from threadmend.python.scope import scope_of
from threadmend.python.uses import is_self, use_mode

from ._guarded import Guarded, guarded
from ._inner_collections import Inner, inner_returned
from ._old_python import views_are_copies

CATEGORY = "shared-state"
GATE = rb"\bwith\b|\.acquire\("

_PLAIN = frozenset({"list", "dict", "set"})
_COPIED = frozenset(
    {"bytearray", "collections.deque", "collections.defaultdict", "collections.OrderedDict",
     "collections.Counter", "weakref.WeakSet", "weakref.WeakKeyDictionary",
     "weakref.WeakValueDictionary"}
)  # fmt: skip
_VIEWS = frozenset({"items", "values", "keys"})


def check(file: PythonFile) -> Iterator[Finding]:
    """Yield the collections that leave the section which guards them."""
    if file.is_test:
        return
    for one in guarded(file):
        if not any(_goes_on(other, node) for other, node in one.changed):
            continue
        for node, function in one.uses:
            section = _section(file, one, node)
            if section is None or _is_handed_over(file, section, node):
                continue
            if one.lock.place in callers_hold(function) or _is_changed_by_callers(function):
                continue
            if _is_final(file, one, node, section):
                continue
            given = _given(file, node)
            how = _leaves(file, given, section, function)
            if how:
                yield _finding(file, one, node, given, how)
            elif given is node and (other := _returned(file, node, section, function)):
                yield _finding(file, one, node, other, "returned")
    for inner in inner_returned(file):
        yield _finding_of_element(file, inner)


# -- find -----------------------------------------------------------------------------------


def _goes_on(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a change reaches those who have the object: not where it is filled for
    the first time (`if not self.rows:`), or right after it was made anew.
    """
    text = file.text(node)
    for test in enclosing(node, ast.If):
        tested = test.test  # type: ignore[attr-defined]
        if isinstance(tested, ast.UnaryOp) and isinstance(tested.op, ast.Not):
            if file.text(tested.operand) == text:
                return False
    function = file.function(node)
    if function is None:
        return True
    return not any(
        isinstance(other, ast.Name | ast.Attribute)
        and use_mode(other) == "write"
        and other.lineno < node.lineno
        and file.text(other) == text
        and not _is_other_name(file, other)
        for other in function.own
    )


def _is_other_name(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a variable only stands for an attribute: `rows = self.rows`."""
    place = file.place(node) if isinstance(node, ast.Name) else None
    return place is not None and place.kind == "attribute"


def _section(file: PythonFile, one: Guarded, node: ast.expr) -> Section | None:
    """Return the section of the guarding lock that a use is in."""
    for section in all_sections(file):
        if section.lock.place == one.lock.place and any(
            above in section.body for above in file.ancestors(node)
        ):
            return section
    return None


def _is_handed_over(file: PythonFile, section: Section, node: ast.expr) -> bool:
    """Return whether the section puts another collection in its place, also by a helper of the
    object: `rows = self.rows`, and then `self._reset()`.
    """
    text = file.text(node)
    if any(
        isinstance(other, ast.Name | ast.Attribute)
        and use_mode(other) in {"write", "delete"}
        and file.text(other) == text
        for other in walk(section.body)
    ):
        return True
    if not isinstance(node, ast.Attribute) or not is_self(file, node.value):
        return False
    called = (one for one in walk(section.body) if isinstance(one, ast.Call))
    return any(_replaces(function_of(file, call.func), call, node) for call in called)


def _replaces(helper: Function | None, call: ast.Call, node: ast.Attribute) -> bool:
    """Return whether a call behind a use is of a method of the object that sets the attribute."""
    func = call.func
    if helper is None or helper.home is None or not isinstance(func, ast.Attribute):
        return False
    if not isinstance(func.value, ast.Name) or func.value.id != getattr(node.value, "id", ""):
        return False
    sets = (use for use in helper.home.uses_of(node.attr) if use.mode == "write")
    return call.lineno >= node.lineno and any(use.function is helper for use in sets)


def _is_final(file: PythonFile, one: Guarded, node: ast.expr, section: Section) -> bool:
    """Return whether a collection leaves its section only when nobody changes it any more: a flag
    says so, which all that changes it looks at under the lock.
    """
    statement = file.statement(node)
    asked = [t.test for t in enclosing(statement, ast.If) if isinstance(t, ast.If)]
    for test in before(statement):
        if isinstance(test, ast.If) and always_leaves(test.body):
            if isinstance(test.test, ast.UnaryOp) and isinstance(test.test.op, ast.Not):
                asked.append(test.test.operand)
    flags = {test.attr for test in asked if isinstance(test, ast.Attribute)}
    home = None if section.function is None else section.function.home
    if home is None or not flags:
        return False
    asking = {
        use.function
        for use in home.uses
        if use.name in flags
        and use.mode == "read"
        and one.lock.place in use.function.file.held(use.node)
    }
    return all(other.function(place) in asking for other, place in one.changed)


def _is_changed_by_callers(function: Function) -> bool:
    """Return whether callers change what they get, and mean the collection itself."""
    for site in function.callers:
        above = site.file.parent(site.call)
        if isinstance(above, ast.Attribute) and above.attr in MUTATORS:
            return True
        if isinstance(above, ast.Subscript) and not isinstance(above.ctx, ast.Load):
            return True
    return False


def _given(file: PythonFile, node: ast.expr) -> ast.expr:
    """Return the collection, or the view of it that the code makes."""
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr in _VIEWS and not views_are_copies(file):
        call = file.parent(above)
        if isinstance(call, ast.Call) and call.func is above:
            return call
    return node


def _leaves(file: PythonFile, given: ast.expr, section: Section, function: Function) -> str:
    """Return how the collection gets out of the section, empty when it does not."""
    above = file.parent(given)
    if isinstance(above, ast.Tuple):
        above = file.parent(above)
    if isinstance(above, ast.Return):
        return "returned"
    if not isinstance(above, ast.Assign) or above.value is not given or len(above.targets) != 1:
        return ""
    binding = file.binding(above.targets[0])
    if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
        return ""
    end = section.body[-1].end_lineno or 0
    later = [n for n in file.uses(binding) if n is not above.targets[0] and n.lineno > end]
    if any(file.function(n) is not function or file.held(n) for n in later):
        return ""
    return "used without it" if any(_is_read(file, n) for n in later) else ""


def _returned(
    file: PythonFile, node: ast.expr, section: Section, function: Function
) -> ast.Name | None:
    """Return the variable that the section returns: `rows = self.rows` … `return rows`."""
    above = file.parent(node)
    target = above.targets[0] if isinstance(above, ast.Assign) and above.value is node else None
    binding = file.binding(target)
    if binding is None or binding.scope is not function.scope or len(binding.sites) != 1:
        return None
    leaving = {node for node in walk(section.body) if isinstance(node, ast.Return)}
    returned = [use for use in file.uses(binding) if file.parent(use) in leaving]
    return returned[0] if len(returned) == 1 else None


def _is_read(file: PythonFile, node: ast.Name) -> bool:
    """Return whether a use of the variable reads through the collection, or gives it away."""
    above = file.parent(node)
    if isinstance(above, ast.Attribute) and above.attr in _VIEWS:
        above = file.parent(file.parent(above))  # type: ignore[arg-type]
    return isinstance(above, ast.Return | ast.For | ast.comprehension)


# -- fix ------------------------------------------------------------------------------------


def _finding(file: PythonFile, one: Guarded, node: ast.expr, given: ast.expr, how: str) -> Finding:
    start, end = file.span(given)
    name = file.text(node)
    said = f"{name} is guarded by a lock and {how}, while other code changes it"
    other, place = one.changed[0]
    related = (Related(other.path, *other.span(place), "it is changed here, under the lock"),)
    text = _copy(file, one, node, given)
    if text is None:
        reason = "nobody can see here how such an object is copied"
        return Finding(file.path, start, end, said, related=related, reason=reason)
    title = f"Return a copy of {name}" if how == "returned" else f"Make a copy of {name}"
    reason = "who changed the collection through this now changes a copy"
    fix = Fix(title, replace(file, given, text), Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=related)


def _finding_of_element(file: PythonFile, one: Inner) -> Finding:
    """Return the finding about an element of a guarded mapping."""
    start, end = file.span(one.given)
    name = file.text(one.element)
    said = f"{name} is guarded by a lock and returned, while other code changes it"
    other, place = one.changed
    related = (Related(other.path, *other.span(place), "it is changed here, under the lock"),)
    plain = one.kind if one.kind in _PLAIN else "list"
    is_copied = one.kind not in _PLAIN and not one.may_be_another
    if not is_copied and scope_of(one.given).lookup(plain) is not None:
        reason = f"{plain} is another thing here"
        return Finding(file.path, start, end, said, related=related, reason=reason)
    text = file.text(one.given)
    edits: tuple[Edit, ...] = ()
    if one.may_be_none and one.given is one.element:
        try:
            text = free_name(file, "found", one.given)
            kept = f"{text} = {file.text(one.given)}"
            edits = insert_before(file, file.statement(one.given), kept)
        except BuilderError as error:
            return Finding(file.path, start, end, said, related=related, reason=str(error))
    copy = f"{text}.copy()" if is_copied else f"{plain}({text})"
    if one.may_be_none:
        copy = f"None if {text} is None else {copy}"
    edits += replace(file, one.given, copy)
    reason = "who changed the collection through this now changes a copy"
    fix = Fix(f"Return a copy of {name}", edits, Safety.UNSAFE, reason)
    return Finding(file.path, start, end, said, fixes=(fix,), related=related)


def _copy(file: PythonFile, one: Guarded, node: ast.expr, given: ast.expr) -> str | None:
    """Return the expression of a copy: `list(self.rows)`, `self.order.copy()`."""
    text = file.text(given)
    if isinstance(given, ast.Call):
        return f"list({text})"
    if one.kind in _PLAIN and scope_of(given).lookup(one.kind) is None:
        return f"{one.kind}({text})"
    return f"{text}.copy()" if one.kind in _PLAIN | _COPIED else None
