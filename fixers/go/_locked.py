"""Split a function that locks into itself and a `…Locked` one that leaves locking to callers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from threadmend.golang.access import Access, root_name
from threadmend.golang.builders import BuilderError, delete, delete_all, free_name
from threadmend.golang.builders.lines import leading_start
from threadmend.golang.file import GoFile
from threadmend.golang.lock_calls import is_helped, lock_calls
from threadmend.golang.locks import LockOperation
from threadmend.golang.package import Decl
from threadmend.golang.scope import Binding, resolve_local
from threadmend.golang.syntax import Node
from threadmend.golang.types import Named
from threadmend.model import Edit

__all__ = ["Split", "call_edit", "split", "statement_of", "without_lock"]

_SUFFIX = re.compile(r"(?:Locked|locked|NoLock|Unlocked|WithoutLock|WithLock|LockHeld)$")
_LONGEST = 15  # lines of a function that is written twice


@dataclass(frozen=True, slots=True)
class Split:
    """The name of the function that does not lock, and the edits that make it."""

    name: str
    edits: tuple[Edit, ...]


def split(decl: Decl, access: Access) -> Split:
    """Return the `…Locked` half of a function whose whole body runs under a lock.

        func (s *T) name() int {          func (s *T) name() int {
            s.mu.Lock()                       s.mu.Lock()
            defer s.mu.Unlock()     →         defer s.mu.Unlock()
            return s.n                        return s.nameLocked()
        }                                 }
                                          func (s *T) nameLocked() int { return s.n }

    A sibling that the function already calls in this way is taken as it is. Raises
    BuilderError when the lock is not held from beginning to end.
    """
    node = decl.node
    taken, given_back = _operations(decl.file, node, access)
    sibling = _sibling(decl, node, taken, given_back)
    if sibling is not None:
        return Split(sibling, ())
    name = _free(decl)
    lock = _outside(taken)
    if is_helped(taken) or any(map(is_helped, given_back)):
        lines = [taken.call.name, f"defer {given_back[0].call.name}", _forward(node, name)]
    else:
        released = f"defer {lock}.{'RUnlock' if taken.mode == 'read' else 'Unlock'}()"
        lines = [f"{lock}.{taken.method}()", released, _forward(node, name)]
    edits = [*_head(decl, name, lines, lock), *_unused(node, [taken, *given_back])]
    edits += delete_all([o.deferred or _statement(o) for o in [taken, *given_back]])
    return Split(name, tuple(_merged(edits)))


def _outside(taken: LockOperation) -> str:
    """Return a lock as its function's parameters name it: `s.mu` for `mu := &s.mu; mu.Lock()`."""
    if is_helped(taken) and taken.access is not None:
        if any(_is_own(n) for n in taken.call.find("identifier")):
            raise BuilderError("the lock is a variable of the function that is called")
        return str(taken.access)
    root = root_name(taken.lock)
    binding = resolve_local(root) if root is not None else None
    if binding is None or binding.kind in {"receiver", "parameter"}:
        return taken.lock.name
    access = taken.access
    if access is None or not isinstance(access.root, Binding):
        raise BuilderError("the lock is a variable of the function that is called")
    if access.root.kind not in {"receiver", "parameter"} or "[" in str(access):
        raise BuilderError("the lock is a variable of the function that is called")
    return str(Access(access.root, access.steps[: len(access.steps) - len(taken.via)]))


def _is_own(name: Node) -> bool:
    binding = resolve_local(name)
    return binding is not None and binding.kind not in {"receiver", "parameter"}


def _unused(function: Node, operations: list[LockOperation]) -> list[Edit]:
    """Delete the local name of a lock that nothing but the operations uses."""
    root = root_name(operations[0].lock)
    binding = resolve_local(root) if root is not None else None
    if binding is None or binding.kind != "variable" or not function.contains(binding.node):
        return []
    others = [n for n in binding.uses if n is not binding.node]
    if any(not any(o.call.contains(n) for o in operations) for n in others):
        return []
    declaration = binding.declaration
    if declaration.kind != "short_var_declaration" or len(declaration["left"].children) != 1:
        raise BuilderError("the lock is a variable of the function that is called")
    return list(delete(declaration))


def without_lock(file: GoFile, function: Node, access: Access) -> tuple[Edit, ...]:
    """Return the edits that leave locking to the callers of a function, all of which hold."""
    taken, given_back = _operations(file, function, access, anywhere=True)
    edits = _unused(function, [taken, *given_back])
    edits += delete_all([o.deferred or _statement(o) for o in [taken, *given_back]])
    return tuple(_merged(edits))


