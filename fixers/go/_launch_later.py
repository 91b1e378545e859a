"""The launch of a goroutine moves below what it was seen to race with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from threadmend.golang.builders import BuilderError, move_after
from threadmend.golang.field_accesses import FieldAccess, accesses_like
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, launches_in
from threadmend.golang.lefts import lefts_of_call
from threadmend.golang.package import Decl, Package
from threadmend.golang.races import SharedWrite
from threadmend.golang.syntax import Node
from threadmend.model import Fix, Safety

from ._quick import waits

__all__ = ["launch_after_writes", "launch_below", "launch_later", "launched_after"]

_DEPTH = 2
_LEAVES = frozenset(
    {
        *("return_statement", "break_statement", "continue_statement", "goto_statement"),
        *("labeled_statement", "fallthrough_statement"),
    }
)


def launch_later(pairs: Sequence[tuple[FieldAccess, FieldAccess]]) -> Fix | None:
    """Return the fix for accesses that a function makes right after it launched the other side.

    Each pair has the access of the function first. Sound when everything from the launch to
    the last of these accesses runs straight on and waits for nobody: the goroutine could have
    been scheduled as late as that. None when that is not so for all of them.
    """
    found = [one for mine, theirs in pairs if (one := _launch_of(mine, theirs))]
    if len(found) < len(pairs) or len({launch.node for launch, _ in found}) != 1:
        return None
    launch = found[0][0]
    last = max((statement for _, statement in found), key=lambda s: s.start)
    return launch_below(pairs[0][0].file, launch, last, {mine.node.name for mine, _ in pairs})


def launch_after_writes(package: Package, writes: Sequence[SharedWrite]) -> Fix | None:
    """Return the same for writes to one struct that all meet a goroutine launched before."""
    pairs = []
    for write in writes:
        if write.other is None or write.by_goroutine:
            return None
        like = accesses_like(package, write.access.file, write.access.node)
        other = next((a for a in like if a.node is write.other), None)
        if other is None:
            return None
        pairs.append((write.access, other))
    return launch_later(pairs)


def launch_below(file: GoFile, launch: Launch, last: Node, names: Iterable[str]) -> Fix | None:
    """Return the fix that moves a launch below a later statement of its block.

    None where what stands in between may wait for the goroutine, or changes what it is given.
    """
    if not _may_wait_for(file, launch, _through(launch.statement, last)):
        return None
    try:
        edits = move_after(launch.statement, last)
    except BuilderError:
        return None
    title = f"Launch the goroutine after {', '.join(sorted(set(names)))} is set"
    if launch.node.kind != "call_expression" or _only_launches(launch):
        return Fix(title, edits, Safety.SAFE)
    name = launch.node["function"].name
    return Fix(title, edits, Safety.UNSAFE, f"all that {name} does happens later")


def _only_launches(launch: Launch) -> bool:
    """Return whether a called function does nothing but launch."""
    body = launch.decl.node.get("body") if launch.decl is not None else None
    return body is not None and all(s.kind == "go_statement" for s in body.statements)


def launched_after(mine: FieldAccess, theirs: FieldAccess) -> bool:
    """Return whether the only goroutines in which a function's own object is used by the other
    side are launched after its access.
    """
    launches = list(_launches(mine, theirs))
    return bool(launches) and all(one.node.start > mine.node.end for one in launches)


def _launch_of(mine: FieldAccess, theirs: FieldAccess) -> tuple[Launch, Node] | None:
    """Return the launch of the other side that precedes an access, and the access' statement
    in the same block.
    """
    for launch in _launches(mine, theirs):
        for statement in launch.statement.following:
            if statement.contains(mine.node):
                return launch, statement
    return None


def _launches(mine: FieldAccess, theirs: FieldAccess) -> Iterator[Launch]:
    """Yield the launches of the other side in the function that made the object accessed.

    Calls that leave a goroutine running are such launches: `p.start()`.
    """
    declaration = mine.file.tree.declaration_at(mine.node.start)
    if declaration is None or mine.file.is_test or not mine.fresh:
        return
    for launch in launches_in(mine.file, declaration.node):
        if launch.kind != "timer" and launch.body is not None:
            if not launch.body.contains(mine.node) and _runs(launch, theirs):
                yield launch
    for call in declaration.index.get("call_expression", ()):
        if call.parent is not None and call.parent.kind == "expression_statement":
            for left in lefts_of_call(mine.file, call):
                target = mine.file.callee(call)
                launch = Launch("go", call, call, left.launch.body, target)
                if any(t.node is theirs.node for t in left.touches):
                    yield launch
                    break


def _through(launch: Node, last: Node) -> list[Node]:
    return [s for s in launch.following if s.start <= last.start]


def _runs(launch: Launch, access: FieldAccess) -> bool:
    """Return whether what is launched gets to an access, itself or through its calls."""
    assert launch.body is not None
    if launch.decl is None:
        bodies = [(access.file, launch.body)]
    else:
        bodies = [(launch.decl.file, launch.decl.node)]
    for _ in range(_DEPTH):
        if any(file.path == access.file.path and body.contains(access.node)
               for file, body in bodies):  # fmt: skip
            return True
        bodies = [(d.file, d.node) for file, body in bodies for d in _called(file, body)]
    return any(f.path == access.file.path and b.contains(access.node) for f, b in bodies)


def _called(file: GoFile, body: Node) -> Iterator[Decl]:
    for call in body.find("call_expression"):
        decl = file.callee(call)
        if decl is not None and decl.sound and decl.file.package is file.package:
            yield decl


def _may_wait_for(file: GoFile, launch: Launch, statements: Sequence[Node]) -> bool:
    """Return whether a launch may be put off until statements have run.

    They neither wait nor leave, and set nothing that is evaluated at the launch.
    """
    call = launch.call
    evaluated = {n.text for n in call.find("identifier")} if call is not None else set()
    if launch.literal is not None and call is not None:
        given = call.get("arguments")
        evaluated = {n.text for n in given.find("identifier")} if given is not None else set()
    for statement in statements:
        for node in statement.own():
            if node.kind in _LEAVES or waits(file, node):
                return False
            if node.kind == "call_expression" and node["function"].kind == "func_literal":
                return False
            if node.kind in {"assignment_statement", "inc_statement", "dec_statement"}:
                target = node.get("left") or node
                names = {c.text for c in target.children if c.kind == "identifier"}
                if names & evaluated:
                    return False
            if node.kind == "unary_expression" and node["operator"].kind == "&":
                if {n.text for n in node.find("identifier")} & evaluated:
                    return False
    return True
