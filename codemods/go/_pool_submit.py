"""A pool type that can be stopped: who submits learns of it, the queue is worked off, once.

    func (p *Pool) Submit(task func()) error {
        p.mu.RLock()
        defer p.mu.RUnlock()
        select {
        case <-p.done:
            return ErrStopped
        default:
        }
        select {
        case p.tasks <- task:
            return nil
        case <-p.done:
            return ErrStopped
        }
    }

Sound: the channel is closed under the lock, after `done`. Who has the read lock and finds `done`
open sends on an open channel; who comes later finds it closed, and sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from threadmend.golang.access import is_assigned_once, selector_meant
from threadmend.golang.builders import (
    BuilderError,
    add_imports,
    delete,
    insert_after,
    insert_at_end,
    insert_at_start,
    insert_before,
    parameters,
    replace,
)
from threadmend.golang.channel_fields import shared_channel
from threadmend.golang.channel_index import operand_of
from threadmend.golang.families import CannotFollow, family
from threadmend.golang.file import GoFile
from threadmend.golang.functions import result_nodes, results_are_named
from threadmend.golang.package import Decl
from threadmend.golang.syntax import Node
from threadmend.golang.types import is_named
from threadmend.golang.uses import declaration_of
from threadmend.model import Edit

from ._pool_fields import Names, error_variable, made, names_of, new_fields, receiver_name
from ._pool_text import sketch
from ._pool_type import TypePool

__all__ = ["TypeRepair", "stoppable"]


@dataclass
class TypeRepair:
    """The edits of a pool type; `stop` is the method that ends it."""

    edits: list[Edit] = field(default_factory=list)
    stop: str = ""


def stoppable(pool: TypePool) -> TypeRepair:
    """Return the edits that let a pool be stopped; BuilderError says why there are none."""
    _check_results(pool)
    names = names_of(pool)
    result = TypeRepair()
    result.edits += new_fields(pool, names)
    result.edits += made(pool, names)
    if not names.counted:
        result.edits += _counted(pool, names)
    result.edits += _loop(pool)
    needs_error = False
    for decl, send in _submitters(pool):
        edits, used = _submit(pool, decl, send, names)
        result.edits += edits
        needs_error = needs_error or used
    result.stop = _stopped(pool, names, result.edits)
    for file, statement in pool.locals:
        name = statement["left"].children[0].name
        result.edits += insert_after(statement, f"defer {name}.{result.stop}()")
        assert file.path == statement.path
    file = pool.decl.file
    paths = {"sync"}
    if needs_error:
        paths.add("errors")
        result.edits.append(error_variable(pool, names.error))
    result.edits += add_imports(file.tree, paths)
    return result


def _check_results(pool: TypePool) -> None:
    """Refuse pools whose workers send results to a field: who stops them may have to receive."""
    for node in pool.body.walk():
        if node.kind != "send_statement" or node.field == "communication":
            continue
        channel = shared_channel(pool.file, node["channel"])
        if channel is not None and channel.decl.key == pool.decl.key:
            raise BuilderError("whether the results are received to the end cannot be told")


# -- the workers -------------------------------------------------------------------------


def _counted(pool: TypePool, names: Names) -> list[Edit]:
    """Count the workers in the WaitGroup."""
    launch, body = pool.launch, pool.body
    if launch.kind != "go":
        raise BuilderError("the workers are launched by another WaitGroup")
    if pool.receive.calls:
        return _wrapped(pool, names)
    operand = _operand(pool)
    if operand.kind != "identifier":
        raise BuilderError("the workers reach the pool through something else")
    inner = operand.name
    if body is launch.literal:
        outer = inner
    else:
        receiver = body.get("receiver")
        called = launch.call["function"] if launch.call is not None else None
        if receiver is None or called is None or called.kind != "selector_expression":
            raise BuilderError("the workers are another type's")
        if launch.body is not body or receiver_name(receiver) != inner:
            raise BuilderError("the workers are launched by a function in between")
        outer = called["operand"].name
    edits = list(insert_before(launch.statement, f"{outer}.{names.group}.Add(1)"))
    edits += insert_at_start(body["body"], f"defer {inner}.{names.group}.Done()")
    return edits


def _wrapped(pool: TypePool, names: Names) -> list[Edit]:
    """Launch a literal that calls the worker's function, and then says that it is done."""
    call = pool.launch.call
    if len(pool.receive.calls) != 1 or call is None or pool.receive.calls[0] is not call:
        raise BuilderError("the workers are launched by a function in between")
    owner = ""
    for argument in call["arguments"].children:
        if argument.kind == "selector_expression" and argument["operand"].kind == "identifier":
            if argument["field"].name == pool.tasks.name:
                owner = argument["operand"].name
        elif argument.kind != "identifier" or _turns(pool, argument):
            raise BuilderError("the worker's arguments are computed when it is launched")
    if not owner:
        raise BuilderError("the workers reach the pool through something else")
    head = f"{owner}.{names.group}"
    code = f"go func() {{\n\tdefer {head}.Done()\n\t{call.name}\n}}()"
    return [
        *insert_before(pool.launch.statement, f"{head}.Add(1)"),
        *replace(pool.launch.node, code),
    ]


