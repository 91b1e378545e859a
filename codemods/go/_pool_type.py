"""Worker pools that are types: a field with the tasks, a method that submits, workers that stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import fields
from threadmend.golang.calls import Site, callers
from threadmend.golang.channel_fields import SharedChannel, shared_channel_of
from threadmend.golang.channels import ChannelOperation, initialised
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch, innermost_loop
from threadmend.golang.package import Decl
from threadmend.golang.runners import runners_of
from threadmend.golang.stops import endless, leaves_loop
from threadmend.golang.syntax import Node
from threadmend.golang.types import Chan, Named, deref
from threadmend.golang.uses import declaration_of, is_api

__all__ = ["TypePool", "type_pools"]

_FIELD = re.compile(rb"\bstruct\b(?s:.*?)\bchan\b")
_STOPS = re.compile(r"(?i)^(?:close|stop|shutdown|quit|finish|drain|terminate|end|release)")


@dataclass(frozen=True, slots=True)
class TypePool:
    """A type whose goroutines, launched by one loop, receive tasks from its field for ever.

    `body` is the function whose `loop` receives; `stop` the method that should end it all, if
    there is one; `locals` are the pools that a function makes and leaves behind.
    """

    file: GoFile
    decl: Decl
    tasks: SharedChannel
    receive: ChannelOperation
    loop: Node
    body: Node
    launch: Launch
    stop: Decl | None
    locals: tuple[tuple[GoFile, Node], ...]

    @property
    def struct(self) -> Node:
        """Return the struct type."""
        return self.decl.node["type"]


def type_pools(file: GoFile) -> Iterator[TypePool]:
    """Yield the pool types that a file declares."""
    if not _FIELD.search(file.data):
        return
    for decls in file.package.names.values():
        for decl in decls:
            struct = decl.node.get("type") if decl.kind == "type" and decl.file is file else None
            if struct is None or struct.kind != "struct_type" or b"chan" not in struct.text:
                continue
            for declared in fields(struct):
                if isinstance(file.type_from(declared.get("type")), Chan):
                    for name in declared.all("name"):
                        yield from _type_pool(shared_channel_of(decl, name.name))


def _type_pool(tasks: SharedChannel) -> Iterator[TypePool]:
    if tasks.exported or not tasks.makes or not tasks.of("send"):
        return
    if tasks.escapes or tasks.stores or tasks.nils or tasks.of("close", "compare"):
        return
    receives = [o for o in tasks.of("range", "receive") if not o.file.is_test]
    if len(receives) != 1 or receives[0].select is not None:
        return
    receive = receives[0]
    loop = receive.node.parent if receive.kind == "range" else innermost_loop(receive.node)
    body = receive.node.function
    if loop is None or body is None or innermost_loop(loop) is not None:
        return
    if receive.kind == "receive" and (not endless(loop) or leaves_loop(loop)):
        return
    runners = runners_of(receive.file, body)
    if runners.called or len(runners.launches) != 1:
        return
    launch = runners.launches[0]
    if launch.kind not in {"go", "waitgroup"} or launch.loop is None:
        return
    if launch.node.path != receive.node.path:
        return
    stop = _stop(tasks)
    left = tuple(_left_behind(tasks))
    if left or (stop is not None and b".Wait()" in stop.node.text) or _is_offered(tasks):
        yield TypePool(receive.file, tasks.decl, tasks, receive, loop, body, launch, stop, left)


def _stop(tasks: SharedChannel) -> Decl | None:
    methods = tasks.package.methods(tasks.decl.name)
    found = [ds[0] for name, ds in sorted(methods.items()) if _STOPS.match(name)]
    return found[0] if found else None


def _is_offered(tasks: SharedChannel) -> bool:
    """Return whether code outside of the project makes such pools: it has no way to end them."""
    return is_api(tasks.decl) and all(s.file.is_test_file for s in _makers(tasks))


def _makers(tasks: SharedChannel) -> Iterator[Site]:
    """Yield the calls of the functions that make a pool, or start it."""
    for make in tasks.makes:
        function = make.call.function
        decl = declaration_of(make.file, function) if function is not None else None
        if decl is not None:
            yield from callers(decl)


def _left_behind(tasks: SharedChannel) -> Iterator[tuple[GoFile, Node]]:
    """Yield the declarations of pools that a function makes for itself and never ends."""
    for site in _makers(tasks):
        function = site.node.function
        if site.call is None or function is None or site.file.generated:
            continue
        name = function.get("name")
        if name is not None and name.name in {"main", "init"}:
            continue
        binding = initialised(site.file, site.call)
        if binding is None or binding.function is not function:
            continue
        type_ = deref(site.file.type_of(site.call))
        if not isinstance(type_, Named) or type_.name != tasks.decl.name:
            continue
        uses = [use for use in binding.uses if use is not binding.node]
        if any(_STOPS.match(u) for u in _calls(uses)) or not _stays(uses):
            continue
        statement = site.call.statement
        if statement is not None and statement.kind == "short_var_declaration":
            yield site.file, statement


def _calls(uses: list[Node]) -> Iterator[str]:
    for use in uses:
        selector = use.parent
        if selector is not None and selector.kind == "selector_expression":
            yield selector["field"].name


def _stays(uses: list[Node]) -> bool:
    """Return whether a variable is only used to call methods: nobody else has the pool."""
    for use in uses:
        selector = use.parent
        if selector is None or selector.kind != "selector_expression":
            return False
        call = selector.parent
        if call is None or call.kind != "call_expression" or selector.field != "function":
            return False
    return True