def copied(decl: Decl, calls: Sequence[tuple[Node, str]]) -> Split:
    """Return a `…Locked` twin of a short function that only calls some that lock.

    `calls`: those calls, with the names of what the twin calls instead.
    """
    node = decl.node
    if node.text.count(b"\n") > _LONGEST:
        raise BuilderError(f"{decl.name} is too long to be written twice")
    name = _free(decl)
    start = node.start
    text = bytearray(node.text)
    for call, inner in sorted(calls, key=lambda c: -_name_of(c[0]).start):
        function = _name_of(call)
        text[function.start - start : function.end - start] = inner.encode()
    own = node["name"]
    text[own.start - start : own.end - start] = name.encode()
    newline = node.tree.source.newline
    comment = f"// {name} is {decl.name} for callers that hold the lock.".encode()
    added = newline * 2 + comment + newline + bytes(text)
    return Split(name, (Edit(node.path, node.end, node.end, added),))


def call_edit(call: Node, name: str) -> Edit:
    """Return the edit that makes a call call another function of the same object."""
    function = _name_of(call)
    return Edit(call.path, function.start, function.end, name.encode())


def _name_of(call: Node) -> Node:
    function = call["function"]
    if function.kind == "selector_expression":
        return function["field"]
    if function.kind == "identifier":
        return function
    raise BuilderError("what is called has no name of its own")


def _operations(
    file: GoFile, function: Node, access: Access, *, anywhere: bool = False
) -> tuple[LockOperation, list[LockOperation]]:
    """Return the only acquisition, first in the body, and the releases at the ends."""
    body = function.get("body")
    operations = [o for o in lock_calls(file, function) if o.access == access]
    takes = [o for o in operations if o.acquires]
    gives = [o for o in operations if o.releases]
    if body is None or len(takes) != 1 or len(takes) + len(gives) != len(operations):
        raise BuilderError("the lock is taken more than once in the function that is called")
    statements = body.statements
    if takes[0].deferred is not None or _statement(takes[0]).parent is not body:
        raise BuilderError("the lock is taken on some paths only in the function that is called")
    before = statements[: statements.index(_statement(takes[0]))]
    if not anywhere and any(_may_wait(n) for s in before for n in s.walk()):
        raise BuilderError("the function that is called does something before it takes the lock")
    if not gives:
        raise BuilderError("the function that is called does not release the lock itself")
    for operation in gives:
        if operation.deferred is None:
            _check_ends(operation, body)
        elif operation.deferred.parent is not body:
            raise BuilderError("the lock is released by a conditional defer")
    return takes[0], gives


def _check_ends(operation: LockOperation, body: Node) -> None:
    statement = _statement(operation)
    block = statement.parent
    following = statement.next
    while following is not None and following.kind in {"}", "\n", ";"}:
        following = following.next
    last = block is body and body.statements[-1] is statement
    if last or (following is not None and following.kind == "return_statement"):
        return
    for node in body.walk():
        if node.start > statement.end and _may_wait(node):
            raise BuilderError("the function that is called goes on after it released the lock")


_WAITS = frozenset({"send_statement", "select_statement", "range_clause", "defer_statement"})
_HARMLESS = frozenset({"errors", "fmt", "strings", "strconv", "sort", "slices", "maps", "math"})
_BUILTINS = frozenset({"append", "cap", "copy", "len", "make", "max", "min", "new", "string"})


def _may_wait(node: Node) -> bool:
    """Return whether what a function does after its release might better not run under it."""
    if node.kind == "call_expression":
        function = node["function"]
        if function.kind == "selector_expression":
            return function["operand"].name not in _HARMLESS
        return function.name not in _BUILTINS
    if node.kind == "unary_expression":
        return node["operator"].kind == "<-"
    return node.kind in _WAITS


def _statement(operation: LockOperation) -> Node:
    statement = operation.call.parent
    if statement is None or statement.kind != "expression_statement":
        raise BuilderError("a lock operation is part of another statement")
    return statement