def _turns(pool: TypePool, name: Node) -> bool:
    """Return whether a variable may be another one when the goroutine runs."""
    binding = pool.file.binding(name)
    if binding is None:
        return False
    loop = pool.launch.loop
    if loop is not None and loop.contains(binding.node):
        return pool.file.go_version < (1, 22)
    return not is_assigned_once(binding)


def _operand(pool: TypePool) -> Node:
    node = pool.receive.node
    selector = selector_meant(pool.file, operand_of(node))
    if selector is None:
        raise BuilderError("the workers reach the pool through something else")
    return selector["operand"]


def _loop(pool: TypePool) -> list[Edit]:
    """Let a worker that receives in an endless loop end with the channel."""
    if pool.receive.kind == "range":
        return []
    receive = pool.receive.node
    statement = receive.statement
    if statement is None or statement.parent is not pool.loop["body"]:
        raise BuilderError("how a worker receives a task")
    if statement is not pool.loop["body"].statements[0]:
        raise BuilderError("a worker does something before it receives a task")
    head = "for range"
    if statement.kind == "short_var_declaration":
        names = [n.name for n in statement["left"].children]
        if len(names) != 1:
            raise BuilderError("what a worker does with a closed channel cannot be told")
        head = f"for {names[0]} := range"
    elif statement.kind != "expression_statement":
        raise BuilderError("what a worker does with a closed channel cannot be told")
    start, end = pool.loop.start, pool.loop["body"].start
    text = f"{head} {receive['operand'].name} "
    return [Edit(pool.loop.path, start, end, text.encode()), *delete(statement)]


# -- submitting --------------------------------------------------------------------------


def _submitters(pool: TypePool) -> list[tuple[Decl, Node]]:
    found: list[tuple[Decl, Node]] = []
    for send in pool.tasks.of("send"):
        function = send.node.function
        decl = declaration_of(send.file, function) if function is not None else None
        operand = send.node["channel"]
        where = f"{send.file.path}:{send.file.source.line_of(send.node.start)}"
        if decl is None or decl.kind != "method" or decl.receiver != pool.decl.name or send.calls:
            raise BuilderError(f"the tasks are also sent by {where}")
        if operand.kind != "selector_expression" or operand["operand"].kind != "identifier":
            raise BuilderError(f"the tasks are also sent by {where}")
        if any(d.key == decl.key for d, _ in found):
            raise BuilderError(f"{decl.name} sends more than once")
        if decl.node is pool.body:
            raise BuilderError("the workers send tasks themselves")
        found.append((decl, send.node))
    return found


def _submit(pool: TypePool, decl: Decl, send: Node, names: Names) -> tuple[list[Edit], bool]:
    """Return the edits of a method that sends a task, and whether it returns the error."""
    node, file = decl.node, decl.file
    receiver = node["receiver"].children[0]
    if receiver["type"].kind != "pointer_type":
        raise BuilderError(f"{decl.name} has a copy of the pool")
    name = send["channel"]["operand"].name
    done = f"{name}.{names.done}"
    fine, refused = _answers(decl, names)
    head = f"{name}.{names.lock}.RLock()\ndefer {name}.{names.lock}.RUnlock()\n"
    head += f"select {{\ncase <-{done}:\n\t{refused}\ndefault:\n}}"
    edits: list[Edit] = []
    statement = send
    if send.field == "communication":
        outer = send.up("select_statement")
        assert outer is not None
        statement = outer
    if statement.parent is not node["body"]:
        raise BuilderError(f"{decl.name} sends under a condition")
    if result_nodes(node) or statement is send:
        edits += _result(decl)
    if send.field == "communication":
        if not result_nodes(node):
            raise BuilderError(f"{decl.name} has no way to say that the pool is stopped")
        return [*insert_before(statement, head)], "rr" in refused
    text = f"{head}\nselect {{\ncase {sketch(send)}:\n\t{fine}\n"
    context = _context(file, node)
    if context:
        text += f"case <-{context}.Done():\n\treturn {context}.Err()\n"
    text += f"case <-{done}:\n\t{refused}\n}}"
    after = [s for s in node["body"].statements if s.start > send.start]
    if after and [s.name for s in after] != [fine]:
        raise BuilderError(f"{decl.name} goes on when it has sent")
    edits += replace(send, text)
    for rest in after:
        edits += delete(rest)
    return edits, names.error in refused


