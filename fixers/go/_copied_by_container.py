"""Values with a lock in a generic container, whose methods give out copies of them.

rounds *registry.Table[string, round]       // round has a WaitGroup

r, ok := c.rounds.Get(name)                 // func (t *Table[K, V]) Get(k K) (V, bool)
r.walkers.Add(1)                            // nobody waits for this one

The container holds pointers instead, where all that goes in is made for it, and what comes
out is asked whether it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.golang.builders import BuilderError, with_reason
from threadmend.golang.builders.pointers import prefixed
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.locks import LOCK_CALLS
from threadmend.golang.named_like import may_call
from threadmend.golang.nocopy import nocopy
from threadmend.golang.package import Decl, Package
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named, deref
from threadmend.model import Edit, Finding, Fix, Related, Safety

__all__ = ["copied_by_containers"]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A variable that gets an element of a container: `at` is the place of its type in `owner`."""

    file: GoFile
    call: Node
    owner: Named
    at: int
    binding: Binding

    @property
    def element(self) -> Named:
        """Return the type of the elements."""
        element = self.owner.args[self.at]
        assert isinstance(element, Named)
        return element


def copied_by_containers(file: GoFile) -> Iterator[Finding]:
    """Yield, at its first place, what takes copies of locks out of a generic container."""
    known: list[list[_Taken]] | None = file.package.facts.get("copied by containers")
    if known is None:
        found: dict[Named, list[_Taken]] = {}
        for taken in _taken(file.package):
            found.setdefault(taken.owner, []).append(taken)
        known = file.package.facts["copied by containers"] = list(found.values())
    for places in known:
        if places[0].file is file:
            yield _finding(places)


def _taken(package: Package) -> Iterator[_Taken]:
    names = sorted(nocopy(package.workspace).types(package))
    if not names:
        return
    # As an argument of a type: `Table[string, round]`.
    words = b"|".join(re.escape(n.encode()) for n in names)
    pattern = re.compile(rb"\w\[(?:[^\]\n]*, ?)?(?:" + words + rb")[,\]]")
    if not any(pattern.search(file.data) for file in package.files):
        return
    is_asked = may_call(package.workspace, _OF_GENERIC, _returns_element)
    for file in (f for f in package.files if not f.is_test):
        for statement in file.find("short_var_declaration", _DECLARES, is_asked):
            values = statement["right"].children
            call = values[0] if len(values) == 1 else None
            taken = _of_call(file, statement, call) if call is not None else None
            if taken is not None and any(_uses_lock(file, use) for use in taken.binding.uses):
                yield taken


def _of_call(file: GoFile, statement: Node, call: Node) -> _Taken | None:
    if call.kind != "call_expression" or call["function"].kind != "selector_expression":
        return None
    owner = deref(file.type_of(call["function"]["operand"]))
    if not isinstance(owner, Named) or not owner.args:
        return None
    decl = file.callee(call)
    at = _place_of_element(decl) if decl is not None else None
    if decl is None or at is None:
        return None
    element = owner.args[at] if at < len(owner.args) else None
    if not isinstance(element, Named) or not nocopy(file.package.workspace).path(element):
        return None
    binding = file.binding(statement["left"].children[0])
    if binding is None or not _hands_out(decl):
        return None
    return _Taken(file, call, owner, at, binding)


_DECLARES = re.compile(rb":=")
_OF_GENERIC = re.compile(rb"\bfunc\s*\([^)]*\[")


def _returns_element(decl: Decl) -> bool:
    return _place_of_element(decl) is not None


def _place_of_element(decl: Decl) -> int | None:
    """Return which of the type parameters of its receiver a method returns first."""
    if decl.kind != "method" or not decl.sound or not decl.has_body:
        return None
    results, own = [node.text for node in result_nodes(decl.node)], _own_names(decl)
    return own.index(results[0]) if results and results[0] in own else None


def _own_names(decl: Decl) -> list[bytes]:
    """Return the names that a method has for the type parameters of its receiver."""
    receiver = decl.node.get("receiver")
    given = next(receiver.find("type_arguments"), None) if receiver is not None else None
    return [node.text for node in given.children] if given is not None else []


def _hands_out(decl: Decl) -> bool:
    """Return whether all that a method returns first is read from its object, which keeps it."""
    returned = [
        node.children[1].children[0]
        for node in decl.node["body"].own()
        if node.kind == "return_statement" and len(node.children) > 1
    ]
    if re.search(rb"\bdelete\(|= append\(|\.Delete|\.Remove", decl.node["body"].text):
        return False  # it gives away what it has
    return bool(returned) and any(_is_read(decl, value) for value in returned)


def _is_read(decl: Decl, value: Node) -> bool:
    if value.kind == "identifier":
        binding = decl.file.binding(value)
        made = binding.declaration.get("right") if binding is not None else None
        value = made.children[0] if made is not None and len(made.children) == 1 else value
    if value.kind != "index_expression":
        return False
    root = next(value.find("identifier"), None)
    binding = decl.file.binding(root) if root is not None else None
    return binding is not None and binding.kind == "receiver"


