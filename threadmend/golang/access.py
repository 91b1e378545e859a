"""Access paths (`s.inner.mu`) and the uses of a variable: which object an expression means.

Two equal paths in one function mean one object as long as nothing on the path is assigned;
two different paths are two objects until shown to be one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import FUNCTIONS, Node
from threadmend.golang.types import Chan, Map, Named, Pointer, Struct, Type, deref

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile

__all__ = [
    "Access",
    "Use",
    "access_of",
    "is_assigned_once",
    "lock_class",
    "meant_by",
    "path_behind",
    "root_name",
    "selector_called",
    "selector_meant",
    "stored_in",
    "uses_of",
    "variable_meant",
]

Root = Binding | tuple[str, int, int]


# Not frozen, which makes creation three times as slow: there are a hundred thousand.
@dataclass(slots=True, unsafe_hash=True)
class Access:
    """A variable and the fields (or `[index]`) that lead from it to an object.

    `root` is the local binding, or (path, offset, index) of a package-level variable.
    """

    root: Root
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = self.root.name if isinstance(self.root, Binding) else "(package)"
        text = name
        for step in self.steps:
            text += step if step.startswith("[") else f".{step}"
        return text

    def under(self, other: Access) -> bool:
        """Return whether this object is `other` or a part of it."""
        return self.root == other.root and self.steps[: len(other.steps)] == other.steps

    @property
    def owner(self) -> Access | None:
        """Return the path without its last step: the struct that holds the field."""
        return Access(self.root, self.steps[:-1]) if self.steps else None


def access_of(file: GoFile, node: Node | None, via: tuple[str, ...] = ()) -> Access | None:
    """Return the access path of an expression, None for calls and other computed values.

    `&x`, `*x` and parentheses do not change which object is meant. A local that is assigned
    once, as a pointer to a path (`mu := &s.mu`) or as another name for a pointer that keeps its
    value (`self := s`), stands for that path. `via` are embedded fields to add at the end.
    """
    steps: list[str] = []
    while node is not None:
        kind = node.kind
        if kind == "parenthesized_expression":
            node = node.children[0]
        elif kind == "unary_expression" and node["operator"].kind in {"&", "*"}:
            node = node["operand"]
        elif kind == "index_expression":
            index = node.get("index")
            steps.append(f"[{index.name if index else ''}]")
            node = node["operand"]
        elif kind == "selector_expression":
            selection = file.selection(node)
            if selection is not None and selection.kind == "package":
                if is_decl(selection.decl, "var"):
                    root: Root = (*selection.decl.key, selection.decl.index)
                    return Access(root, (*reversed(steps), *via))
                return None
            steps.append(node["field"].name)
            if selection is not None:
                steps.extend(reversed(selection.via))
            node = node["operand"]
        elif kind == "identifier":
            return _rooted(file, node, (*reversed(steps), *via))
        else:
            return None
    return None


def _rooted(file: GoFile, node: Node, steps: tuple[str, ...]) -> Access | None:
    meant = file.resolve(node)
    if is_decl(meant, "var"):
        return Access((*meant.key, meant.index), steps)
    if not isinstance(meant, Binding) or not meant.is_variable:
        return None
    target = path_behind(file, meant)
    if target is not None:
        inner = access_of(file, target)
        if inner is not None:
            return Access(inner.root, inner.steps + steps)
    return Access(meant, steps)


def path_behind(file: GoFile, binding: Binding) -> Node | None:
    """Return `path` of `name := &path`, or `p` of `name := p`; neither is assigned again.

    An interface makes no difference: `var name sync.Locker = &path`.
    """
    if binding.declaration.kind not in {"short_var_declaration", "var_spec"}:
        return None
    known: dict[Binding, Node | None] = vars(file).setdefault("_stands_for", {})
    if binding not in known:
        known[binding] = None
        known[binding] = _find_path(file, binding)
    return known[binding]


def _find_path(file: GoFile, binding: Binding) -> Node | None:
    value = binding.value
    if value is None:
        return None
    if value.kind == "identifier":
        return value if _is_other_name(file, binding, value) else None
    if value.kind == "selector_expression":
        return value if is_assigned_once(binding) and _is_kept(file, value) else None
    if value.kind != "unary_expression" or value["operator"].kind != "&":
        return None
    operand = value["operand"]
    if operand.kind not in {"identifier", "selector_expression"}:
        return None
    return operand if is_assigned_once(binding) else None


_SETS = re.compile(rb"\.(\w+)(?:,[^=\n:]*)?[ \t]*(?:[-+|&*/]?=(?!=)|\+\+|--)|&[\w.]*\.(\w+)\b")


def _is_kept(file: GoFile, path: Node) -> bool:
    """Return whether a path of fields leads to one channel, map or object all the time.

    Nobody in the package assigns fields of these names, but in literals.
    """
    if not isinstance(file.underlying(file.type_of(path)), Chan | Pointer | Map):
        return False
    known: set[bytes] | None = file.package.facts.get("fields that are set")
    if known is None:
        found = [n for f in file.package.files for pair in _SETS.findall(f.data) for n in pair]
        known = file.package.facts["fields that are set"] = set(found)
    node = path
    while node.kind == "selector_expression":
        selection = file.selection(node)
        if selection is None or selection.kind != "field" or node["field"].text in known:
            return False
        node = node["operand"]
    meant = file.resolve(node) if node.kind == "identifier" else None
    return isinstance(meant, Binding) and meant.is_variable and is_assigned_once(meant)


def selector_called(file: GoFile, call: Node) -> Node | None:
    """Return the selector that a call is of: `x.m` of `x.m()`, and of `f()` after `f := x.m`."""
    function = call["function"]
    if function.kind == "identifier":
        binding = file.binding(function)
        value = binding.value if binding is not None and binding.kind == "variable" else None
        if binding is None or value is None or value.kind != "selector_expression":
            return None
        return value if is_assigned_once(binding) else None
    return function if function.kind == "selector_expression" else None


def variable_meant(file: GoFile, name: Node) -> Binding | None:
    """Return the local variable that a name means: for `self := s` the receiver `s` itself."""
    binding = file.binding(name)
    target = path_behind(file, binding) if binding is not None else None
    if (
        target is None
        or target.kind != "identifier"
        or not isinstance(file.type_of(target), Pointer)
    ):
        return binding
    return variable_meant(file, target)


def meant_by(file: GoFile, node: Node) -> Node:
    """Return the path that a local name stands for in the place of it; else the expression."""
    binding = file.binding(node) if node.kind == "identifier" else None
    path = path_behind(file, binding) if binding is not None else None
    return meant_by(file, path) if path is not None else node


def selector_meant(file: GoFile, node: Node) -> Node | None:
    """Return the selector that an expression is, or that a local name stands for."""
    path = meant_by(file, node)
    return path if path.kind == "selector_expression" else None


def _is_other_name(file: GoFile, binding: Binding, value: Node) -> bool:
    """Return whether a name means the object that a pointer, a receiver or parameter, leads to;
    or the channel that another variable holds.
    """
    meant = file.resolve(value)
    if not isinstance(meant, Binding) or not meant.is_variable:
        return False
    if not is_assigned_once(binding) or not is_assigned_once(meant):
        return False
    if isinstance(file.underlying(file.type_of(value)), Chan):
        return True
    return meant.kind != "variable" and isinstance(file.type_of(value), Pointer)


def is_assigned_once(binding: Binding) -> bool:
    """Return whether a variable keeps the value of its declaration."""
    return not any(use.kind in {"write", "update"} for use in uses_of(binding))


@dataclass(slots=True)
class Use:
    """One use of a variable.

    `kind`: `declare`; `write` (`x = …`), `update` (`x++`, `x += …`, `x = append(x, …)` counts
    as write); `store` (a write through it: `x.f = …`, `x[i] = …`, `*x = …`, `x.f++`,
    `delete(x, k)`); `address` (`&x`, `&x.f`); `read`. `node` is the identifier, `target` the
    whole operand (`x.f[i]`), `function` the innermost function around it.
    """

    node: Node
    kind: str
    target: Node
    function: Node | None


_CHAINS = frozenset(
    {
        "selector_expression",
        "index_expression",
        "slice_expression",
        "parenthesized_expression",
        "unary_expression",
    }
)


def uses_of(binding: Binding) -> list[Use]:
    """Return every use of a variable, its declaration included, in source order."""
    return [classify(node, binding) for node in binding.uses]


def classify(node: Node, binding: Binding | None = None) -> Use:
    """Return how an identifier is used."""
    function = node.parent
    while function is not None and function.kind not in FUNCTIONS:
        function = function.parent
    if binding is not None and node is binding.node:
        return Use(node, "declare", node, function)
    target = node
    through = False
    while target.parent is not None and target.parent.kind in _CHAINS:
        parent = target.parent
        kind = parent.kind
        if kind == "unary_expression":
            operator = parent["operator"].kind
            if operator == "&":
                return Use(node, "address", target, function)
            if operator != "*":
                break
        if kind in {"selector_expression", "index_expression", "slice_expression"}:
            if target.field != "operand":
                break
        if kind != "parenthesized_expression":
            through = True
        target = parent
    return Use(node, _kind(target, through), target, function)


def _kind(target: Node, through: bool) -> str:
    parent = target.parent
    if parent is None:
        return "read"
    if parent.kind in {"inc_statement", "dec_statement"}:
        return "store" if through else "update"
    if parent.kind == "expression_list" and parent.field == "left" and parent.parent is not None:
        statement = parent.parent
        if statement.kind == "assignment_statement":
            if through:
                return "store"
            return "write" if statement["operator"].kind == "=" else "update"
        if statement.kind in {"range_clause", "receive_statement", "short_var_declaration"}:
            return "store" if through else "write"
    if parent.kind == "argument_list" and parent.parent is not None:
        function = parent.parent.get("function")
        if function is not None and function.kind == "identifier":
            if function.name in {"delete", "clear"} and parent.children[0] is target:
                return "store"
    return "read"


def lock_class(file: GoFile, node: Node, via: tuple[str, ...] = ()) -> str | None:
    """Return the class of a lock (or channel) expression: `pkg/path.Type.field`, or a variable.

    All instances of a type share the class of a field. A local variable's class is its
    place; a package-level variable's is `pkg/path.name`.
    """
    while node.kind == "parenthesized_expression" or (
        node.kind == "unary_expression" and node["operator"].kind in {"&", "*"}
    ):
        node = node.children[-1]
    if via and (promoted := _promoted(file, node, via)) is not None:
        return promoted
    if node.kind == "index_expression":
        inner = lock_class(file, node["operand"])
        return f"{inner}[]{_dotted(via)}" if inner else None
    if node.kind == "selector_expression":
        selection = file.selection(node)
        if selection is None:
            return None
        if selection.kind == "package":
            if selection.decl is None:
                return None
            return f"{selection.decl.file.package.path}.{selection.name}{_dotted(via)}"
        if selection.owner is None:
            inner = lock_class(file, node["operand"])
            return f"{inner}.{selection.name}{_dotted(via)}" if inner else None
        owner = f"{selection.owner.package}.{selection.owner.name}"
        return f"{owner}.{selection.name}{_dotted(via)}"
    if node.kind == "identifier":
        return _class_of_name(file, node, via)
    return None


def _promoted(file: GoFile, node: Node, via: tuple[str, ...]) -> str | None:
    """Return the class of a lock that is embedded in what an expression holds.

    It is named for the innermost declared type, whose own methods reach it by a shorter way:
    `desk.Lock()` and `book.Lock()`, where the desk embeds a book and the book the lock. A type
    with nothing else in it (`type Mutex struct { sync.Mutex }`) is a lock by another name: each
    field or variable of it is a lock of its own.
    """
    type_ = deref(file.type_of(node))
    if len(via) == 1 and _is_bare(file, type_):
        return None
    found = None
    for index, name in enumerate(via):
        if type_ is None:
            break
        if isinstance(type_, Named) and type_.package and not type_.local:
            found = f"{type_.package}.{type_.name}{_dotted(via[index:])}"
        selection = file.package.workspace.inference.member(type_, name)
        type_ = deref(selection.type) if selection is not None else None
    return found


def _is_bare(file: GoFile, type_: Type | None) -> bool:
    """Return whether a declared struct holds nothing but what it embeds."""
    if not isinstance(type_, Named) or not type_.package or type_.local:
        return False
    under = file.underlying(type_)
    if not isinstance(under, Struct):
        return False
    fields = list(under.node.find("field_declaration"))
    return len(fields) == 1 and not fields[0].all("name")


def _class_of_name(file: GoFile, node: Node, via: tuple[str, ...]) -> str | None:
    meant = file.resolve(node)
    if is_decl(meant, "var"):
        return f"{meant.file.package.path}.{meant.name}{_dotted(via)}"
    if isinstance(meant, Binding):
        if via:
            type_ = file.type_of(node)
            named = getattr(type_, "elem", type_)
            if getattr(named, "package", ""):
                return f"{named}{_dotted(via)}"
        target = path_behind(file, meant)
        if target is not None:
            return lock_class(file, target, via)
        line = node.tree.source.line_of(meant.node.start)
        return f"{node.path}:{line}.{meant.name}{_dotted(via)}"
    return None


def _dotted(via: tuple[str, ...]) -> str:
    return "".join(f".{name}" for name in via)


def root_name(target: Node) -> Node | None:
    """Return the variable at the root of `x.f[i].g`."""
    node: Node | None = target
    while node is not None and node.kind != "identifier":
        node = node.get("operand") or (
            node.children[0] if node.kind == "parenthesized_expression" else None
        )
    return node


def stored_in(value: Node) -> Node | None:
    """Return the field of `x.field = value`."""
    group = value.parent
    statement = group.parent if group is not None else None
    if group is None or statement is None or statement.kind != "assignment_statement":
        return None
    index = next(i for i, child in enumerate(group.children) if child is value)
    left = statement["left"].children
    if index < len(left) and left[index].kind == "selector_expression":
        return left[index]
    return None
