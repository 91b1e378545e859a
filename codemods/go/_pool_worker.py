"""The workers of a pool: their loop, their sends and what launches them, as text."""

from __future__ import annotations

from dataclasses import dataclass, field

from threadmend.golang.access import is_assigned_once
from threadmend.golang.builders import BuilderError, free_name, replace, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes
from threadmend.golang.goroutines import innermost_loop
from threadmend.golang.syntax import Node
from threadmend.model import Edit

from ._pool import Pool, level
from ._pool_defects import early_exits
from ._pool_stop import Given, Stop
from ._pool_text import Part, gone, indented, inside, part, sketch

__all__ = ["Workers", "exit_select", "workers"]


@dataclass
class Workers:
    """The new text of the workers: `parts` by statement of the block, `edits` elsewhere."""

    parts: dict[Node, list[Part]] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)


def exit_select(send: Node, receive: str, leave: str = "return") -> str:
    """Return a send that has an exit."""
    return f"select {{\ncase {sketch(send)}:\ncase <-{receive}:\n\t{leave}\n}}"


def workers(
    pool: Pool, exits: bool, fails: bool, stop: Stop | None, known: Given | None, count: str
) -> Workers:
    """Return the workers' new text; `count` is the WaitGroup that is to count them, or "".

    `exits`: their sends need an exit; `fails`: what they leave early for needs one. `known`:
    how they know of the stop, None where they do not.
    """
    made = Workers()
    worker = pool.worker
    parts = _sends(pool, known) if exits else []
    if fails:
        parts += _exits(pool, stop)
    loop = _loop(pool, known, parts)
    body = [part(worker.loop, loop)] if loop != sketch(worker.loop) else []
    if worker.call is None:
        body += _closes(pool)
    elif body:
        made.edits += replace(worker.loop, loop)
        body = []
    if known is not None:
        made.edits += known.edits
    _launch(pool, count, body, list(known.parts) if known is not None else [], made)
    return made


def _closes(pool: Pool) -> list[Part]:
    """Remove the closes of the results that a worker makes: the closer does it."""
    found = []
    for close in (c for out in pool.outs for c in out.channel.of("close")):
        if close.node.function is pool.worker.body:
            statement = close.node.parent
            if statement is None or pool.worker.loop.contains(statement):
                raise BuilderError("a worker closes the results in its loop")
            found.append(gone(statement))
    return found


# -- the loop ------------------------------------------------------------------------------


def _is_last(pool: Pool) -> bool:
    """Return whether a return leaves the worker as the end of its loop does."""
    body = pool.worker.body
    return body["body"].statements[-1] is pool.worker.loop and not result_nodes(body)


def _sends(pool: Pool, known: Given | None) -> list[Part]:
    worker = pool.worker
    if known is None:
        raise BuilderError("the workers cannot be told that the function has left")
    if not _is_last(pool):
        raise BuilderError("a worker goes on behind its loop")
    parts = []
    for send in (s for out in pool.outs for s in out.sends):
        if send.has_alternative:
            continue
        if send.node.function is not worker.body or send.calls != worker.receive.calls:
            raise BuilderError("another function sends the results")
        parts.append(part(send.node, exit_select(send.node, known.receive)))
    return parts


def _exits(pool: Pool, stop: Stop | None) -> list[Part]:
    """Let a worker go on with the next task, or end the whole pool with its error."""
    parts = []
    for node in early_exits(pool):
        test = node.up("if_statement")
        inner = test is not None and pool.worker.loop.contains(test)
        if test is None or not inner or innermost_loop(node) is not pool.worker.loop:
            raise BuilderError("why a worker leaves its loop cannot be told")
        if len(node.children) > 1:
            raise BuilderError("a worker leaves with a value")
        if any(test["consequence"].contains(s.node) for out in pool.outs for s in out.sends):
            parts.append(part(node, "continue"))
            continue
        error = _error(pool.worker.file, test)
        if error is None or not _is_last(pool):
            raise BuilderError("why a worker leaves its loop cannot be told")
        if stop is None or not stop.cancel or pool.worker.call is not None:
            raise BuilderError("an error of a worker has no way to the caller")
        parts.append(part(node, f"{stop.cancel}({error})\nreturn"))
    return parts


def _error(file: GoFile, test: Node) -> str | None:
    """Return the error that `if err != nil` found."""
    condition = test["condition"]
    if condition.kind != "binary_expression" or condition["operator"].kind != "!=":
        return None
    if condition["right"].kind != "nil" or str(file.type_of(condition["left"])) != "error":
        return None
    return condition["left"].name


def _loop(pool: Pool, known: Given | None, parts: list[Part]) -> str:
    """Return the loop that ends when the channel is closed, and with the context."""
    worker = pool.worker
    loop = worker.loop
    listening = known is not None and known.context and _is_last(pool)
    if loop.parent is not None and loop.parent.kind == "labeled_statement":
        listening = False
    if listening and any(_is_own_break(pool, n) for n in loop["body"].own()):
        listening = False
    value, receive, first = _received(pool)
    if receive is None:
        return sketch(loop, parts)
    parts = [*parts, *([gone(s) for s in first])]
    if not listening:
        if worker.receive.kind == "range":
            return sketch(loop, parts)
        head = f"for {value} := range" if value != "_" else "for range"
        body = inside(loop["body"], parts)
        return f"{head} {receive} {{\n{indented(body, 1)}\n}}"
    assert known is not None
    ok = free_name("ok", taken_names(worker.body, names=worker.file.package.names))
    body = indented(inside(loop["body"], parts), 2)
    body += "\n" if body else ""
    return _SELECT.format(stop=known.receive, value=value, ok=ok, receive=f"<-{receive}", body=body)