def _uses_lock(file: GoFile, use: Node) -> bool:
    """Return whether a lock of a variable is used: `r.mu.Lock()`, or `r.add()`, which takes it."""
    field = use.parent
    if field is None or field.kind != "selector_expression" or use.field != "operand":
        return False
    above = field.parent
    if above is not None and above.kind == "selector_expression" and field.field == "operand":
        called = above.parent is not None and above.parent.kind == "call_expression"
        called = called and above["field"].name != "Load"  # of an atomic: as it was
        return called and bool(nocopy(file.package.workspace).path(file.type_of(field)))
    if above is None or above.kind != "call_expression" or field.field != "function":
        return False
    decl = file.callee(above)
    return decl is not None and decl.has_body and LOCK_CALLS.search(decl.node.text) is not None


def _finding(places: list[_Taken]) -> Finding:
    first = places[0]
    locks = nocopy(first.file.package.workspace).path(first.element)
    name, given = first.binding.name, first.call["function"].name
    fix, reason = with_reason(_fix)(places)
    return Finding(
        path=first.file.path,
        start=first.call.start,
        end=first.call.end,
        message=f"{name} is a copy of what {given} finds, which contains a {locks[-1]}",
        fixes=(fix,) if fix else (),
        related=tuple(
            Related(p.file.path, p.call.start, p.call.end, "another copy") for p in places[1:4]
        ),
        reason=reason,
    )


# -- the container holds pointers -----------------------------------------------------------


def _fix(places: list[_Taken]) -> Fix:
    """Let the container hold pointers, with all that goes in and comes out of it."""
    first = places[0]
    package, element = first.file.package, first.element
    if element.package != package.key or element.local or element.name[:1].isupper():
        raise BuilderError(f"other packages may use {element.name} as well")
    edits: list[Edit] = []
    for file in package.files:
        for arguments in _type_arguments(file):
            named = [n for n in arguments.children if n.text == element.name.encode()]
            if named and not _is_of(file, arguments, first.owner):
                raise BuilderError(f"{element.name} is an argument of another generic type")
            edits += [prefixed(node, b"*") for node in named]
        for call in file.find("call_expression"):
            edits += _followed(file, call, first)
    reason = f"all who get the same {element.name} then share it"
    title = f"Keep pointers to {element.name}"
    return Fix(title, tuple(dict.fromkeys(edits)), Safety.UNSAFE, reason)


def _type_arguments(file: GoFile) -> Iterator[Node]:
    yield from file.find("type_arguments")
    for decls in file.package.names.values():
        for decl in decls:
            if decl.file is file and decl.kind == "type":
                yield from decl.node.find("type_arguments")


def _is_of(file: GoFile, arguments: Node, owner: Named) -> bool:
    """Return whether the arguments are those of a container, or of what makes one."""
    parent = arguments.parent
    if parent is None:
        return False
    made = file.type_of(parent) if parent.kind == "call_expression" else file.type_from(parent)
    return deref(made) == owner


def _followed(file: GoFile, call: Node, first: _Taken) -> Iterator[Edit]:
    """Yield the edits of a call on the container; raises BuilderError."""
    function = call["function"]
    if function.kind != "selector_expression":
        return
    if deref(file.type_of(function["operand"])) != first.owner:
        return
    decl = file.callee(call)
    names = _own_names(decl) if decl is not None else []
    if decl is None or first.at >= len(names):
        raise BuilderError(f"{function.name} is not known")
    name, given = names[first.at], call["arguments"].children
    word, at = re.compile(rb"\b" + re.escape(name) + rb"\b"), 0
    for parameter in decl.node["parameters"].children:
        count = max(1, len(parameter.all("name")))
        if parameter["type"].text == name:
            for value in given[at : at + count]:
                if value.kind != "composite_literal":
                    raise BuilderError(f"what {function.name} gets is not made for it")
                yield prefixed(value, b"&")
        elif word.search(parameter["type"].text):
            raise BuilderError(f"{function.name} takes more than an element")
        at += count
    results = [node.text for node in result_nodes(decl.node)]
    if any(word.search(text) for text in results):
        _checked(file, call, results, name)


def _checked(file: GoFile, call: Node, results: list[bytes], name: bytes) -> None:
    """Raise BuilderError unless what comes out is asked for, and used by its fields alone."""
    statement = call.statement
    targets = statement["left"].children if statement is not None and _declares(statement) else []
    test = statement.next if statement is not None else None
    if results != [name, b"bool"] or len(targets) != 2 or test is None:
        raise BuilderError(f"what {call['function'].name} gives may be nothing")
    if targets[0].name != "_":
        asked = test.kind == "if_statement" and test["condition"].text == b"!" + targets[1].text
        if not asked or not _leaves(test["consequence"]):
            raise BuilderError(f"what {call['function'].name} gives may be nothing")
        binding = file.binding(targets[0])
        for use in binding.uses if binding is not None else ():
            above = use.parent
            if use is targets[0]:
                continue
            if above is None or above.kind != "selector_expression" or test.contains(use):
                raise BuilderError(f"{targets[0].name} is used as a whole")


def _declares(statement: Node) -> bool:
    return statement.kind == "short_var_declaration"


def _leaves(block: Node) -> bool:
    return bool(block.statements) and block.statements[-1].kind in _LEAVING


_LEAVING = frozenset({"return_statement", "continue_statement", "break_statement"})
