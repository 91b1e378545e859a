"""Statements that take errors from a channel, written for the first of them."""

from __future__ import annotations

import re

from threadmend.golang.builders import free_name, taken_names
from threadmend.golang.builders.lines import content_end, leading_start, shifted
from threadmend.golang.file import GoFile
from threadmend.golang.noreturn import noreturn
from threadmend.golang.scope import bindings_in
from threadmend.golang.syntax import Node

from ._first_error import Errors, rounds

__all__ = ["written"]


def written(file: GoFile, statement: Node, errors: Errors, wait: str) -> str | None:
    """Return a statement that takes errors from the channel, written for the first one.

    `wait` stands for that: `g.Wait()`. None for a statement that wants something else.
    """
    if statement.kind == "for_statement":
        return _loop(file, statement, errors, wait)
    if statement.kind == "select_statement":
        return _select(statement, errors, wait)
    if statement.kind == "if_statement" and statement["condition"].kind == "binary_expression":
        if statement["condition"].text.startswith(b"len("):
            return _counted(statement, errors, wait)
    return _single(statement, errors, wait)


def _loop(file: GoFile, loop: Node, errors: Errors, wait: str) -> str | None:
    """Write `for err := range errs { if err != nil { return err } }` and its kin."""
    body = loop["body"].statements
    clause = next((c for c in loop.children if c.kind in {"range_clause", "for_clause"}), None)
    if clause is None or len(errors.uses) != 1:
        return None
    if clause.contains(errors.uses[0]):
        if clause.kind != "range_clause" or clause["right"].text != errors.uses[0].text:
            return None
        left = clause.get("left")
        if left is None or len(left.children) != 1 or left.children[0].kind != "identifier":
            return None
        if not any(c.kind == ":=" for c in clause.children):
            return None
        return _first(file, left.children[0].name, body, errors, wait, loop)
    return _turns(file, loop, body, errors, wait)


def _turns(file: GoFile, loop: Node, body: list[Node], errors: Errors, wait: str) -> str | None:
    """Write `for range n { if err := <-errs; err != nil { return err } }`."""
    use = errors.uses[0]
    receive = use.parent
    if not body or receive is None or not body[0].contains(use):
        return None
    if any(n.name in bindings_in(loop) for n in loop["body"].find("identifier")):
        return None
    if rounds(loop) not in errors.launches:
        return None
    declaration = body[0].get("initializer") if body[0].kind == "if_statement" else body[0]
    if declaration is None or declaration.kind != "short_var_declaration":
        return _checked(file, body, receive, errors, wait)
    error = declaration["left"].children[0].name
    if declaration.text != f"{error} := ".encode() + receive.text:
        return None
    if body[0].kind != "if_statement":
        return _first(file, error, body[1:], errors, wait, loop)
    if len(body) != 1 or body[0]["condition"].text != f"{error} != nil".encode():
        return None
    inner = body[0]["consequence"]
    if body[0].get("alternative") is not None or not _leaves(inner.statements, loop):
        return None
    return _if_err(error, inner, wait)


def _first(
    file: GoFile, error: str, body: list[Node], errors: Errors, wait: str, loop: Node
) -> str | None:
    """Write a loop's body, which gets each error by a name, for the first of them."""
    if len(body) == 1 and body[0].kind == "if_statement":
        if_ = body[0]
        if if_.get("alternative") is not None or if_.get("initializer") is not None:
            return None
        inner, condition = if_["consequence"], if_["condition"].text.decode()
        if condition == f"{error} != nil" and _leaves(inner.statements, loop):
            return _if_err(error, inner, wait)
        kept = re.fullmatch(
            rf"(?:{error} != nil && )?(\w+) == nil(?: && {error} != nil)?", condition
        )
        if kept and inner.text.decode().split() == ["{", kept[1], "=", error, "}"]:
            return _if_err(error, inner, wait, condition)
        return None
    checked = _checked(file, body, None, errors, wait, error)
    if checked is not None:
        return checked
    block = loop["body"]
    if errors.guarded and body == block.statements and _leaves(body, loop):
        return _if_err(error, block, wait)
    return None


_STOPS = {
    "github.com/stretchr/testify/require": {"NoError", "NoErrorf", "Nil", "Nilf"},
    "gotest.tools/v3/assert": {"NilError"},
    "gotest.tools/assert": {"NilError"},
    "github.com/frankban/quicktest": set[str](),
}


def _checked(
    file: GoFile,
    body: list[Node],
    receive: Node | None,
    errors: Errors,
    wait: str,
    error: str = "",
) -> str | None:
    """Write `require.NoError(t, err)`, which ends the test at the first error."""
    if len(body) != 1 or body[0].kind != "expression_statement":
        return None
    call = body[0].children[0]
    function = call.get("function")
    if call.kind != "call_expression" or function is None or function.kind != "selector_expression":
        return None
    path = file.imported(function["operand"].name)
    if function["field"].name not in _STOPS.get(path or "", ()):
        return None
    arguments = call["arguments"].children
    wanted = receive.text if receive is not None else error.encode()
    named = sum(node.text == wanted for node in call.find("identifier", "unary_expression"))
    if [a.text for a in arguments].count(wanted) != 1 or named != 1:
        return None
    value = next(a for a in arguments if a.text == wanted)
    before, after = call.tree.data[call.start : value.start], call.tree.data[value.end : call.end]
    if b"\n" in before + after:
        return None
    return f"{before.decode()}{wait}{after.decode()}"


