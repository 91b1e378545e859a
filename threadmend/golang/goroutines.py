"""Goroutines: where they are launched, what they run, which variables they capture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.groups import is_group
from threadmend.golang.launched import body_run_by, stands_for
from threadmend.golang.node import as_launched, bare
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from threadmend.golang.calls import Site
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl, Package

__all__ = [
    "Launch",
    "captures",
    "innermost_loop",
    "is_handed_over",
    "is_spawned_by",
    "launch_at",
    "launch_of_literal",
    "launch_sites",
    "launched_value",
    "launches",
    "launches_in",
    "or_spawning",
    "outermost_loop",
    "started_by",
]

_LAUNCHES = re.compile(rb"\bgo\b|\.Go\(|\.TryGo\(|\bAfterFunc\(")


@dataclass(slots=True)
class Launch:
    """One place where a goroutine starts.

    `kind` is `go`, `errgroup` (`g.Go`, also of a group of the project), `waitgroup` (`wg.Go`),
    `timer` (`time.AfterFunc`), `spawner` (a function of the project that launches what it is
    given) or `counted` (one that counts it in a WaitGroup, too). `node` is the `go` statement or
    the launching call; `call` the call that the goroutine runs (None for a function value handed
    over); `body` the function literal, or the declaration of the function or method launched,
    when it is visible.
    """

    kind: str
    node: Node
    call: Node | None
    body: Node | None
    decl: Decl | None
    value: Node | None = None
    """The function value that is handed over, where no call says what runs."""

    @property
    def runs(self) -> Node | None:
        """Return the call that the goroutine makes; for a method handed over as it would read.

        That of `g.Go(s.run)` has the text of `s.run`, and stands in a `go` statement of its own.
        """
        if self.call is not None or self.value is None:
            return self.call
        return as_launched(self.value)

    @property
    def function(self) -> Node | None:
        """Return the function that launches."""
        return self.node.function

    @property
    def statement(self) -> Node:
        """Return the statement that launches."""
        return self.node.statement or self.node

    @property
    def literal(self) -> Node | None:
        """Return the function literal that is launched, if it is one."""
        return self.body if self.body is not None and self.body.kind == "func_literal" else None

    @property
    def uncounted(self) -> bool:
        """Return whether nothing counts the goroutine: a `go`, or a call that stands for one."""
        return self.kind in {"go", "spawner"}

    @property
    def loop(self) -> Node | None:
        """Return the innermost loop around the launch, within the launching function."""
        return innermost_loop(self.node)


def outermost_loop(node: Node) -> Node | None:
    """Return the outermost `for` around a node, within its function."""
    found = None
    for ancestor in node.ancestors():
        if ancestor.kind in FUNCTIONS:
            break
        if ancestor.kind == "for_statement":
            found = ancestor
    return found


def innermost_loop(node: Node) -> Node | None:
    """Return the innermost `for` around a node, within its function."""
    for ancestor in node.ancestors():
        if ancestor.kind in FUNCTIONS:
            return None
        if ancestor.kind == "for_statement":
            return ancestor
    return None


def launches(file: GoFile) -> Iterator[Launch]:
    """Yield every launch in the functions of a file that parse."""
    for declaration in file.declarations(or_spawning(file.package, _LAUNCHES)):
        yield from launches_in(file, declaration.node)


def or_spawning(package: Package, pattern: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """Return a pattern for launches that finds calls of the package's plain spawners as well.

    Of its names for `time.AfterFunc`, too, where the pattern finds that.
    """
    from threadmend.golang.counted_spawners import counted_names
    from threadmend.golang.spawners import plain_names
    from threadmend.golang.timer_helpers import timer_names

    known: dict[bytes, re.Pattern[bytes]] = package.facts.setdefault("spawning", {})
    if pattern.pattern not in known:
        found = plain_names(package) | counted_names(package)
        if pattern.search(b"AfterFunc("):
            found = found | timer_names(package)
        names = [rb"\b%s\(" % name.encode() for name in sorted(found)]
        both = re.compile(b"|".join([pattern.pattern, *names])) if names else pattern
        known[pattern.pattern] = both
    return known[pattern.pattern]


def launches_in(file: GoFile, root: Node) -> Iterator[Launch]:
    """Yield the launches at or below a node, those inside literals included."""
    for node in _candidates(file, root):
        launch = _go(file, node) if node.kind == "go_statement" else _by_call(file, node)
        if launch is not None:
            yield launch


def _candidates(file: GoFile, root: Node) -> list[Node]:
    """Return the `go` statements and the calls that may launch by their names; computed once."""
    known: dict[Node, list[Node]] = file.package.facts.setdefault("may launch", {})
    found = known.get(root)
    if found is None:
        names, data = _launching_names(file.package), root.tree.data
        found = known[root] = []
        for node in root.find("go_statement", "call_expression"):
            if node.kind == "call_expression":
                function = node["function"]
                if function.kind == "selector_expression":
                    function = function["field"]
                if data[function.start : function.end] not in names:
                    continue
            found.append(node)
    return found


def _launching_names(package: Package) -> frozenset[bytes]:
    """Return the names of the calls that `_by_call` knows."""
    from threadmend.golang.counted_spawners import counted_names
    from threadmend.golang.spawners import plain_names
    from threadmend.golang.timer_helpers import timer_names

    known: frozenset[bytes] | None = package.facts.get("launching names")
    if known is None:
        names = {*_LAUNCHING, *plain_names(package), *timer_names(package)}
        names |= counted_names(package)
        known = package.facts["launching names"] = frozenset(n.encode() for n in names)
    return known


def launch_of_literal(file: GoFile, node: Node) -> Launch | None:
    """Return the launch that a `go` statement is, or that runs a function literal.

    The literal is the one of a `go` statement or the argument of `g.Go`, `wg.Go` or
    `time.AfterFunc`; or that of a variable which one `go` statement launches and nothing else uses.
    """
    if node.kind == "go_statement":
        return _go(file, node)
    arguments = node.parent
    if arguments is None or arguments.parent is None:
        return None
    if arguments.kind == "expression_list":
        return _only_launched(file, node, arguments.parent)
    if arguments.kind == "argument_list":
        return _by_call(file, arguments.parent)
    if arguments.kind == "call_expression" and arguments.parent.kind == "go_statement":
        return _go(file, arguments.parent)
    return None


def launch_at(file: GoFile, statement: Node) -> Launch | None:
    """Return the launch that a statement is, by `go` or by a function that launches."""
    if statement.kind == "go_statement":
        return _go(file, statement)
    call = statement.children[0] if statement.kind == "expression_statement" else None
    return _by_spawner(file, call) if call is not None and call.kind == "call_expression" else None


def _only_launched(file: GoFile, literal: Node, statement: Node) -> Launch | None:
    """Return the launch of `f := func() {…}` when `go f()` is all that happens to `f`."""
    if statement.kind != "short_var_declaration":
        return None
    left, right = statement["left"].children, statement["right"].children
    name = next((n for n, v in zip(left, right, strict=False) if v is literal), None)
    binding = file.binding(name) if name is not None else None
    uses = [u for u in binding.uses if u is not name] if binding is not None else []
    call = uses[0].parent if len(uses) == 1 else None
    if call is None or call.kind != "call_expression" or call.parent is None:
        return None
    if call["function"] is not uses[0] or call.parent.kind != "go_statement":
        return None
    return _go(file, call.parent)


def _go(file: GoFile, node: Node) -> Launch | None:
    call = next((c for c in node.children if c.kind == "call_expression"), None)
    if call is None:
        return None
    function = bare(call["function"])
    body, decl = body_run_by(file, function)
    if body is None:
        found = stands_for(file, function)
        if len(found) == 1:
            body, decl = found[0].node, found[0].decl
    return Launch("go", node, call, body, decl)


def is_spawned_by(file: GoFile, call: Node) -> bool:
    """Return whether a call launches what it is given, and does nothing else."""
    return _by_spawner(file, call) is not None


def _by_spawner(file: GoFile, node: Node) -> Launch | None:
    from threadmend.golang.spawners import plain_argument, plain_names

    function = node["function"]
    name = function["field"].name if function.kind == "selector_expression" else function.name
    if name not in plain_names(file.package):
        return None
    given = plain_argument(file, node)
    if given is None:
        return None
    body, decl = body_run_by(file, given)
    return Launch("spawner", node, None, body, decl, given)


_LAUNCHING = ("Go", "TryGo", "AfterFunc")


def _by_call(file: GoFile, node: Node) -> Launch | None:
    known = _by_library(file, node) or _by_timer(file, node) or _by_spawner(file, node)
    return known or _by_counted(file, node)


def _by_counted(file: GoFile, node: Node) -> Launch | None:
    """Return the launch of a call that counts in a WaitGroup what it launches."""
    from threadmend.golang.counted_spawners import counted_argument

    given = counted_argument(file, node)
    if given is None:
        return None
    body, decl = body_run_by(file, given)
    return Launch("counted", node, None, body, decl, given)


def _by_timer(file: GoFile, node: Node) -> Launch | None:
    """Return the launch of a call that stands for `time.AfterFunc`."""
    from threadmend.golang.timer_helpers import timed_argument, timer_names

    function = node["function"]
    name = function["field"].name if function.kind == "selector_expression" else function.name
    given = timed_argument(file, node) if name in timer_names(file.package) else None
    if given is None:
        return None
    body, decl = body_run_by(file, given)
    return Launch("timer", node, None, body, decl, given)


def is_handed_over(file: GoFile, value: Node) -> bool:
    """Return whether a function value is launched, or kept for later, by the call that it is for.

    `time.AfterFunc(d, s.fire)`, `g.Go(s.run)`, `http.HandleFunc("/", s.serve)`: it does not run
    under the locks that are held there.
    """
    from threadmend.golang.keepers import keeper

    arguments = value.parent
    call = arguments.parent if arguments is not None else None
    if arguments is None or arguments.kind != "argument_list" or call is None:
        return False
    if call.kind != "call_expression":
        return False
    launch = _by_call(file, call)
    if launch is not None:
        return launch.value is value
    function = call["function"]
    return function.kind == "selector_expression" and keeper(file, function) is not None


def _by_library(file: GoFile, node: Node) -> Launch | None:
    function = node["function"]
    if function.kind != "selector_expression":
        return None
    name = function["field"].name
    arguments = node["arguments"].children
    if name in {"Go", "TryGo"} and len(arguments) == 1:
        owner = file.type_of(function["operand"])
        selection = file.selection(function)
        owner = selection.owner if selection and selection.owner else owner
        kind = (
            "errgroup"
            if is_group(file.package.workspace, owner)
            else "waitgroup"
            if is_named(owner, "sync.WaitGroup")
            else None
        )
        if kind is None:
            return None
        body, decl = body_run_by(file, arguments[0])
        return Launch(kind, node, None, body, decl, arguments[0])
    if name == "AfterFunc" and len(arguments) == 2:
        selection = file.selection(function)
        path = file.imported(function["operand"].name)
        if selection is None or selection.kind != "package" or path != "time":
            return None
        body, decl = body_run_by(file, arguments[1])
        return Launch("timer", node, None, body, decl, arguments[1])
    return None


def launch_sites(package: Package) -> dict[tuple[str, int], list[Launch]]:
    """Return the launches of named functions in a package, by `Decl.key`."""
    known = package.facts.get("launch_sites")
    if known is None:
        known = package.facts["launch_sites"] = {}
        for file in package.files:
            for launch in launches(file):
                if launch.decl is not None:
                    known.setdefault(launch.decl.key, []).append(launch)
                elif launch.body is None and launch.call is not None:
                    for each in stands_for(file, launch.call["function"]):
                        if each.decl is not None:
                            one = Launch("go", launch.node, launch.call, each.node, each.decl)
                            known.setdefault(each.decl.key, []).append(one)
    return known


def started_by(decl: Decl, site: Site) -> Node | None:
    """Return what launches a goroutine where a function is used, which runs nothing but it.

    `go s.run()`, `go func() { s.run() }()`, or `spawn(s.run)` with a function that launches it.
    """
    if site.launched:
        return site.call
    if site.call is None:
        given = launched_value(decl, site)
        return given.node if given is not None and given.kind != "timer" else None
    literal = site.node.function
    if literal is None or literal.kind != "func_literal" or len(literal["body"].statements) != 1:
        return None
    launch = launch_of_literal(site.file, literal)
    return launch.node if launch is not None and launch.kind != "timer" else None


def launched_value(decl: Decl, site: Site) -> Launch | None:
    """Return the launch that a function is handed to as a value: `spawn(s.run)`, `wg.Go(s.run)`.

    Also what its variable is launched by: `run := s.run; go run()`.
    """
    for launch in launch_sites(decl.file.package).get(decl.key, ()):
        if launch.node.function is not site.node.function:
            continue
        if launch.node.contains(site.node):
            return launch
        name = launch.call["function"] if launch.call is not None else None
        binding = site.file.binding(name) if name is not None else None
        value = binding.value if binding is not None else None
        if binding is not None and value is not None and value.contains(site.node):
            if len(binding.uses) == len({binding.node, name}):
                return launch
    return None


def captures(function: Node) -> dict[Binding, list[Node]]:
    """Return the variables from outside that a literal uses, with the places in it."""
    found: dict[Binding, list[Node]] = {}
    for node in function.walk():
        if node.kind != "identifier":
            continue
        binding = resolve_local(node)
        if binding is None or not binding.is_variable:
            continue
        scope = binding.scope
        if scope.tree is function.tree and scope is not function and scope.start <= function.start:
            if scope.end >= function.end and not function.contains(binding.node):
                found.setdefault(binding, []).append(node)
    return found
