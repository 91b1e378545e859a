"""References that a method hands out on purpose: replaced, documented, or not there at all."""

from __future__ import annotations

import re

from threadmend.golang.access import access_of, is_assigned_once
from threadmend.golang.calls import callers
from threadmend.golang.escapes import Escape
from threadmend.golang.file import GoFile
from threadmend.golang.functions import doc_of
from threadmend.golang.goroutines import Launch
from threadmend.golang.locks import declaration_of
from threadmend.golang.mutations import Mutation
from threadmend.golang.runners import only_launches
from threadmend.golang.syntax import Node

__all__ = ["asks_for_copy", "is_meant", "is_over", "says_shared"]

_SAYS = re.compile(
    rb"(?i)\b(?:not|never|n't)\b[^.]{0,40}\b(?:modif|mutat|chang|writ|alter|edit|updat)"
    rb"|\bread[- ]?only|\bimmutable|\bshared?\b|\balias|\bunsafe|\bnot a copy|\bwithout copy"
    rb"|\bno longer safe|\bnot (?:\w+[- ])?safe"
    rb"|\bno copy|\bcallers?\b[^.]{0,60}\block|\bcopy[- ]on[- ]write|\blive\b"
)


_COPIES = re.compile(r"(?i)copy|clone|unsafe|nolock|borrow|inplace")


def is_meant(file: GoFile, escape: Escape) -> bool:
    """Return whether a reference is out for a reason: nobody changes it, or the caller knows."""
    function = escape.function
    return (
        says_shared(file, function)
        or _handed_over(file, escape)
        or (asks_for_copy(function) and not _promises_copy(escape))
        or _is_asked_not_to_copy(file, escape)
        or _is_missing(escape)
        or _goes_with_its_lock(escape)
        or _copies_longer_ones(escape)
    )


_PROMISES = re.compile(r"(?i)(?:deep)?(?:copy|clone|snapshot)$")


def _promises_copy(escape: Escape) -> bool:
    """Return whether `Clone` gives the copy that it makes a reference of the original's."""
    return escape.part and _PROMISES.match(escape.function["name"].name) is not None


_COPIED = rb"\bcopy\([^\n]*,\s*%s\)|\bslices\.Clone\(%s\)|\bappend\([^\n]*,\s*%s\.\.\.\)"


def _copies_longer_ones(escape: Escape) -> bool:
    """Return whether the function copies what is longer than the one element returned here.

    `if len(hs) <= 1 { return hs }`: the author knows.
    """
    if escape.value is None or escape.value.kind != "identifier":
        return False
    name = re.escape(escape.value.text)
    short = re.compile(rb"len\(" + name + rb"\) (?:(?:<=|==) [01]|< [12])")
    for outer in escape.statement.ancestors():
        if outer.kind == "if_statement" and outer["consequence"].contains(escape.statement):
            if short.fullmatch(outer["condition"].text):
                text = escape.function.text
                return re.search(_COPIED.replace(b"%s", name), text) is not None
    return False


def _is_asked_not_to_copy(file: GoFile, escape: Escape) -> bool:
    """Return whether an option decides that nothing is copied: `if l.opt.NoCopy { return … }`.

    Also by a name of its own: `shared := l.opt.NoCopy; if shared { … }`, or as a switch's case.
    """
    for outer in escape.statement.ancestors():
        tests = []
        if outer.kind == "if_statement":
            tests = [outer["condition"]]
        elif outer.kind == "expression_case":
            tests = outer["value"].children
        for test in tests:
            names = [test, *(v for n in test.walk() if (v := _value(file, n)) is not None)]
            if any(_COPIES.search(name.name) for name in names):
                return True
    return False


def _value(file: GoFile, name: Node) -> Node | None:
    """Return what a local name stands for that is assigned once."""
    binding = file.binding(name) if name.kind == "identifier" else None
    if binding is None or binding.kind != "variable" or not is_assigned_once(binding):
        return None
    value = binding.value
    return value if value is not None and value.kind in _READ else None


_READ = frozenset({"identifier", "selector_expression", "unary_expression"})


def _goes_with_its_lock(escape: Escape) -> bool:
    """Return whether the value that gets the reference gets a pointer to the lock as well."""
    literal = escape.source.up("composite_literal")
    lock = str(escape.lock.access)
    if literal is None or not escape.function.contains(literal):
        return False
    return re.search(rb"[:{,]\s*&?" + re.escape(lock.encode()) + rb"\b", literal.text) is not None


def says_shared(file: GoFile, function: Node) -> bool:
    """Return whether the function's comment tells the caller what it gets."""
    doc = doc_of(function).replace(b"//", b" ")
    return bool(_SAYS.search(b" ".join(doc.split())))


def asks_for_copy(function: Node) -> bool:
    """Return whether the function's name or a parameter leaves copying to the caller."""
    names = [function["name"], *(n for p in function["parameters"].children for n in p.all("name"))]
    return any(_COPIES.search(name.name) for name in names)


