"""Uses: the places in the project that mean a field or type, and what may be changed.

What a change of a type has to follow (`calls` has the uses of functions), and what keeps it
from being followed: an interface, a name that the linker or C knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from threadmend.golang.calls import importers
from threadmend.golang.infer import is_decl
from threadmend.golang.scope import Binding
from threadmend.golang.syntax import Node
from threadmend.golang.types import Array, Func, Interface, Named, Pointer, Slice

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.workspace import Workspace

__all__ = [
    "addressable",
    "declaration_of",
    "field_uses",
    "fixing_interface",
    "interface_methods",
    "is_api",
    "is_fixed_outside",
    "type_uses",
    "variants",
]


def declaration_of(file: GoFile, function: Node) -> Decl | None:
    """Return the declaration of a function or method by its syntax."""
    return file.package.function_at(file.path, function.start)


def variants(decl: Decl) -> list[Decl]:
    """Return a declaration with those of the same name under other build tags."""
    package = decl.file.package
    if decl.kind == "method":
        return list(package.methods(decl.receiver).get(decl.name, [decl]))
    return [d for d in package.lookup_all(decl.name) if d.kind == decl.kind]


def type_uses(
    decl: Decl, followed: bytes = rb"\b", *, tests: bool = True
) -> Iterator[tuple[GoFile, Node]]:
    """Yield the places that name a type: the identifier, or the qualified type around it.

    Those in declarations where, by bytes, `followed` comes after its name.
    """
    package = decl.file.package
    pattern = re.compile(rb"\b" + re.escape(decl.name.encode()) + followed)
    for node in package.uses(decl.name, pattern, tests=tests):
        if node.field != "name" or node.parent is None or node.parent.kind not in _DECLARING:
            yield package.workspace.file_of(node), node
    if decl.exported:
        for other in importers(package):
            for file in (file for file in other.files if tests or not file.is_test):
                kinds = ("selector_expression", "qualified_type")
                for node in _nodes(file, decl.name, *kinds, pattern=pattern):
                    last = node.get("field") or node.get("name")
                    first = node.get("operand") or node.get("package")
                    if last is not None and last.name == decl.name and first is not None:
                        if file.imported(first.name) == package.path:
                            yield file, node


_DECLARING = frozenset({"type_spec", "type_alias"})


def _nodes(
    file: GoFile, name: str, *kinds: str, pattern: re.Pattern[bytes] | None = None
) -> Iterator[Node]:
    """Yield nodes of these kinds in declarations whose bytes hold a word, or match a pattern."""
    pattern = pattern or re.compile(re.escape(name.encode()) + rb"\b")
    for declaration in file.tree.declarations:
        if declaration.kind != "import_declaration" and pattern.search(
            file.data, declaration.start, declaration.end
        ):
            for node in declaration.node.walk():
                if node.kind in kinds and (node.children or node.name == name):
                    yield node


def field_uses(decl: Decl, field: Node, name: str) -> Iterator[tuple[GoFile, Node, bool]]:
    """Yield (file, selector, certain) for what selects a field of a declared struct type.

    A selector of that name on an operand of unknown type comes too, not certain.
    """
    package = decl.file.package
    packages = [package, *(importers(package) if name[:1].isupper() else ())]
    for file in (f for p in packages for f in p.files):
        for node in _nodes(file, name, "selector_expression"):
            if node["field"].name == name:
                selection = file.selection(node)
                if selection is None:
                    yield file, node, False
                elif selection.node is field:
                    yield file, node, True


# -- what can be changed --------------------------------------------------------------


def addressable(file: GoFile, node: Node) -> bool:
    """Return whether `&x` is allowed: a variable, or a part of one that is not in a map."""
    kind = node.kind
    if kind == "parenthesized_expression":
        return addressable(file, node.children[0])
    if kind == "identifier":
        meant = file.resolve(node)
        if isinstance(meant, Binding):
            return meant.is_variable
        return is_decl(meant, "var")
    if kind == "unary_expression":
        return node["operator"].kind == "*"
    if kind == "selector_expression":
        selection = file.selection(node)
        if selection is None:
            return False
        if selection.kind == "package":
            return selection.decl is not None and selection.decl.kind == "var"
        if selection.kind != "field":
            return False
        operand = file.underlying(file.type_of(node["operand"]))
        return isinstance(operand, Pointer) or addressable(file, node["operand"])
    if kind == "index_expression":
        operand = file.underlying(file.type_of(node["operand"]))
        if isinstance(operand, Slice | Pointer):
            return True
        return isinstance(operand, Array) and addressable(file, node["operand"])
    return False


def is_api(decl: Decl) -> bool:
    """Return whether code outside of the project may use a declaration."""
    package = decl.file.package
    if not decl.exported or decl.file.is_test_file or package.name == "main":
        return False
    if decl.kind == "method" and not decl.receiver[:1].isupper():
        return False
    return "internal" not in package.path.split("/")


def is_fixed_outside(decl: Decl) -> bool:
    """Return whether C or the linker knows a function, or it has no body to look into."""
    if decl.kind == "func" and decl.name in {"init", "main"}:
        return True
    start = decl.node.start
    head = decl.file.data[max(0, start - 400) : start].rpartition(b"\n\n")[2]
    return decl.node.get("body") is None or b"//export " in head or b"//go:linkname" in head


def interface_methods(workspace: Workspace, name: str) -> list[Node]:
    """Return the interface types of the project that declare a method of this name."""
    known: dict[str, list[Node]] = workspace.facts.setdefault("interfaces", {})
    if name not in known:
        known[name] = list(_find_interfaces(workspace, name))
    return known[name]


def _find_interfaces(workspace: Workspace, name: str) -> Iterator[Node]:
    method = re.compile(rb"\b" + re.escape(name.encode()) + rb"\s*\(")
    for package in workspace.packages:
        for file in package.files:
            if b"interface" not in file.data or not method.search(file.data):
                continue
            for declaration in file.tree.declarations:
                text = file.data[declaration.start : declaration.end]
                if b"interface" in text and method.search(text):
                    for node in declaration.node.find("interface_type"):
                        if any(
                            m.kind == "method_elem" and m["name"].name == name
                            for m in node.children
                        ):
                            yield node


def fixing_interface(decl: Decl) -> Node | None:
    """Return an interface of the project that fixes a method's signature, if there is one.

    It declares the method with the same types, and the receiver's type has its others too.
    """
    workspace = decl.file.package.workspace
    inference = workspace.inference
    owner = Named(decl.file.package.key, decl.receiver)
    ours = inference.decl_type(decl)
    for interface in interface_methods(workspace, decl.name):
        methods = [m for m in interface.children if m.kind == "method_elem"]
        if any(inference.member(owner, m["name"].name) is None for m in methods):
            continue
        theirs = inference.member(Interface(interface), decl.name)
        signature = theirs.type if theirs is not None else None
        if not isinstance(signature, Func) or not isinstance(ours, Func):
            return interface
        if len(signature.params) == len(ours.params):
            pairs = zip(
                signature.params + signature.results, ours.params + ours.results, strict=False
            )
            if all(a is None or b is None or a == b for a, b in pairs):
                return interface
    return None
