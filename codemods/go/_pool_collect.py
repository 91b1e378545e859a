"""The results of a pool: received until the channel is closed, and the error at the end."""

from __future__ import annotations

from threadmend.golang.builders import BuilderError, insert_at_end, insert_before
from threadmend.golang.functions import result_nodes
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._pool import Collector, Out, Pool
from ._pool_stop import Stop, free, returns_error
from ._pool_text import Part, gone, indented, inside, part, put

__all__ = ["alone", "collected", "drained", "with_error"]


def alone(collector: Collector) -> bool:
    """Return whether results are received by a count of their own, or with alternatives.

    Such a loop stays as it is; nobody has to close the channel for it.
    """
    operation = collector.operation
    if operation.kind == "range":
        return False
    return collector.loop is None or collector.runner is not None or operation.case is not None


def collected(pool: Pool, out: Out, collector: Collector) -> list[Edit]:
    """Return the edits that receive until the channel is closed, instead of by a count."""
    loop, operation = collector.loop, collector.operation
    if operation.kind == "range":
        return []
    assert loop is not None
    if loop is not collector.statement:
        raise BuilderError("the results are received in a loop of a loop")
    clause = next((c for c in loop.children if c.kind in {"for_clause", "range_clause"}), None)
    if clause is None:
        raise BuilderError("the results are received in a loop without a count")
    statement = operation.node.parent
    while statement is not None and statement.kind == "expression_list":
        statement = statement.parent
    in_body = statement is not None and statement.parent is loop["body"]
    plain = statement is not None and in_body and statement.kind == "short_var_declaration"
    names = statement["left"].children if statement is not None and plain else []
    if plain and len(names) > 1:
        raise BuilderError("the loop over the results looks at what is closed by itself")
    if _uses_index(pool, clause, loop):
        if not plain or statement is None:
            raise BuilderError("the number of the result is used")
        ok = free(pool, "ok")
        text = f"{names[0].name}, {ok} := {operation.node.name}\nif !{ok} {{\n\tbreak\n}}"
        return [put(statement, statement, text)]
    parts: list[Part]
    if plain and statement is not None:
        name, parts = names[0].name, [gone(statement)]
    elif in_body and statement is not None and statement.kind == "expression_statement":
        name, parts = "", [gone(statement)]
    else:
        name = free(pool, "result")
        parts = [part(operation.node, name)]
    head = f"for {name} := range {out.name}" if name else f"for range {out.name}"
    body = inside(loop["body"], parts)
    return [put(loop, loop, f"{head} {{\n{indented(body, 1)}\n}}" if body else f"{head} {{\n}}")]


def _uses_index(pool: Pool, clause: Node, loop: Node) -> bool:
    for name in clause.find("identifier"):
        binding = pool.file.binding(name)
        if binding is not None and clause.contains(binding.node):
            if any(loop["body"].contains(use) for use in binding.uses):
                return True
    return False


def drained(pool: Pool, out: Out) -> list[Edit]:
    """Return the edit that collects what nobody received: into the slice that is returned."""
    end = pool.block.statements[-1]
    element = out.channel.type.get("value")
    if end.kind != "return_statement":
        return list(insert_at_end(pool.block, f"for range {out.name} {{\n}}"))
    slice_ = _slice(pool.function, end, element)
    if slice_ is None:
        return list(insert_before(end, f"for range {out.name} {{\n}}"))
    value = free(pool, "result")
    body = f"\t{slice_} = append({slice_}, {value})\n"
    return list(insert_before(end, f"for {value} := range {out.name} {{\n{body}}}"))


def _slice(function: Node, statement: Node, element: Node | None) -> str | None:
    """Return the local slice of such results that a function returns first."""
    results = result_nodes(function)
    if not results or element is None or len(statement.children) < 2:
        return None
    value = statement.children[1].children[0]
    if results[0].text != b"[]" + element.text or value.kind != "identifier":
        return None
    return value.name if value.name != "nil" else None


def with_error(pool: Pool, stop: Stop) -> list[Edit]:
    """Return the context's error where the function ends with nil instead of one."""
    function = pool.function
    last = function["body"].statements[-1]
    if not returns_error(function) or last.kind != "return_statement" or len(last.children) < 2:
        return []
    values = last.children[1].children
    if values[-1].kind != "nil" or len(values) != len(result_nodes(function)):
        return []
    return [Edit(last.path, values[-1].start, values[-1].end, stop.error.encode())]
