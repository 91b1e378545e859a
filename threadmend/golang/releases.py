"""Who else releases a lock: closures, helpers, callers; and functions that return locked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.access import is_assigned_once, lock_class, uses_of
from threadmend.golang.flow import Point
from threadmend.golang.functions import call_of, doc_of
from threadmend.golang.goroutines import launch_of_literal
from threadmend.golang.locks import LockOperation, Locks, locks_of
from threadmend.golang.scope import Binding, argument_of
from threadmend.golang.syntax import Node

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = [
    "comes_with_receive",
    "hands_over",
    "released_by_calls",
    "released_classes",
    "returns_locked",
    "says_locked",
]

# `block`, `clock` and `flock` are no locks.
_LOCKS = re.compile(r"(?<![bBcCf])[lL]ock|[aA]cquire|^(?:begin|enter|hold|grab|Begin|Enter|Hold)")
# What begins so may begin something else than a critical section: `Hold` a seat.
_BEGINS = re.compile(r"^(?:[bB]egin|[eE]nter|[hH]old|[gG]rab)(?!\w*(?:[lL]ock|[aA]cquire))")
_SAYS = re.compile(
    rb"(?i)\bunlock|\block(?:ed|s)?\b.{0,80}\b(?:held|return|caller|release)"
    rb"|\b(?:hold|held|release|caller)\w*\b.{0,80}\b(?:lock|mu|mutex)",
    re.S,
)


# What is said beside a Lock that stays locked.
_SAYS_HERE = re.compile(
    rb"(?i)\b(?:not|never|won.{1,3}t|don.{1,3}t|no)\b.{0,20}\b(?:releas|unlock)"
    rb"|\b(?:released|unlocked) (?:by|in|when)\b|\bhand(?:s|ed)? over\b"
    rb"|\bleft (?:locked|held)\b|\b(?:stays?|remains?|kept) (?:locked|held)\b"
)


# What is said where a function ends that keeps the lock for good.
_NEVER = re.compile(rb"(?i)\b(?:do not|don't|never|not|no) (?:releas|unlock)")


def hands_over(file: GoFile, locks: Locks, lock: LockOperation) -> bool:
    """Return whether somebody else than this function's own statements may release the lock.

    A closure that is not called in place, `x.Unlock` as a value, the lock's address passed
    on, a release of another object of its class, which may be the same one, a function that
    begins by releasing what its caller holds, or a closure whose surroundings release in a
    defer what a flag says is held.
    """
    function = locks.function
    if _released_elsewhere(file, function, lock):
        return True
    if _takes_back(locks, lock) or _released_around(file, function, lock):
        return True
    for node in function.walk():
        if node.kind == "func_literal" and node is not function:
            if node.is_deferred:
                continue
            if _gives_back(locks_of(file, node), lock):
                return True
        elif node.kind == "selector_expression" and node["field"].name in {"Unlock", "RUnlock"}:
            parent = node.parent
            called = parent is not None and parent.kind == "call_expression"
            if not (called and node.field == "function") and _same(file, node, lock):
                if not _is_called_by_name(file, node):
                    return True
        elif node.kind == "unary_expression" and node["operator"].kind == "&":
            if node["operand"].text == lock.lock.text and not _makes_cond(node):
                return True
    return False


def _gives_back(closure: Locks, lock: LockOperation) -> bool:
    """Return whether a closure releases a lock that it has not taken itself."""
    mine = [o for o in closure.operations if o.access == lock.access]
    if not any(o.releases for o in mine):
        return False
    if any(o.deferred for o in mine) or not any(o.acquires for o in mine):
        return not any(o.acquires for o in mine)
    return any(o.access == lock.access for o, _ in _first_releases(closure))


def _takes_back(locks: Locks, lock: LockOperation) -> bool:
    """Return whether a Lock takes back what the function gave back of its caller's before."""
    flow = locks.flow
    point = flow.point_of(lock.call)
    return point is not None and any(
        operation.lock_class == lock.lock_class and point in flow.reachable(first)
        for operation, first in _first_releases(locks)
    )