def _answers(decl: Decl, names: Names) -> tuple[str, str]:
    """Return what the method returns when it has sent, and when the pool is stopped."""
    results = [r.name for r in result_nodes(decl.node)]
    if results_are_named(decl.node) or len(results) > 1:
        raise BuilderError(f"what {decl.name} should return cannot be told")
    if not results or results == ["error"]:
        return "return nil", f"return {names.error}"
    if results == ["bool"]:
        return "return true", "return false"
    raise BuilderError(f"what {decl.name} should return cannot be told")


def _context(file: GoFile, method: Node) -> str:
    if [r.name for r in result_nodes(method)] not in ([], ["error"]):
        return ""
    for parameter in parameters(method):
        if is_named(file.type_from(parameter.type), "context.Context") and parameter.name:
            return parameter.name.name
    return ""


def _result(decl: Decl) -> list[Edit]:
    """Let a method without result return an error, if all of its calls stand for themselves."""
    if result_nodes(decl.node):
        return []
    try:
        found = family(decl)
    except CannotFollow as error:
        raise BuilderError(str(error)) from None
    if found.interfaces:
        raise BuilderError(f"an interface fixes {decl.name}")
    for statement in decl.node["body"].own():
        if statement.kind == "return_statement":
            raise BuilderError(f"{decl.name} returns early")
    end = decl.node["parameters"].end
    return [Edit(decl.file.path, end, end, b" error")]


# -- stopping ----------------------------------------------------------------------------


def _stopped(pool: TypePool, names: Names, edits: list[Edit]) -> str:
    """Add the method that stops the pool, or complete the one that is there; return its name."""
    tasks = pool.tasks.name
    method = pool.stop
    if method is None:
        first = _submitters(pool)[0][0]
        receiver = first.node["receiver"]
        name = receiver_name(receiver)
        body = _STOP.format(p=name, tasks=tasks, once=names.once, done=names.done, lock=names.lock)
        code = "\n\n// Stop lets the workers finish what was submitted, and waits for them.\n"
        code += f"func {receiver.name} Stop() {{\n{body}\t{name}.{names.group}.Wait()\n}}"
        newline = first.file.source.newline.decode()
        end = first.node.end
        edits.append(Edit(first.file.path, end, end, code.replace("\n", newline).encode()))
        return "Stop"
    receiver = method.node["receiver"]
    if receiver.children[0]["type"].kind != "pointer_type" or parameters(method.node):
        raise BuilderError(f"{method.name} has another form")
    name = receiver_name(receiver)
    if name in {"", "_"}:
        raise BuilderError(f"the receiver of {method.name} has no name")
    body = _STOP.format(
        p=name, tasks=tasks, once=names.once, done=names.done, lock=names.lock
    ).replace("\n\t", "\n")
    body = body[1:].rstrip("\n")
    wait = f"{name}.{names.group}.Wait()"
    statements = method.node["body"].statements
    waits = [s for s in statements if s.name == wait]
    if waits:
        edits += insert_before(waits[0], body)
        return method.name
    code = f"{body}\n{wait}"
    if any(n.kind == "return_statement" for s in statements[:-1] for n in s.own()):
        raise BuilderError(f"{method.name} returns early")
    if statements and statements[-1].kind == "return_statement":
        edits += insert_before(statements[-1], code)
    else:
        edits += insert_at_end(method.node["body"], code)
    return method.name


_STOP = """\
	{p}.{once}.Do(func() {{
		close({p}.{done})
		{p}.{lock}.Lock()
		close({p}.{tasks})
		{p}.{lock}.Unlock()
	}})
"""
