"""When a function value or pointer made in a loop is used: in its iteration, or later.

    later = outlives(file, loop, literal)    # None: every use known is in the iteration

A value is followed from where it is made through parentheses, conversions, composite
literals, variables of the iteration, calls of functions that are visible, and literals that
run in place. What it is handed to and cannot be seen does not count as later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.access import classify, root_name
from threadmend.golang.flow import Point, flow_of
from threadmend.golang.functions import call_of
from threadmend.golang.given_constants import leaves_out
from threadmend.golang.infer import is_decl
from threadmend.golang.iterations import turns, waits_at
from threadmend.golang.keepers import keeper, parameter_name
from threadmend.golang.node import bare
from threadmend.golang.scope import Binding, bindings_in
from threadmend.golang.subtests import TESTS, is_subtest, parallel_call
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Array, Pointer, Struct, is_named

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = ["Later", "Search", "outlives", "used_later"]

_DEPTH = 12
_LOCKS = re.compile(rb"\.R?(?:Unl|L)ock\(\)$")
_THROUGH = frozenset(
    {
        *("parenthesized_expression", "literal_element", "keyed_element", "literal_value"),
        *("composite_literal", "type_conversion_expression", "type_assertion_expression"),
    }
)


@dataclass(frozen=True, slots=True)
class Later:
    """A use that may come after the iteration: by what, and the node that arranges it.

    `how` is `goroutine`, `deferred function`, `parallel subtest`, `timer function`,
    `cleanup function`, `finalizer`, `stored function` or `returned` (from a function that
    is asked about).
    """

    how: str
    node: Node


def outlives(file: GoFile, loop: Node, value: Node) -> Later | None:
    """Return how a function or pointer made by `value` is used after its iteration of `loop`."""
    return Search(file, loop).value(value)


def used_later(file: GoFile, loop: Node, place: Node) -> Later | None:
    """Return how a place inside a literal in `loop` runs after the iteration that made it."""
    return Search(file, loop).place(place)


class Search:
    """A walk from a value to its uses. `loop` may be a function: then its runs are meant.

    With `whole`, whatever is stored outside of the run counts, however often it is replaced.
    """

    whole = False

    def __init__(self, file: GoFile, loop: Node) -> None:
        self.file = file
        self.loop = loop
        self.outer = loop if loop.kind in FUNCTIONS else loop.function
        self.seen: set[Node] = set()

    # -- a place that runs ------------------------------------------------------------

    def place(self, place: Node) -> Later | None:
        """Follow a place to the literal that holds it, and that literal to its callers."""
        function = place.function
        if function is None or function.kind != "func_literal" or function is self.outer:
            return None
        return self.value(function, place)

    # -- a value that goes somewhere --------------------------------------------------

    def value(self, node: Node, place: Node | None = None) -> Later | None:
        """Follow a function or pointer; `place` is the position of interest inside a literal."""
        if node in self.seen or len(self.seen) > 200:
            return None
        self.seen.add(node)
        try:
            return self._to_parent(node, place)
        finally:
            if place is not None:
                self.seen.discard(node)

    def _to_parent(self, node: Node, place: Node | None) -> Later | None:
        inner, outer = node, node.parent
        while outer is not None and (outer.kind in _THROUGH or _is_address(outer)):
            inner, outer = outer, outer.parent
        if outer is None:
            return None
        kind = outer.kind
        if kind == "call_expression":
            return self._called(outer, inner)
        if kind == "argument_list" and outer.parent is not None:
            return self._argument(outer.parent, inner, place)
        if kind == "send_statement" and inner.field == "value":
            return self._unless_waited(outer, "stored function")
        if kind == "expression_list" and outer.parent is not None:
            if outer.parent.kind == "return_statement":
                return self._returned(outer)
        if kind == "range_clause":
            return self._ranged(outer)
        if kind == "selector_expression" and _is_called(outer):
            return self.method(outer)
        return self._assigned(inner, outer)

    def method(self, selector: Node) -> Later | None:
        """Say when a method runs that is called on what holds the value: `go w.run()`."""
        statement = selector.parent.parent if selector.parent is not None else None
        if statement is not None and statement.kind == "go_statement":
            return self._unless_waited(statement, "goroutine")
        return None

    def _called(self, call: Node, function: Node) -> Later | None:
        statement = call.parent
        if statement is not None and statement.kind == "go_statement":
            return self._unless_waited(statement, "goroutine")
        if statement is not None and statement.kind == "defer_statement":
            return self._deferred(statement, "deferred function")
        return self.place(call)

    def _deferred(self, statement: Node, how: str) -> Later | None:
        if statement.function is self.outer:
            return Later(how, statement)
        return self.place(statement)

    def _argument(self, call: Node, argument: Node, place: Node | None) -> Later | None:
        if call.kind == "type_conversion_expression":
            return self.value(call, place)
        statement = call.parent
        if statement is not None and statement.kind in {"go_statement", "defer_statement"}:
            return self._called(call, call["function"])
        function = bare(call["function"])
        if function.kind == "func_literal":
            return self.place(call) or self._parameter(function, call, argument)
        if function.kind == "identifier" and self.file.resolve(function) is None:
            return self.value(call, place) if function.name == "append" else None
        if self._is_conversion(call, function):
            return self.value(call, place)
        if function.kind == "selector_expression":
            known, later = self._kept_by(function, call, argument, place)
            if known:
                return later
        decl = self.file.callee(call)
        if decl is not None and decl.node.get("body") is not None:
            return self._parameter(decl.node, call, argument)
        return self.unseen(call)

    def unseen(self, call: Node) -> Later | None:
        """Say what a call does with the value whose function cannot be seen."""
        return None

    def _is_conversion(self, call: Node, function: Node) -> bool:
        if function.kind == "selector_expression":
            selection = self.file.selection(function)
            return bool(selection and selection.decl and selection.decl.kind == "type")
        meant = self.file.resolve(function) if function.kind == "identifier" else None
        return is_decl(meant, "type") or (isinstance(meant, Binding) and meant.kind == "type")

    def _kept_by(
        self, function: Node, call: Node, argument: Node, place: Node | None
    ) -> tuple[bool, Later | None]:
        """Return whether an API is known, and when it calls its function argument."""
        how = keeper(self.file, function)
        if how is not None and self._only_ends(call, argument):
            return True, None
        if how is not None:
            launches = how == "goroutine" and function["field"].name != "AfterFunc"
            return True, self._unless_waited(call, how) if launches else Later(how, call)
        name = function["field"].name
        if name in {"Run", "Cleanup"} and is_named(self.file.type_of(function["operand"]), *TESTS):
            if name == "Cleanup":
                return True, self._cleanup(call)
            return True, self._subtest(call, argument, place)
        return False, None

    def _only_ends(self, call: Node, argument: Node) -> bool:
        """Return whether a value is the context whose end gives back what this run has got.

        `context.AfterFunc(ctx, func() { s.free <- slot })`, where `slot` is a variable of the run:
        nothing in the function is about what others go on with.
        """
        given = call["arguments"].children
        if self.whole or call["function"]["field"].name != "AfterFunc" or len(given) != 2:
            return False
        if given[0] is not argument or given[1].kind != "func_literal":
            return False
        if not is_named(self.file.type_of(argument), "context.Context"):
            return False
        return all(
            any(self._is_own(name, given[1]) for name in statement.find("identifier"))
            or _LOCKS.search(statement.text)
            for statement in given[1]["body"].statements
        )

    def _is_own(self, name: Node, literal: Node) -> bool:
        """Return whether a name in a literal is a variable of the run that makes it."""
        binding = self.file.binding(name)
        if binding is None or binding.kind != "variable" or literal.contains(binding.node):
            return False
        return self._of_iteration(name)

    def _cleanup(self, call: Node) -> Later | None:
        owner = call.function
        if owner is not self.outer and owner is not None and is_subtest(self.file, owner):
            # The cleanups of a subtest run when it ends.
            return self.place(call)
        return Later("cleanup function", call)

    def _subtest(self, call: Node, literal: Node, place: Node | None) -> Later | None:
        if literal.kind != "func_literal":
            return None
        at = parallel_call(self.file, literal)
        if at is None or (place is not None and place.end <= at.start):
            return self.place(call)
        owner = call.function
        if owner is not self.outer and owner is not None and is_subtest(self.file, owner):
            # A test ends after its parallel subtests: they run inside the one around.
            return self.place(call)
        return Later("parallel subtest", call)

    def _parameter(self, function: Node, call: Node, argument: Node) -> Later | None:
        """Follow an argument into the function that is called."""
        index = next((i for i, a in enumerate(call["arguments"].children) if a is argument), None)
        name = parameter_name(function, index)
        if name is None or len(self.seen) > _DEPTH:
            return None
        return self.within(function, name, call)

    def within(self, function: Node, name: Node, call: Node) -> Later | None:
        """Follow a parameter (or receiver) of a function that is called."""
        for binding in bindings_in(function).get(name.name, ()):
            if binding.node is name:
                inside = type(self)(self.file.package.workspace.file_of(function), function)
                inside.seen = self.seen
                for use in binding.uses:
                    if leaves_out(call, function, use):
                        continue
                    found = inside.value(use) or inside.place(use) if use is not name else None
                    if found is not None and found.how == "returned":
                        found = self.value(call)
                    if found is not None and found.how in _OUTLIVING:
                        # What a subtest registers, it uses before it ends.
                        stored = found.how == "stored function" and not self.whole
                        inner = self.file.is_test and call.function is not self.outer
                        if found.how == "goroutine":
                            return self._unless_waited(call, found.how)  # `p.Go(f); p.Wait()`
                        return None if stored and inner else Later(found.how, call)
        return None

    def _returned(self, statement: Node) -> Later | None:
        literal = statement.function
        if literal is self.outer and self.loop is self.outer:
            return Later("returned", statement)
        if literal is None or literal is self.outer or literal.kind != "func_literal":
            return None
        call = call_of(literal)
        return self.value(call) if call is not None else None

    def _ranged(self, clause: Node) -> Later | None:
        left = clause.get("left")
        names = left.children if left is not None else []
        return self._uses(names[1]) if len(names) > 1 else None

    # -- variables --------------------------------------------------------------------

    def _assigned(self, value: Node, outer: Node) -> Later | None:
        statement = outer.parent if outer.kind == "expression_list" else outer
        if statement is None:
            return None
        if statement.kind == "var_spec":
            targets = statement.all("name")
        elif statement.kind in {"short_var_declaration", "assignment_statement"}:
            if value.contains(statement["left"]) or statement["left"].contains(value):
                return None
            targets = statement["left"].children
        else:
            return None
        values = outer.children if outer.kind == "expression_list" else [value]
        at = next((i for i, v in enumerate(values) if v is value), 0)
        if len(values) == 1 and len(targets) > 1:
            return self.unpacked(targets, value)
        return self._into(targets[at], value) if at < len(targets) else None

    def unpacked(self, targets: list[Node], value: Node) -> Later | None:
        """Follow a value that is one of several results of a call (or `v, ok := x.(T)`)."""
        return self._into(targets[0], value)

    def _into(self, target: Node, value: Node) -> Later | None:
        if self.whole:
            return self._into_whole(target, value)
        if target.kind == "identifier":
            if self._of_iteration(target):
                return self._uses(target)
            kept = value.kind == "call_expression"  # xs = append(xs, …)
            return Later("stored function", value) if kept and _is_append(value) else None
        root = root_name(target)
        if root is None:
            return None
        if self._of_iteration(root):
            return self._uses(root)
        if target.kind == "index_expression":
            return Later("stored function", value) if self._varies(target) else None
        if _is_append(value):
            return Later("stored function", value)
        if target.kind == "selector_expression" and self._is_loop_variable(root):
            under = self.file.underlying(self.file.type_of(root))
            return Later("stored function", value) if isinstance(under, Pointer) else None
        return Later("stored function", value) if self._varies(target) else None

    def _into_whole(self, target: Node, value: Node) -> Later | None:
        """Follow a value into a variable of the function; anything else is outside."""
        root = root_name(target)
        binding = self.file.binding(root)
        if root is None or binding is None or not self.loop.contains(binding.node):
            return (
                None if root is not None and root.name == "_" else Later("stored function", value)
            )
        if binding.kind == "result":
            return Later("returned", value)
        if target is not root and binding.kind in {"receiver", "parameter"}:
            under = self.file.underlying(self.file.type_of(root))
            if not isinstance(under, Struct | Array):
                return Later("stored function", value)
        return self._uses(root)

    def _varies(self, target: Node) -> bool:
        """Return whether an assignment's target is another one in each iteration."""
        for index in target.find("index_expression"):
            for name in index["index"].find("identifier"):
                if self._of_iteration(name) or self._is_loop_variable(name):
                    return True
                binding = self.file.binding(name)
                if binding and any(_is_assigned(u) for u in binding.uses if self.loop.contains(u)):
                    return True
        return False

    def _is_loop_variable(self, name: Node) -> bool:
        binding = self.file.binding(name)
        return binding is not None and binding.scope is self.loop

    def _of_iteration(self, name: Node) -> bool:
        """Return whether a variable is made anew in each iteration (or call, for a callee)."""
        binding = self.file.binding(name)
        if binding is None or binding.scope is self.loop:
            return False
        return self.loop.contains(binding.node) and binding.kind != "receiver"

    def _uses(self, name: Node) -> Later | None:
        binding = self.file.binding(name)
        for use in binding.uses if binding is not None else ():
            if use is binding.node or len(self.seen) > 100:  # type: ignore[union-attr]
                continue
            if classify(use).kind not in {"write", "update", "store"}:
                found = self.value(use)
                if found is not None:
                    return found
        return None

    # -- waiting ----------------------------------------------------------------------

    def _unless_waited(self, launch: Node, how: str) -> Later | None:
        """Return a launch as later, unless every way to the next iteration waits for it."""
        function = launch.function
        if function is None:
            return None
        flow = flow_of(function)
        point = flow.point_of(launch)
        if point is None:
            return Later(how, launch)
        text = (launch.statement or launch).text

        within = function is self.outer and self.loop.kind == "for_statement"

        def waits(at: Point) -> bool:
            # What a loop defers, it does after its last iteration.
            return waits_at(at, text) and not (within and at.node.kind == "defer_statement")

        if within:
            later = bool(turns(flow, self.loop) & flow.reachable(point, stop=waits))
        else:
            # A test that fails on the way is over anyway.
            left = flow.exits_from(point, stop=waits)
            later = any(exit_.kind in {"return", "end", "blocked"} for exit_ in left)
        if later or not flow.complete:
            return Later(how, launch)
        return None if function is self.outer else self.place(launch)


_OUTLIVING = frozenset(
    {"returned", "goroutine", "timer function", "stored function", "finalizer", "cleanup function"}
)


def _is_address(node: Node) -> bool:
    return node.kind == "unary_expression" and node["operator"].kind == "&"


def _is_called(selector: Node) -> bool:
    return selector.parent is not None and selector.parent.kind == "call_expression"


def _is_append(node: Node) -> bool:
    return node.kind == "call_expression" and node["function"].text == b"append"


def _is_assigned(use: Node) -> bool:
    return classify(use).kind in {"write", "update"}