def _released_around(file: GoFile, function: Node, lock: LockOperation) -> bool:
    """Return whether a function around a closure releases the lock: it never takes it itself,
    or does so in a defer under a condition.
    """
    outer = function.function
    while outer is not None:
        around = [o for o in locks_of(file, outer).operations if o.access == lock.access]
        if around and all(o.releases for o in around):
            return True
        if any(o.releases and comes_with_receive(o.call) for o in around):
            return True
        for deferred in outer.find("defer_statement"):
            for literal in deferred.find("func_literal"):
                for operation in locks_of(file, literal).operations:
                    if operation.releases and operation.access == lock.access:
                        if operation.call.up("if_statement", "func_literal") is not literal:
                            return True
        outer = outer.function
    return False


def comes_with_receive(unlock: Node) -> bool:
    """Return whether a release stands right behind a receive: `<-wait; p.mu.Unlock()`.

    The lock comes with what is received: who tells leaves it held.
    """
    statement = unlock.statement
    above = statement.previous if statement is not None else None
    return (
        above is not None and above.kind == "expression_statement" and above.text.startswith(b"<-")
    )


def _released_elsewhere(file: GoFile, function: Node, lock: LockOperation) -> bool:
    inside = [n for n in function.walk() if n.kind == "func_literal"]
    return any(
        o.releases and o.access != lock.access and o.lock_class == lock.lock_class
        for body in [function, *inside]
        for o in locks_of(file, body).operations
    )


def _same(file: GoFile, selector: Node, lock: LockOperation) -> bool:
    from threadmend.golang.access import access_of

    selection = file.selection(selector)
    via = selection.via if selection else ()
    return access_of(file, selector["operand"], via) == lock.access


def _is_called_by_name(file: GoFile, release: Node) -> bool:
    """Return whether a function only calls what it keeps: `free := s.mu.Unlock`, `free()`."""
    group = release.parent
    statement = group.parent if group is not None and group.kind == "expression_list" else None
    if group is None or statement is None or statement.kind != "short_var_declaration":
        return False
    index = next(i for i, child in enumerate(group.children) if child is release)
    names = statement["left"].children
    binding = file.binding(names[index]) if index < len(names) else None
    return binding is not None and all(
        use.node is binding.node
        or (use.function is release.function and call_of(use.node) is not None)
        for use in uses_of(binding)
    )


def _makes_cond(address: Node) -> bool:
    call = address.parent.parent if address.parent is not None else None
    return call is not None and call.kind == "call_expression" and b"NewCond" in call.text


def released_by_calls(file: GoFile, locks: Locks, lock: LockOperation) -> set[Point]:
    """Return the points at which something else releases the lock.

    Deferred literals with a release in them, and calls of functions of the package that
    release a lock of this class without taking it.
    """
    found: set[Point] = set()
    flow = locks.flow
    for defer in flow.defers:
        if defer.called.kind == "func_literal":
            operations = locks_of(file, defer.called).operations
            if any(o.releases and o.access == lock.access for o in operations):
                found.add(defer.point)
    if lock.lock_class is None:
        return found
    releasing = net_releases(file.package)
    for point in flow.points:
        for node in point.own():
            if node.kind != "call_expression":
                continue
            decl = file.callee(node)
            if _is_unseen_release(node, decl, lock):
                found.add(point)
            key = decl.key if decl is not None else _literal_called(file, node)
            if key is not None and lock.lock_class in releasing.get(key, ()):
                found.add(point)
            elif decl is not None and key in releasing:
                if lock.lock_class in released_classes(file, node, decl, releasing[key]):
                    found.add(point)
    return found


def _is_unseen_release(call: Node, decl: Decl | None, lock: LockOperation) -> bool:
    """Return whether an interface with a Lock is released by another of its methods.

    No body says so, but the name does: `b.ClearAndUnlock()`.
    """
    called = call["function"]
    return (
        called.kind == "selector_expression"
        and called["field"].name not in {"Unlock", "RUnlock"}
        and "Unlock" in called["field"].name
        and called["operand"].text == lock.lock.text
        and (decl is None or not decl.has_body)
    )