def _is_missing(escape: Escape) -> bool:
    """Return whether what is returned was not there: `if v, ok := m[k]; !ok { return v }`."""
    variable = escape.variable
    left = variable.declaration.get("left") if variable is not None else None
    names = [n.text for n in left.children] if left is not None else []
    if len(names) != 2:
        return False
    inner = escape.statement
    for outer in escape.statement.ancestors():
        if outer.kind == "if_statement" and inner.field == "consequence":
            return outer["condition"].text == b"!" + names[1]
        inner = outer
    return False


def _handed_over(file: GoFile, escape: Escape) -> bool:
    """Return whether the function puts something else in the place of what it returns.

    `items := s.items; s.items = nil`, `delete(s.m, k)`, `defer func() { s.items = nil }()`.
    """
    for node in escape.function.find("assignment_statement", "call_expression"):
        # `old, s.items = s.items, nil`
        later = node.start > escape.source.start or node.contains(escape.source)
        if not later and node.function is escape.function:
            continue
        if node.kind == "assignment_statement":
            targets = node["left"].children
        elif node["function"].name in {"delete", "clear"} and escape.source.end < node.start:
            targets = node["arguments"].children[:1]
        else:
            continue
        for target in targets:
            access = access_of(file, target)
            if access is None or not escape.access.under(access):
                continue
            if node.kind == "assignment_statement" or access != escape.access:
                return True
    return False


def is_over(escape: Escape, mutation: Mutation) -> bool:
    """Return whether a change is made only by goroutines that the function itself waits for.

    `go b.render(name)` in a loop, `b.wg.Wait()`, and the result is returned; or the change is part
    of the work that counts itself off there, or of a goroutine that closes at its end what the
    function received from: `<-b.stopped`.
    """
    declaration = mutation.file.tree.declaration_at(mutation.node.start)
    decl = declaration_of(mutation.file, declaration.node) if declaration is not None else None
    sites = list(callers(decl)) if decl is not None and not decl.exported else []
    waits = [
        call
        for call in escape.function.own()
        if call.kind == "call_expression" and call["function"].name.endswith(".Wait")
    ]
    if _counts_itself_off(mutation, [w for w in waits if w.end < escape.source.start]):
        return True
    if _has_said_goodbye(escape, mutation):
        return True
    return bool(sites) and all(
        site.launched
        and site.node.function is not None
        and escape.function.contains(site.node)
        and any(site.node.end < wait.start < escape.source.start for wait in waits)
        for site in sites
    )


def _counts_itself_off(mutation: Mutation, waits: list[Node]) -> bool:
    """Return whether a change stands in a function that ends with Done of what was waited for.

    Of the group of an object, in a method as well: `s.report[id] = r; s.group.Done()`.
    """
    function = mutation.node.function
    if function is None:
        return False
    fields = [wait for wait in waits if "." in wait["function"]["operand"].name]
    counted = waits if function.kind == "func_literal" else fields
    groups = {wait["function"]["operand"].name.rpartition(".")[2] for wait in counted}
    return any(
        (statement.kind == "defer_statement" or statement.start > mutation.node.end)
        and re.search(rb"\b(\w+)\.Done\(\)$", statement.text) is not None
        and statement.text.rpartition(b".Done")[0].rpartition(b".")[2].decode() in groups
        for statement in function["body"].statements
    )


def _has_said_goodbye(escape: Escape, mutation: Mutation) -> bool:
    """Return whether only goroutines change it that close, at their end, what was waited for."""
    function = mutation.node.function
    heard = {
        node["operand"].name.rpartition(".")[2]
        for node in escape.function.own()
        if node.kind == "unary_expression" and node["operator"].kind == "<-"
        if node.end < escape.source.start and node.up("communication_case") is None
    }
    if not heard or function is None:
        return False
    launches = only_launches(mutation.file, function)
    return bool(launches) and all(
        body is not None and any(_closes(s, heard, mutation.node) for s in body["body"].statements)
        for body in (_run_alone(mutation.file, launch) for launch in launches)
    )


def _run_alone(file: GoFile, launch: Launch) -> Node | None:
    """Return the function that a goroutine runs: for `go func() { t.run() }()` that of `t.run`."""
    body = launch.body
    statements = body["body"].statements if body is not None else []
    if len(statements) != 1 or statements[0].kind != "expression_statement":
        return body
    call = statements[0].children[0]
    where = [f for f in file.package.files if f.path == call.path]
    decl = where[0].callee(call) if where and call.kind == "call_expression" else None
    return decl.node if decl is not None and decl.has_body else body


def _closes(statement: Node, names: set[str], change: Node) -> bool:
    """Return whether a goroutine's statement is `defer close(b.stopped)`, or the last is a close.

    That one comes behind the change: who has received has seen it.
    """
    if statement.kind == "expression_statement":
        same = change.function is not None and change.function["body"] is statement.parent
        if statement.next is not None or not same or change.end > statement.start:
            return False
    elif statement.kind != "defer_statement":
        return False
    found = re.fullmatch(rb"close\((?:\w+\.)*(\w+)\)", statement.children[-1].text)
    return found is not None and found[1].decode() in names
