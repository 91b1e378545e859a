"""How the parts of a pool are told to end: by a context, or by a channel that is closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.golang.ambient import ambient, left
from threadmend.golang.builders import (
    BuilderError,
    add_parameter,
    free_name,
    package_name,
    parameters,
    taken_names,
)
from threadmend.golang.families import CannotFollow
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import declaration_of, is_api, is_fixed_outside
from threadmend.model import Edit

from ._pool import Pool
from ._pool_text import Part
from ._threading import edits_of, follow, plan, reached

__all__ = ["Given", "Stop", "free", "given", "returns_error", "stop_of"]


@dataclass(frozen=True, slots=True)
class Stop:
    """What ends a pool early.

    `name` is the variable: a context, or a channel. `prelude` are the lines that make it,
    `cancel` what a worker calls with its error, `edits` let a context reach the function.
    """

    name: str
    is_context: bool
    prelude: str = ""
    cancel: str = ""
    edits: tuple[Edit, ...] = ()

    @property
    def receive(self) -> str:
        """Return what a select waits for."""
        return f"{self.name}.Done()" if self.is_context else self.name

    @property
    def error(self) -> str:
        """Return the error that the function returns when it was ended early."""
        return f"context.Cause({self.name})" if self.cancel else f"{self.name}.Err()"


def free(pool: Pool, base: str) -> str:
    """Return a name for a new variable of the function."""
    top = pool.function
    while top.function is not None:
        top = top.function
    file = pool.file
    names = [*file.package.names, *(i.name for i in file.imports)]
    return free_name(base, taken_names(top, names=names))


def returns_error(function: Node) -> bool:
    """Return whether a function's last result is an error."""
    results = result_nodes(function)
    return bool(results) and results[-1].text == b"error"


def stop_of(pool: Pool, *, leaves: bool, fails: bool, context: bool) -> Stop | None:
    """Return what ends the pool early.

    `leaves`: the function may leave before its workers, `fails`: an error of a worker ends
    the others. Without either a context is used where there is one. `context`: it may be.
    """
    package = package_name(pool.file.tree, "context")
    base, edits = _context(pool) if context else ("", ())
    if fails:
        if pool.file.go_version < (1, 20) or not returns_error(pool.function):
            raise BuilderError("an error of a worker has no way to the caller")
        name = base if base.isidentifier() else free(pool, "ctx")
        cancel = free(pool, "cancel")
        parent = base or f"{package}.Background()"
        made = f"{name}, {cancel} := {package}.WithCancelCause({parent})"
        return Stop(name, True, f"{made}\ndefer {cancel}(nil)", cancel, edits)
    if not base:
        if not leaves:
            return None
        name = free(pool, "done")
        return Stop(name, False, f"{name} := make(chan struct{{}})\ndefer close({name})")
    name = base if base.isidentifier() else free(pool, "ctx")
    if leaves and not _ends_here(pool, name):
        cancel = free(pool, "cancel")
        made = f"{name}, {cancel} := {package}.WithCancel({base})\ndefer {cancel}()"
        return Stop(name, True, made, edits=edits)
    return Stop(name, True, "" if name == base else f"{name} := {base}", edits=edits)


def _ends_here(pool: Pool, name: str) -> bool:
    """Return whether the function cancels a context when it returns."""
    made = re.search(
        rb"\b" + name.encode() + rb", (\w+) :?= \w+\.With(?:Cancel|Timeout|Deadline)\(",
        pool.function.text,
    )
    return made is not None and b"defer " + made[1] + b"()" in pool.function.text


def _is_cancelled(pool: Pool, name: str) -> bool:
    """Return whether the function cancels a context of its own before it returns."""
    text = pool.function.text
    made = re.search(rb"\b" + name.encode() + rb", (\w+) :?= \w+\.With\w+\(", text)
    if made is None:
        return False
    calls = re.findall(rb"(defer )?\b" + made[1] + rb"\(", text)
    return not all(calls)


def _context(pool: Pool) -> tuple[str, tuple[Edit, ...]]:
    """Return the context that the pool runs under, and the edits that bring it there."""
    place = pool.worker.launch.statement
    found = ambient(pool.file, pool.launching)
    if found is not None:
        if found.kind == "test" or left(pool.file, pool.launching, found):
            return "", ()
        if found.binding.kind == "variable" and _is_cancelled(pool, found.text):
            return "", ()
        return found.text, ()
    file, function = pool.file, pool.function
    decl = declaration_of(file, function)
    if decl is None or not returns_error(function) or is_fixed_outside(decl):
        return "", ()
    if decl.name in {"main", "init"} or file.is_test_file or "ctx" in taken_names(place):
        return "", ()
    try:
        if reached(follow(decl)):
            return "ctx", tuple(edits_of(plan(decl)))
    except (BuilderError, CannotFollow):
        pass
    return "", ()


# -- in the worker -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """How a worker knows the stop: as `name`; `edits` give it a parameter, `parts` pass it."""

    stop: Stop
    edits: tuple[Edit, ...] = ()
    parts: tuple[Part, ...] = ()
    context: bool = False

    @property
    def receive(self) -> str:
        """Return what the worker's selects wait for."""
        return self.stop.receive


def given(pool: Pool, stop: Stop) -> Given | None:
    """Return how a worker gets a stop, None where its signature has to stay."""
    worker = pool.worker
    if worker.call is None:
        known = {
            n.name for n in worker.body.find("identifier") if _declares(worker.file, n, worker.body)
        }
        if stop.name in known:
            raise BuilderError(f"the worker has a variable {stop.name} of its own")
        return Given(stop, context=stop.is_context)
    decl = declaration_of(worker.file, worker.body)
    if decl is None or is_api(decl):
        return None
    for parameter in parameters(worker.body):
        type_ = worker.file.type_from(parameter.type)
        if stop.is_context and is_named(type_, "context.Context") and parameter.name is not None:
            return Given(Stop(parameter.name.name, True), context=True)
    if stop.name in taken_names(worker.body):
        return None
    return _parameter(pool, stop, decl.node, worker.call)


def _declares(file: GoFile, name: Node, body: Node) -> bool:
    binding = file.binding(name)
    return binding is not None and body.contains(binding.node)


def _parameter(pool: Pool, stop: Stop, function: Node, call: Node) -> Given | None:
    """Give the worker's function the stop as its first parameter; its calls follow."""
    worker = pool.worker
    decl = declaration_of(worker.file, function)
    assert decl is not None
    try:
        sites = follow(decl).sites
    except CannotFollow:
        return None
    edits: list[Edit] = []
    for site in sites:
        if site.call is call:
            continue
        return None
    context = package_name(worker.file.tree, "context")
    type_ = f"{context}.Context" if stop.is_context else "<-chan struct{}"
    edits += add_parameter(function, stop.name, type_, index=0)
    listed = call["arguments"]
    if listed.children:
        first = listed.children[0].start
        parts: tuple[Part, ...] = ((first, first, f"{stop.name}, "),)
    else:
        parts = ((listed.start + 1, listed.start + 1, stop.name),)
    return Given(stop, tuple(edits), parts, stop.is_context)