def _literal_called(file: GoFile, call: Node) -> tuple[str, int] | None:
    """Return the place of the literal that a variable which is called holds for good."""
    binding = file.binding(call["function"]) if call["function"].kind == "identifier" else None
    if binding is None or not is_assigned_once(binding):
        return None
    value = binding.value
    return (file.path, value.start) if value is not None and value.kind == "func_literal" else None


def net_releases(package: Package) -> dict[tuple[str, int], set[str]]:
    """Return, by `Decl.key`, the classes of locks that a function releases for its caller.

    A function that only calls such a function counts too.
    """
    known: dict[tuple[str, int], set[str]] | None = package.facts.get("net_releases")
    if known is not None:
        return known
    found: dict[tuple[str, int], set[str]] = {}
    package.facts["net_releases"] = found
    pattern = re.compile(rb"\.R?Unlock\(\)")
    for decl in package.functions():
        node = decl.file.data
        start, end = decl.span
        if not decl.sound or not pattern.search(node, start, end):
            continue
        locks = locks_of(decl.file, decl.node)
        classes = _released_first(locks)
        for literal in decl.node.find("func_literal"):
            released = _released_first(locks_of(decl.file, literal))
            if not literal.is_deferred:
                # A callback that only releases counts: registered here, it runs elsewhere.
                if released:
                    found[decl.file.path, literal.start] = released
                if launch_of_literal(decl.file, literal) is not None:
                    # The goroutine takes over what the caller holds, and releases it.
                    classes |= released - {o.lock_class for o in locks.operations}
            elif literal.function is decl.node and not _takes_by_call(decl.node):
                classes |= released - {o.lock_class for o in locks.operations if not o.releases}
        if classes:
            found[decl.key] = classes
    _through_callers(package, found)
    return found


def released_classes(file: GoFile, call: Node, decl: Decl, classes: set[str]) -> set[str]:
    """Return the classes of locks that a call of a function releases, in the caller's words.

    A lock that is a parameter of the function (`leave(&s.mu)`) is that of the argument.
    """
    from threadmend.golang.lock_calls import lock_calls

    found = set(classes)
    for operation in lock_calls(decl.file, decl.node):
        access = operation.access
        if access is None or access.steps or not isinstance(access.root, Binding):
            continue
        argument = argument_of(call, decl.node, access.root) if operation.releases else None
        given = lock_class(file, argument) if argument is not None else None
        if given is not None:
            found.add(given)
    return found


def _released_first(locks: Locks) -> set[str]:
    """Return the classes of locks that some path releases before the function takes them."""
    return {o.lock_class for o, _ in _first_releases(locks) if o.lock_class is not None}


def _first_releases(locks: Locks) -> Iterator[tuple[LockOperation, Point]]:
    """Yield the releases that some path comes to before the function takes the lock.

    A deferred one counts where the function never takes a lock of the class.
    """
    flow = locks.flow
    own = {o.lock_class for o in locks.operations if not o.releases}
    untaken: dict[str, set[Point]] = {}
    for operation in locks.operations:
        lock_class = operation.lock_class
        point = flow.point_of(operation.deferred or operation.call)
        if not operation.releases or lock_class is None or point is None:
            continue
        if operation.deferred and (lock_class in own or _takes_by_call(locks.function)):
            continue
        if lock_class not in untaken:
            taken = {
                p
                for o in locks.operations
                if not o.releases and o.lock_class == lock_class
                if (p := flow.point_of(o.call))
            }
            untaken[lock_class] = flow.reachable(flow.entry, stop=taken.__contains__)
        if point in untaken[lock_class]:
            yield operation, point