_SELECT = """\
for {{
	select {{
	case <-{stop}:
		return
	case {value}, {ok} := {receive}:
		if !{ok} {{
			return
		}}
{body}	}}
}}"""


def _is_own_break(pool: Pool, node: Node) -> bool:
    if node.kind != "break_statement":
        return False
    around = node.up("for_statement", "select_statement", *_SWITCHES)
    return around is pool.worker.loop and node not in early_exits(pool)


_SWITCHES = ("expression_switch_statement", "type_switch_statement")


def _received(pool: Pool) -> tuple[str, str | None, list[Node]]:
    """Return the task's variable, the channel and the statements that the new head replaces.

    No channel: the loop stays as it is.
    """
    loop = pool.worker.loop
    operation = pool.worker.receive.node
    if pool.worker.receive.kind == "range":
        left = operation.get("left")
        if left is not None and b":=" not in operation.text:
            return "", None, []
        return (left.name if left is not None else "_"), operation["right"].name, []
    statements = loop["body"].statements
    first = statements[0]
    channel = operation["operand"].name
    if first.kind == "expression_statement" and first.children[0] is operation:
        return "_", channel, [first]
    if first.kind != "short_var_declaration" or first["right"].children[0] is not operation:
        raise BuilderError("a worker does something before it receives a task")
    names = [n.name for n in first["left"].children]
    if len(names) == 1:
        return names[0], channel, [first]
    second = statements[1] if len(statements) > 1 else None
    if second is None or second.kind != "if_statement" or second.get("alternative") is not None:
        raise BuilderError("what a worker does with a closed channel cannot be told")
    inner = second["consequence"].statements
    if second["condition"].name != f"!{names[1]}" or len(inner) != 1:
        raise BuilderError("what a worker does with a closed channel cannot be told")
    if inner[0].kind == "break_statement" or (
        inner[0].kind == "return_statement" and _is_last(pool)
    ):
        return names[0], channel, [first, second]
    raise BuilderError("what a worker does with a closed channel cannot be told")


# -- the launch ----------------------------------------------------------------------------


def _launch(pool: Pool, count: str, body: list[Part], call: list[Part], made: Workers) -> None:
    """Write what launches the workers; `body` changes in their literal, `call` in its call."""
    launch = pool.worker.launch
    literal = launch.literal
    if literal is not None and not launch.node.contains(literal):
        # work := func() { … }, launched by its name
        place = level(literal, pool.block)
        if place is None:
            raise BuilderError("the workers run a function value from elsewhere")
        if body:
            made.parts.setdefault(place, []).extend(body)
        literal, body = None, []
    if literal is not None:
        parts = body + call
        node = launch.node
        if not count:
            made.parts.setdefault(pool.launching, []).extend(parts)
        elif pool.file.go_version >= (1, 25) and not literal["parameters"].children:
            code = f"{count}.Go({sketch(literal, parts)})"
            made.parts.setdefault(pool.launching, []).append(part(node, code))
        else:
            inner = indented(inside(literal["body"], parts), 1)
            text = f"{{\n\tdefer {count}.Done()\n{inner}\n}}"
            code = f"{count}.Add(1)\n{sketch(node, [part(literal['body'], text)])}"
            made.parts.setdefault(pool.launching, []).append(part(node, code))
        return
    if not count:
        made.parts.setdefault(pool.launching, []).extend(call)
        return
    made.parts.setdefault(pool.launching, []).append(part(launch.node, _wrapped(pool, count, call)))


def _wrapped(pool: Pool, count: str, call: list[Part]) -> str:
    """Launch a literal that calls the named function and then says that it is done."""
    launch = pool.worker.launch
    if launch.call is None:
        raise BuilderError("what is launched cannot be wrapped")
    passed: list[str] = []
    for argument in [launch.call["function"], *launch.call["arguments"].children]:
        for node in argument.walk():
            if node.kind in {"call_expression", "index_expression", "func_literal"}:
                raise BuilderError("the worker's arguments are computed when it is launched")
            if node.kind == "identifier" and _turns(pool, node) and node.name not in passed:
                passed.append(node.name)
    code = sketch(launch.call, call)
    if pool.file.go_version >= (1, 25):
        return f"{count}.Go(func() {{\n\t{code}\n}})"
    listed = ", ".join(f"{name} int" for name in passed)
    given = ", ".join(passed)
    body = f"\tdefer {count}.Done()\n{indented(code, 1)}\n"
    return f"{count}.Add(1)\ngo func({listed}) {{\n{body}}}({given})"


def _turns(pool: Pool, name: Node) -> bool:
    """Return whether a variable is the loop's and shared by its rounds (before Go 1.22)."""
    binding = pool.file.binding(name)
    loop = pool.worker.launch.loop
    if binding is None or loop is None or not loop.contains(binding.node):
        if binding is not None and not is_assigned_once(binding):
            raise BuilderError(f"{name.name} may change after the launch")
        return False
    if pool.file.go_version >= (1, 22):
        return False
    if str(pool.file.type_of(name)) != "int":
        raise BuilderError(f"{name.name} changes from one worker to the next")
    return True