def _sibling(
    decl: Decl, node: Node, taken: LockOperation, given_back: list[LockOperation]
) -> str | None:
    """Return the function that is all that runs under the lock: `return s.nameLocked(a)`."""
    rest = [
        s
        for s in node["body"].statements
        if s not in {_statement(taken), *((o.deferred or _statement(o)) for o in given_back)}
    ]
    if len(rest) != 1:
        return None
    statement = rest[0]
    call = None
    if statement.kind == "expression_statement":
        call = statement.children[0]
    elif statement.kind == "return_statement" and len(statement.children) > 1:
        values = statement.children[1].children
        call = values[0] if len(values) == 1 else None
    if call is None or call.kind != "call_expression":
        return None
    found = decl.file.callee(call)
    if found is None or found.receiver != decl.receiver or found.file.package != decl.file.package:
        return None
    if [a.name for a in call["arguments"].children] != _parameter_names(node):
        return None
    if _kinds(found.node) != _kinds(node):
        return None  # `lines ...string` here, `lines []string` there
    function = call["function"]
    if decl.kind == "method":
        receiver = _receiver_name(node)
        if function.kind != "selector_expression" or function["operand"].name != receiver:
            return None
    return found.name


def _free(decl: Decl) -> str:
    base = decl.name if _SUFFIX.search(decl.name) else decl.name + "Locked"
    base = _lowered(base)
    package = decl.file.package
    if decl.kind == "method":
        inference = package.workspace.inference
        taken = {
            name
            for name in (base, *(f"{base}{n}" for n in range(2, 9)))
            if inference.member(Named(package.key, decl.receiver), name) is not None
        }
        return free_name(base, taken)
    imports = {i.name for f in package.files for i in f.imports}
    return free_name(base, {*package.names, *imports})


def _lowered(name: str) -> str:
    """Return an unexported name; an initialism in front as a whole: `jwtBundleLocked`."""
    first = _INITIALISM.match(name)
    end = first.end() if first is not None else 1
    return name[:end].lower() + name[end:]


_INITIALISM = re.compile(r"[A-Z][A-Z\d]*(?=[A-Z][a-z])|[A-Z][A-Z\d]+$")


def _receiver_name(node: Node) -> str:
    group = node.get("receiver")
    names = group.children[0].all("name") if group is not None and group.children else []
    if not names or names[0].name == "_":
        raise BuilderError("the receiver has no name")
    return names[0].name


def _parameter_names(node: Node) -> list[str]:
    names: list[str] = []
    for declaration in node["parameters"].children:
        given = declaration.all("name")
        if not given or any(n.name == "_" for n in given):
            raise BuilderError("a parameter of the function that is called has no name")
        names += [n.name for n in given]
    return names


def _kinds(node: Node) -> list[str]:
    return [d.kind for d in node["parameters"].children]


def _forward(node: Node, name: str) -> str:
    """Return the statement that hands a call on: `return s.nameLocked(a, b...)`."""
    arguments = _parameter_names(node)
    kinds = _kinds(node)
    if kinds and kinds[-1] == "variadic_parameter_declaration":
        arguments[-1] += "..."
    owner = f"{_receiver_name(node)}." if node.kind == "method_declaration" else ""
    call = f"{owner}{name}({', '.join(arguments)})"
    return f"return {call}" if node.get("result") is not None else call


def _head(decl: Decl, name: str, lines: list[str], lock: str) -> list[Edit]:
    """Insert the locking half above the function and give the function its new name."""
    node = decl.node
    newline = node.tree.source.newline
    signature = node.tree.data[node.start : node["body"].start].rstrip()
    body = newline.join(b"\t" + line.encode() for line in lines)
    text = signature + b" {" + newline + body + newline + b"}" + newline * 2
    text += f"// {name} is {decl.name} for callers that hold {lock}.".encode() + newline
    own = node["name"]
    if node.tree.comments_in(node.start, node["body"].start):
        raise BuilderError("the signature of the function that is called holds a comment")
    if leading_start(node.tree, node.start) > node.start:
        raise BuilderError("the function does not begin its line")
    return [
        Edit(node.path, node.start, node.start, text),
        Edit(node.path, own.start, own.end, name.encode()),
    ]


def _merged(edits: list[Edit]) -> list[Edit]:
    """Return the edits with those that touch or repeat each other made one."""
    found: list[Edit] = []
    for edit in sorted(set(edits)):
        last = found[-1] if found else None
        if last is not None and not edit.new and not last.new and edit.start <= last.end:
            found[-1] = Edit(edit.path, last.start, max(last.end, edit.end), b"")
        else:
            found.append(edit)
    return found


def statement_of(operation: LockOperation) -> Node:
    """Return the statement that an operation is, deferred or not."""
    statement = operation.deferred or operation.call.parent
    if statement is None or statement.kind not in {"expression_statement", "defer_statement"}:
        raise BuilderError("the lock is used inside of a larger statement")
    return statement
