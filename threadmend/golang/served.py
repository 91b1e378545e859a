"""Served: functions that an HTTP server runs, in goroutines of its own.

srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {…}))
mux.HandleFunc("/jobs", s.jobs)    // and mux goes to a server, by whatever way

A handler that somebody calls by `h.ServeHTTP(w, r)` may run right there, and is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadmend.golang.calls import callers
from threadmend.golang.channel_fields import literals_of
from threadmend.golang.channels import passed_to
from threadmend.golang.functions import call_of
from threadmend.golang.locks import declaration_of
from threadmend.golang.node import parenthesized
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import is_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadmend.golang.calls import Site
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl

__all__ = ["served_by"]

_DEPTH = 5
_SERVERS = {
    "net/http/httptest": ("NewServer", "NewTLSServer", "NewUnstartedServer"),
    "net/http": ("ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"),
}


def served_by(file: GoFile, function: Node) -> Node | None:
    """Return what gives a handler to a server (a call, a literal of one), if all is in sight.

    None where it is called in any other way.
    """
    known: dict[Node, Node | None] = file.package.facts.setdefault("served by", {})
    if function not in known:
        known[function] = _server_of(file, function) if _is_handler(file, function) else None
    return known[function]


def _is_handler(file: GoFile, function: Node) -> bool:
    parameters = function["parameters"]
    types = [p.get("type") for p in parameters.children for _ in p.all("name") or (p,)]
    if len(types) != 2 or b"Request" not in parameters.text:
        return False
    writer, request = (file.type_from(type_) for type_ in types)
    return is_named(writer, "net/http.ResponseWriter") and is_named(request, "net/http.Request")


def _server_of(file: GoFile, function: Node) -> Node | None:
    if function.kind == "func_literal":
        return _Search().of(file, function, _DEPTH)
    decl = declaration_of(file, function)
    if decl is None:
        return None
    serves = decl.kind == "method" and decl.name == "ServeHTTP"
    values: list[tuple[GoFile, Node]] = []
    for site in callers(decl):
        if site.call is None:
            values.append((site.file, _value(site.node)))
        elif not serves or _is_meant(site, decl):
            return None
    owner = decl.file.package.lookup(decl.receiver) if serves else None
    if owner is not None and owner.kind == "type":
        values += literals_of(owner)
    return _Search().any(values, _DEPTH)


def _is_meant(site: Site, method: Decl) -> bool:
    """Return whether a call is for the type of a method, and not for whatever handler it is."""
    function = site.call["function"] if site.call is not None else None
    operand = function.get("operand") if function is not None else None
    type_ = site.file.type_of(operand) if operand is not None else None
    return is_named(type_, f"{method.file.package.key}.{method.receiver}")


def _value(name: Node) -> Node:
    """Return the method value that a use of a method is a part of."""
    above = name.parent
    if above is not None and above.kind == "selector_expression" and name.field == "field":
        return above
    return name


class _Direct(Exception):  # noqa: N818 - an answer, not an error
    """A handler is called where a server need not be the one who calls."""


class _Search:
    """Follows values upwards to what they are given to."""

    def __init__(self) -> None:
        self.seen: set[Node] = set()

    def any(self, values: list[tuple[GoFile, Node]], depth: int) -> Node | None:
        """Return the server that gets one of some values, None where one is called directly."""
        found = None
        try:
            for file, value in values:
                found = self.follow(file, value, depth) or found
        except _Direct:
            return None
        return found

    def of(self, file: GoFile, value: Node, depth: int) -> Node | None:
        """Return the server that gets a value."""
        return self.any([(file, value)], depth)

    def follow(self, file: GoFile, value: Node, depth: int) -> Node | None:
        """Return the server that a value goes to."""
        value = parenthesized(value)
        above = value.parent
        if above is None or depth == 0 or value in self.seen:
            return None
        self.seen.add(value)
        if above.kind == "unary_expression" and above["operator"].kind == "&":
            return self.follow(file, above, depth)
        if above.kind == "selector_expression" and value.field == "operand":
            return self._selected(file, above, depth)
        if above.kind == "argument_list" and above.parent is not None:
            return self._given(file, above.parent, value, depth)
        if above.kind == "literal_element":
            return self._element(file, above, depth)
        if above.kind == "expression_list" and above.parent is not None:
            return self._listed(file, above, value, depth)
        return None

    def _selected(self, file: GoFile, selector: Node, depth: int) -> Node | None:
        """Follow what is called of a value: a router gets handlers, and is one itself."""
        if selector["field"].name == "ServeHTTP":
            return self._called(file, selector, depth)
        return None

    def _called(self, file: GoFile, place: Node, depth: int) -> Node | None:
        """Follow the handler that calls another one: a wrapper."""
        inner = place.function
        if inner is None or inner.kind != "func_literal" or not _is_handler(file, inner):
            raise _Direct
        return self.follow(file, inner, depth - 1)

    def _given(self, file: GoFile, call: Node, value: Node, depth: int) -> Node | None:
        function = call.get("function")
        if function is None:
            return None
        if function.kind == "selector_expression":
            operand, name = function["operand"], function["field"].name
            path = file.imported(operand.name) if file.binding(operand) is None else None
            if path is not None and name in _SERVERS.get(path, ()):
                return call
            if path == "net/http" and name in {"HandlerFunc", "TimeoutHandler", "StripPrefix"}:
                return self.follow(file, call, depth)
            if path == "net/http" and name in {"Handle", "HandleFunc"}:
                return _default_server(file)
        passed = passed_to(file, value)
        if passed is not None:
            found = self.follow(file, call, depth - 1)
            return self._variable(passed[1], passed[2], depth - 1) if found is None else found
        converted = file.package.workspace.inference.calls.converted(call)
        if converted is None and function.kind == "selector_expression" and path is None:
            return self._registered(file, function, depth)
        return self.follow(file, call, depth - 1)

    def _registered(self, file: GoFile, function: Node, depth: int) -> Node | None:
        """Follow the router that a handler is registered with: `mux.HandleFunc("/", f)`."""
        operand = function["operand"]
        while operand.kind == "call_expression" and operand.get("function") is not None:
            inner = operand["function"]
            if inner.kind != "selector_expression":
                break
            operand = inner["operand"]
        binding = file.binding(operand)
        if binding is not None:
            return self._variable(file, binding, depth - 1)
        return self._alike(file, operand, depth - 1) if operand.kind == _SELECTOR else None

    def _element(self, file: GoFile, element: Node, depth: int) -> Node | None:
        """Follow the field of a literal: that of a server, or of an entry of a table of cases."""
        keyed = element.parent
        if keyed is None or keyed.kind != "keyed_element" or element is keyed["key"]:
            return None
        body = keyed.parent
        literal = body.parent if body is not None else None
        if literal is None:
            return None
        if literal.kind == "composite_literal":
            if is_named(file.type_of(literal), "net/http.Server"):
                return literal if keyed["key"].text == b"Handler" else None
        return self._cases(file, keyed, depth - 1)

    def _cases(self, file: GoFile, keyed: Node, depth: int) -> Node | None:
        """Follow what a function does with a field that it sets in a literal of its own."""
        name, outer = keyed["key"].text, keyed.function
        while outer is not None and outer.function is not None:
            outer = outer.function
        found = None
        for node in outer.find(_SELECTOR) if outer is not None else ():
            if node["field"].text == name and call_of(node) is None:
                found = self.follow(file, node, depth) or found
        return found

    def _alike(self, file: GoFile, path: Node, depth: int) -> Node | None:
        """Follow the other places of a declaration that write a path the same: `s.mux`."""
        top = next((a for a in reversed(list(path.ancestors())) if a.kind in FUNCTIONS), None)
        found = None
        for node in top.find(_SELECTOR) if top is not None else ():
            if node is not path and node.text == path.text:
                found = self.follow(file, node, depth) or found
        return found

    def _listed(self, file: GoFile, group: Node, value: Node, depth: int) -> Node | None:
        """Follow a value that is returned, or that a variable or a server's field gets."""
        statement = group.parent
        if statement is None:
            return None
        if statement.kind == "return_statement":
            return self._returned(file, statement, depth - 1)
        left = statement.get("left")
        names = left.children if left is not None else statement.all("name")
        index = group.children.index(value)
        if group.field not in {"right", "value"} or index >= len(names):
            return None
        target = names[index]
        if target.kind == _SELECTOR:
            owner = file.selection(target)
            if owner is not None and is_named(owner.owner, "net/http.Server"):
                return statement if target["field"].name == "Handler" else None
            return self._alike(file, target, depth - 1)
        binding = file.binding(target)
        return self._variable(file, binding, depth - 1) if binding is not None else None

    def _returned(self, file: GoFile, statement: Node, depth: int) -> Node | None:
        function = statement.function
        if function is None:
            return None
        if function.kind == "func_literal":
            return self.follow(file, function, depth)  # a wrapper, or a callback that makes one
        decl = declaration_of(file, function)
        found = None
        for site in callers(decl) if decl is not None else ():
            if site.call is not None:
                found = self.follow(site.file, site.call, depth) or found
        return found

    def _variable(self, file: GoFile, binding: Binding, depth: int) -> Node | None:
        """Follow a variable; one whose function is called directly is a helper's callback."""
        found = None
        for use in _uses(binding):
            if call_of(use) is not None:
                found = self._called(file, use, depth) or found
                continue
            found = self.follow(file, use, depth) or found
        return found


_SELECTOR = "selector_expression"


def _uses(binding: Binding) -> Iterator[Node]:
    return (use for use in binding.uses if use is not binding.node)


def _default_server(file: GoFile) -> Node | None:
    """Return the call of a file that serves what is registered with http itself."""
    for call in file.calls("ListenAndServe", "ListenAndServeTLS", "Serve", "NewServer"):
        arguments = call["arguments"].children
        if any(a.text in {b"nil", b"http.DefaultServeMux"} for a in arguments):
            return call
    return None
