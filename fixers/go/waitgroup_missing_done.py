"""Call WaitGroup.Done in every goroutine that is counted

The goroutine is counted by `wg.Add(1)` right before its launch, ends, and never says so: the
counter stays above zero and `wg.Wait()` waits for ever.

Not reported: a WaitGroup that is handed on to code that is not visible; a goroutine that hands
its duty to another one; Dones for which no launch is counted, which may be meant for it; a
WaitGroup that nobody waits for.

Unsafe: Wait goes on where it waited for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.access import root_name
from threadmend.golang.builders import BuilderError, insert_at_start, with_reason
from threadmend.golang.calls import callers
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.waitgroups import WaitGroupCall
from threadmend.model import Finding, Fix, Related, Safety

from ._counted import counted_launch
from ._launched_list import is_of_list
from ._without_done import without_done

CATEGORY = "waitgroup"
GATE = rb"\.Add\("


def check(file: GoFile) -> Iterator[Finding]:
    """Yield the counted goroutines that never call Done."""
    for add, launch in without_done(file):
        yield _finding(file, add, launch)


def _finding(file: GoFile, add: WaitGroupCall, launch: Launch) -> Finding:
    name = add.waitgroup.name
    fix, reason = _fix(file, add, launch)
    started = launch.value if launch.value is not None and is_of_list(launch) else launch.node
    return Finding(
        path=file.path,
        start=add.call.start,
        end=add.call.end,
        message=f"{name} counts a goroutine that never calls Done",
        fixes=(fix,) if fix else (),
        related=(Related(started.path, started.start, started.end, "launched here"),),
        reason=reason,
    )


@with_reason
def _fix(file: GoFile, add: WaitGroupCall, launch: Launch) -> Fix:
    """Begin the goroutine with `defer wg.Done()`, in a literal around what knows no `wg`.

    Sound: no code that the goroutine runs calls Done, so that it does exactly once now.
    """
    title = f"Defer {add.waitgroup.name}.Done as the first statement"
    body = launch.body
    unsafe = (Safety.UNSAFE, "Wait goes on where it waited for ever")
    if body is None:
        raise BuilderError("the goroutine's code is not visible")
    if launch.literal is not None and launch.node.contains(body):
        if not _same_inside(file, add, body):
            raise BuilderError(f"{add.waitgroup.name} means something else in the goroutine")
        edits = insert_at_start(body["body"], f"defer {add.waitgroup.name}.Done()")
        return Fix(title, edits, *unsafe)
    if is_of_list(launch) and launch.literal is not None:
        root = add.access.root if add.access is not None else None
        if not isinstance(root, Binding) or root.node.start > body.start:
            raise BuilderError(f"{add.waitgroup.name} is made below the goroutine's code")
        if body.path != file.path or not _same_inside(file, add, body):
            raise BuilderError(f"{add.waitgroup.name} means something else in the goroutine")
        edits = insert_at_start(body["body"], f"defer {add.waitgroup.name}.Done()")
        return Fix(title, edits, *unsafe)
    name = _name_inside(file, add, launch, body)
    if name is None and is_of_list(launch):
        raise BuilderError("the launched function does not know the WaitGroup")
    if name is None:
        around = counted_launch(file, launch, add.waitgroup.name)
        if around is None:
            raise BuilderError("the launched function does not know the WaitGroup")
        return Fix(f"Defer {add.waitgroup.name}.Done around the call", around, *unsafe)
    edits = insert_at_start(body["body"], f"defer {name}.Done()")
    return Fix(title, edits, *unsafe)


def _same_inside(file: GoFile, add: WaitGroupCall, body: Node) -> bool:
    """Return whether no parameter of a literal has the WaitGroup's name."""
    root = root_name(add.waitgroup)
    parameters = body.get("parameters")
    if root is None or parameters is None:
        return False
    names = {n.name for p in parameters.children for n in p.all("name")}
    return root.name not in names


def _name_inside(file: GoFile, add: WaitGroupCall, launch: Launch, body: Node) -> str | None:
    """Return the WaitGroup's name in a launched function: a receiver's field, a parameter."""
    if launch.decl is None or launch.call is None:
        return None
    called = launch.call["function"]
    if is_of_list(launch) and launch.value is not None:
        called = launch.value
    if any(not site.launched and not called.contains(site.node) for site in callers(launch.decl)):
        return None
    receiver = body.get("receiver")
    steps = add.access.steps if add.access is not None else ()
    if receiver is None or not steps or not receiver.children:
        return None
    names = receiver.children[0].all("name")
    if not names or names[0].name == "_":
        return None
    for binding in bindings_in(body).get(names[0].name, ()):
        if isinstance(binding, Binding) and binding.kind == "receiver":
            operand = called["operand"].text if called.get("operand") is not None else b""
            if add.waitgroup.text.rpartition(b".")[0] == operand:
                field = add.waitgroup.text.rpartition(b".")[2].decode()
                return f"{names[0].name}.{field}"
    return None
