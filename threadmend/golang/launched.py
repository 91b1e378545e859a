"""What a launched function value runs: a literal, a declaration, or what it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadmend.golang.file import GoFile
    from threadmend.golang.package import Decl
    from threadmend.golang.syntax import Node
    from threadmend.golang.targets import Body

__all__ = ["body_run_by", "literal_of", "stands_for"]


def body_run_by(file: GoFile, function: Node) -> tuple[Node | None, Decl | None]:
    """Return the body that a function expression runs: a literal or a declaration."""
    if function.kind == "func_literal":
        return function, None
    if function.kind == "identifier":
        literal = literal_of(file, function)
        if literal is not None:
            return literal, None
    decl = file.package.workspace.inference.function_decl(function)
    if decl is not None and decl.sound and decl.node.get("body") is not None:
        return decl.node, decl
    return None, None


def literal_of(file: GoFile, name: Node) -> Node | None:
    """Return the literal behind `f := func() {…}` when `f` is never assigned again."""
    from threadmend.golang.access import is_assigned_once

    binding = file.binding(name)
    if binding is None or binding.declaration.kind not in {"short_var_declaration", "var_spec"}:
        return None
    value = binding.value
    if value is None or value.kind != "func_literal":
        return None
    return value if is_assigned_once(binding) else None


def stands_for(file: GoFile, function: Node) -> tuple[Body, ...]:
    """Return what a launched value runs, when nothing else can be meant.

    A method of an interface that one type implements, the function in a field, and what the
    callers pass to a function that launches its parameter: `spawn(s.run)`.
    """
    from threadmend.golang.targets import bodies_of_value

    if function.kind not in {"selector_expression", "identifier"}:
        return ()
    if _is_spawners(file, function):
        return ()  # each call of it is a launch
    found = bodies_of_value(file, function)
    return found.bodies if found.complete else ()


def _is_spawners(file: GoFile, function: Node) -> bool:
    """Return whether a function value is what a plain spawner was given."""
    from threadmend.golang.spawners import spawns_plainly
    from threadmend.golang.uses import declaration_of

    binding = file.binding(function) if function.kind == "identifier" else None
    if binding is None or binding.kind != "parameter" or binding.function is None:
        return False
    decl = declaration_of(file, binding.function)
    return decl is not None and decl.sound and spawns_plainly(decl)
