"""A goroutine that calls Done as it ends: where it begins, or in a literal around it."""

from __future__ import annotations

from threadmend.golang.access import is_assigned_once, uses_of
from threadmend.golang.builders import insert_at_start, replace
from threadmend.golang.file import GoFile
from threadmend.golang.goroutines import Launch
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["counted_launch"]


def counted_launch(file: GoFile, launch: Launch, name: str) -> tuple[Edit, ...] | None:
    """Return the edits that let a goroutine call Done; a function launched by name goes
    into a literal. None when an argument of the launch would mean something else there.
    """
    if launch.literal is not None and launch.node.contains(launch.literal):
        return insert_at_start(launch.literal["body"], f"defer {name}.Done()")
    call = launch.call
    if call is None or not all(_is_fixed(file, a) for a in call["arguments"].children):
        return None
    copies = "".join(f"{each} := {each}\n" for each in _shared(file, call))
    code = f"{copies}go func() {{\n\tdefer {name}.Done()\n\t{call.name}\n}}()"
    return replace(launch.node, code)


def _shared(file: GoFile, call: Node) -> list[str]:
    """Return the arguments that are variables of a loop which all of its rounds share."""
    if file.go_version >= (1, 22):
        return []
    found = []
    for argument in call["arguments"].children:
        binding = resolve_local(argument) if argument.kind == "identifier" else None
        if binding is not None and (binding.kind == "range" or _of_clause(binding)):
            found.append(binding.name)
    return list(dict.fromkeys(found))


def _of_clause(binding: Binding) -> bool:
    clause = binding.declaration.parent
    return clause is not None and clause.kind == "for_clause"


def _is_fixed(file: GoFile, argument: Node) -> bool:
    """Return whether an argument means the same when the goroutine evaluates it."""
    if argument.kind == "unary_expression" and argument["operator"].kind == "&":
        argument = argument["operand"]
    if argument.kind == "identifier":
        binding = resolve_local(argument)
        if binding is None or is_assigned_once(binding):
            return True
        clause = binding.declaration.parent
        if clause is None or clause.kind != "for_clause":
            return False
        # Each round has a variable, or a copy, of its own; only the clause changes it.
        changes = [u for u in uses_of(binding) if u.kind in {"write", "update", "address"}]
        return all(clause.contains(u.node) for u in changes)
    return argument.kind.endswith("_literal") and argument.kind != "composite_literal"
