"""A release before a return: what the return computes is computed under the lock."""

from __future__ import annotations

from threadmend.golang.builders import free_name, insert_before, replace, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.plain import is_plain
from threadmend.golang.syntax import Node
from threadmend.model import Edit

__all__ = ["release_at"]


def release_at(file: GoFile, statement: Node, unlock: str) -> tuple[Edit, ...]:
    """Return the edits that release before a return and read its values before that."""
    if is_plain(statement) or len(statement.children) < 2:
        return insert_before(statement, unlock)
    values = statement.children[1].children
    if all(is_plain(value) or _is_literal(value) for value in values):
        return insert_before(statement, unlock)
    function = statement.function
    taken = set(taken_names(function)) if function is not None else set()
    names, hoisted, texts = [], [], []
    for value in values:
        if is_plain(value) or _is_literal(value):
            texts.append(value.name)
            continue
        name = free_name("err" if _is_error(file, value) else "result", taken)
        taken.add(name)
        names.append(name)
        hoisted.append(value.name)
        texts.append(name)
    count = len(result_nodes(function)) if function is not None else 0
    if len(values) == 1 and count > 1:
        names = [free_name(f"result{i + 1}", taken) for i in range(count)]
        texts = names
    code = f"{', '.join(names)} := {', '.join(hoisted)}\n{unlock}\nreturn {', '.join(texts)}"
    return replace(statement, code)


def _is_literal(value: Node) -> bool:
    """Return whether a value is a number that is written out: `-1`, whose type its use tells."""
    inner = value["operand"] if value.kind == "unary_expression" else value
    return inner.kind in {"int_literal", "float_literal", "rune_literal"}


def _is_error(file: GoFile, value: Node) -> bool:
    return str(file.type_of(value)) == "error"