def _takes_by_call(function: Node) -> bool:
    """Return whether a function calls something that may take a lock for it, by its name."""
    for call in function.own():
        if call.kind == "call_expression":
            name = call["function"].name.rpartition(".")[2]
            if _LOCKS.search(name) and "nlock" not in name:
                return True
    return False


def _through_callers(package: Package, found: dict[tuple[str, int], set[str]]) -> None:
    from threadmend.golang.calls import callers

    for key, classes in list(found.items()):
        decl = package.function_at(*key)
        for site in callers(decl) if decl is not None else ():
            function = site.node.function
            if function is None or function.kind == "func_literal" or site.call is None:
                continue
            taken = {o.lock_class for o in locks_of(site.file, function).operations}
            rest = classes - {c for c in taken if c is not None}
            if rest and not _taken_by_twin(function, site.call):
                found.setdefault((site.file.path, function.start), set()).update(rest)
    _through_one_liners(package, found)


def _taken_by_twin(function: Node, release: Node) -> bool:
    """Return whether a function calls, above a release, what takes the lock on the same object.

    `t.mu.Lock(); defer t.mu.Unlock()` where the lock is of a type with a Lock of its own.
    """
    called = release["function"]
    if called.kind != "selector_expression":
        return False
    operand = called["operand"].text
    for call in function.own():
        if call.kind != "call_expression" or call.start >= release.start:
            continue
        other = call["function"]
        if other.kind == "selector_expression" and other["operand"].text == operand:
            name = other["field"].name
            if _LOCKS.search(name) and "nlock" not in name:
                return True
    return False


def _through_one_liners(package: Package, found: dict[tuple[str, int], set[str]]) -> None:
    """Add the functions that consist of a call of a helper that releases."""
    from threadmend.golang.lock_calls import helped_releases

    for key, released in helped_releases(package):
        found.setdefault(key, set()).add(released)


def returns_locked(
    file: GoFile, function: Node, lock: LockOperation, everywhere: bool, *, told: bool = True
) -> bool:
    """Return whether a function's contract is to return with the lock held.

    Its name or comment says so; what it returns carries the lock; or, when it releases the
    lock on no path (`everywhere`), another function of the package only releases it. A name that
    may mean something else counts where callers are told by what they get (`told`).
    """
    name = function.get("name")
    if name is not None and _LOCKS.search(name.name):
        if told or not _BEGINS.search(name.name):
            return True
    if says_locked(file, function, lock):
        return True
    if _returns_owner(function, lock):
        return True
    if not everywhere:
        return False
    comments = file.tree.comments_in(lock.call.end, function.end)
    if any(_NEVER.search(file.tree.data[c.start : c.end]) for c in comments):
        return True
    classes = net_releases(file.package).values()
    return any(lock.lock_class in released for released in classes)


def _said_here(file: GoFile, lock: LockOperation) -> bool:
    """Return whether the comment at a Lock's end of line, or right above, says that it stays."""
    tree, source = file.tree, file.source
    above = source.line_start(lock.call.start)
    above = source.line_start(max(0, above - 1))
    while above > 0 and tree.data[above : source.line_end(above)].lstrip().startswith(b"//"):
        above = source.line_start(above - 1)
    comments = tree.comments_in(above, source.line_end(lock.call.end))
    return any(_SAYS_HERE.search(tree.data[c.start : c.end]) for c in comments)


def says_locked(file: GoFile, function: Node, lock: LockOperation) -> bool:
    """Return whether a comment, of the function or at the Lock, says that it returns locked."""
    return bool(_SAYS.search(doc_of(function))) or _said_here(file, lock)


def _returns_owner(function: Node, lock: LockOperation) -> bool:
    """Return whether a local object that holds the lock is what the function returns."""
    root = lock.access.root if lock.access is not None else None
    if not isinstance(root, Binding):
        return False
    for use in root.uses:
        statement = use.up("return_statement", "func_literal")
        if statement is None or statement.kind != "return_statement":
            continue
        parent = use.parent
        if parent is not None and parent.kind != "selector_expression":
            return statement.function is function
    return False