def _select(select: Node, errors: Errors, wait: str) -> str | None:
    """Write `select { case err := <-errs: return err; default: return nil }`."""
    cases = [c for c in select.children if c.kind in {"communication_case", "default_case"}]
    if len(cases) != 2 or not errors.guarded or len(errors.uses) != 1:
        return None
    case = next((c for c in cases if c.kind == "communication_case"), None)
    other = next((c for c in cases if c.kind == "default_case"), None)
    if case is None or other is None or case["communication"].kind != "receive_statement":
        return None
    received = case["communication"]
    left = received.get("left")
    if left is None or len(left.children) != 1 or b":=" not in received.text:
        return None
    error = left.children[0].name
    if not case.statements or any(_breaks(s) for s in (*case.statements, *other.statements)):
        return None
    code = _if_err(error, case, wait)
    if not other.statements:
        return code
    if [s.text for s in case.statements] == [f"return {error}".encode()]:
        if [s.text for s in other.statements] == [b"return nil"]:
            return f"return {wait}"
    rest = _dedented(other)
    if _leaves(case.statements, select):
        return f"{code}\n{rest}"
    return code.removesuffix("}") + "} else {\n" + _indented(rest) + "\n}"


def _counted(if_: Node, errors: Errors, wait: str) -> str | None:
    """Write `if len(errs) > 0 { return <-errs }`."""
    receives = [u.parent for u in errors.uses if u.parent is not None]
    receive = next((r for r in receives if r.kind == "unary_expression"), None)
    if len(errors.uses) != 2 or receive is None or not errors.guarded:
        return None
    error, body = errors.uses[0].text.decode(), if_["consequence"]
    known = (f"len({error}) > 0", f"len({error}) != 0")
    if if_["condition"].text.decode() not in known or if_.get("initializer") is not None:
        return None
    if if_.get("alternative") is not None or not body.contains(receive):
        return None
    own = free_name("err", taken_names(body))
    if body.statements[0].text == own.encode() + b" := " + receive.text:
        return None
    if receive.function is not if_.function:
        return None
    code = _dedented(body)
    written = code.replace(receive.text.decode(), own, 1)
    return f"if {own} := {wait}; {own} != nil {{\n{_indented(written)}\n}}"


_TAKERS = frozenset(
    {"return_statement", "short_var_declaration", "assignment_statement", "expression_statement"}
)


def _single(statement: Node, errors: Errors, wait: str) -> str | None:
    """Write `return <-errs` or `if err := <-errs; err != nil {`, of a closed channel."""
    use = errors.uses[0]
    receive = use.parent
    if len(errors.uses) != 1 or not errors.guarded or not errors.closed or receive is None:
        return None
    if receive.kind != "unary_expression" or receive["operator"].kind != "<-":
        return None
    holder = receive.statement
    if holder is not statement or receive.function is not statement.function:
        return None
    if statement.kind == "if_statement":
        initializer = statement.get("initializer")
        if initializer is None or not initializer.contains(receive):
            return None
    elif statement.kind not in _TAKERS:
        return None
    data = statement.tree.data
    text = data[statement.start : receive.start] + f"{wait}".encode()
    text += data[receive.end : statement.end]
    return shifted(text, statement.tree.source.indent_at(statement.start), b"").decode()


# -- text -------------------------------------------------------------------------------------


def _if_err(error: str, body: Node, wait: str, condition: str = "") -> str:
    """Return `if err := g.Wait(); err != nil { … }` with the statements of a block."""
    code = _dedented(body)
    last = body.statements[-1]
    if last.text == b"break":
        code = "\n".join(code.split("\n")[:-1])
    return f"if {error} := {wait}; {condition or f'{error} != nil'} {{\n{_indented(code)}\n}}"


def _dedented(body: Node) -> str:
    """Return the statements of a block with their comments, at the left margin."""
    tree, statements = body.tree, body.statements
    if not statements:
        return ""
    start, end = statements[0].start, statements[-1].end
    if b"\n" in tree.data[body.start : start]:
        start = leading_start(tree, start)
        end = content_end(tree, end)
    text = tree.data[start:end].replace(b"\r\n", b"\n")
    indent = tree.source.indent_at(statements[0].start)
    return shifted(text.removeprefix(indent), indent, b"").decode()


def _indented(code: str) -> str:
    return shifted(b"\t" + code.encode(), b"", b"\t").decode()


def _breaks(statement: Node) -> bool:
    return any(True for _ in statement.find("break_statement"))


def _leaves(statements: list[Node], loop: Node) -> bool:
    """Return whether statements end what they are in, and its last one alone does.

    A `break` may be the last; elsewhere it would have to mean something else.
    """
    if not statements:
        return False
    jumps = [n for s in statements for n in s.find("break_statement", "continue_statement")]
    last = statements[-1]
    if any(jump is not last for jump in jumps):
        return False
    if last.kind == "return_statement":
        return True
    if last.kind == "break_statement":
        return last.text == b"break" and len(statements) > 1
    call = last.children[0] if last.kind == "expression_statement" else None
    return call is not None and call.kind == "call_expression" and noreturn(call) is not None
