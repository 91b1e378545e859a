"""Give a pool of workers its whole life

Workers that range over a channel which nobody closes stay for ever, each with its stack and
what it refers to. A feeder that sends without an exit waits for workers that have left, workers
wait for a function that has returned with the first error, and the loop over the results for a
close that never comes. The parts depend on each other, so that they are mended together:

- one goroutine feeds, and closes the tasks when it ends;
- the workers receive `task, ok` in a select with the context, and are counted by a WaitGroup;
- one goroutine waits for them and closes the results, which are received until then;
- who leaves early tells the others, and an error reaches the caller.

A pool that is a type gets a Stop (or its own is completed): it refuses new tasks, lets the workers
finish what was submitted, closes once and waits. Functions that made a pool for themselves stop it.

Not reported:
- pools whose channel is closed, or passed on; workers that listen to something else;
- pools of main that live as long as the process;
- workers that send tasks themselves; pools of an errgroup;
- types whose pools are kept: by a server, a package variable, another type.

By hand: results on several channels, tasks from several places, tasks that are sent by other
code than the pool's methods, workers whose early exit has no reason to be seen.

Unsafe: the function now waits for its workers, and ends when its context does; methods that
submit return an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from threadmend.golang.builders import BuilderError
from threadmend.golang.workspace import Module
from threadmend.model import Finding, Fix, Related, Safety

from ._pool import Pool, pools
from ._pool_defects import Defect, defects
from ._pool_local import repair
from ._pool_submit import stoppable
from ._pool_type import TypePool, type_pools

CATEGORY = "goroutine"
GATE = rb"\bmake\(\s*chan\b"


def check(module: Module) -> Iterator[Finding]:
    """Yield the pools that leave goroutines behind, or wait for ever."""
    for package in module.packages:
        for file in package.files:
            if file.is_test_file or file.generated:
                continue
            for pool in pools(file):
                found = defects(pool)
                if found:
                    yield _finding(pool, found)
            for kind in type_pools(file):
                yield _of_type(kind)


def _finding(pool: Pool, found: list[Defect]) -> Finding:
    first = found[0]
    fix, reason = None, ""
    try:
        made = repair(pool, found)
        title = f"Let the pool end: {', '.join(made.done)}"
        edits = tuple(dict.fromkeys(made.edits))
        fix = Fix(title, edits, Safety.UNSAFE, made.why)
    except BuilderError as error:
        reason = str(error)
    launch = pool.worker.launch.statement
    related = [Related(launch.path, launch.start, launch.end, "the workers are launched here")]
    related += [Related(d.node.path, d.node.start, d.node.end, d.message) for d in found[1:]]
    return Finding(
        path=first.node.path,
        start=first.node.start,
        end=first.node.end,
        message=first.message,
        fixes=(fix,) if fix else (),
        reason=reason,
        related=tuple(related),
    )


def _of_type(pool: TypePool) -> Finding:
    fix, reason = None, ""
    name = pool.decl.name
    try:
        made = stoppable(pool)
        title = f"Let {name}.{made.stop} end the workers"
        why = f"{name} refuses tasks once it is stopped"
        if pool.locals:
            why += ", and functions wait for what they have submitted"
        fix = Fix(title, tuple(dict.fromkeys(made.edits)), Safety.UNSAFE, why)
    except BuilderError as error:
        reason = str(error)
    launch = pool.launch.statement
    related = [Related(launch.path, launch.start, launch.end, "the workers are launched here")]
    related += [
        Related(s.path, s.start, s.end, f"this {name} is left behind") for _, s in pool.locals[:3]
    ]
    node = pool.receive.node
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"nothing ends the workers of {name}: nobody closes {pool.tasks.name}",
        fixes=(fix,) if fix else (),
        reason=reason,
        related=tuple(related),
    )
