"""A lock that becomes re-entrant: where it is made, and whether code would notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadmend.model import Edit
from threadmend.python import api
from threadmend.python.builders import BuilderError, reference
from threadmend.python.file import PythonFile
from threadmend.python.flow import target_of
from threadmend.python.functions import attributes_of
from threadmend.python.locks import Lock, Section, is_acquire, is_release
from threadmend.python.places import only_result, shown_by
from threadmend.python.uses import is_self
from threadmend.python.value import Value

__all__ = ["is_looked_at", "make_reentrant"]

_REENTRANT = {
    "threading.Lock": "threading.RLock",
    "multiprocessing.Lock": "multiprocessing.RLock",
}


def make_reentrant(file: PythonFile, section: Section) -> tuple[Edit, ...]:
    """Draw `self._lock = threading.Lock()` as `self._lock = threading.RLock()`, wherever the lock
    is made.
    """
    makers = _makers(file, section)
    if not makers:
        raise BuilderError("nobody can see where the lock is made")
    edits: list[Edit] = []
    for other in dict.fromkeys(value.file for value in makers):
        edits += _in_file(other, [value for value in makers if value.file is other])
    return tuple(dict.fromkeys(edits))


def _in_file(file: PythonFile, makers: list[Value]) -> list[Edit]:
    """Return the edits of constructors, annotations and imports of one file."""
    nodes: list[ast.expr] = []
    for value in makers:
        node = value.made.func if isinstance(value.made, ast.Call) else value.made
        if node is None or value.type not in _REENTRANT:
            raise BuilderError("the lock is made by other code")
        if file.qualified(node) != value.type:
            raise BuilderError(f"{file.text(node)} makes the lock")
        nodes.append(node)
        statement = file.statement(node)
        if isinstance(statement, ast.AnnAssign):
            if file.qualified(statement.annotation) == value.type:
                nodes.append(statement.annotation)
    wanted = _REENTRANT[makers[0].type]
    imported = _imported(file, nodes, wanted.rpartition(".")[2])
    if imported is not None:
        return [imported, *_named(file, nodes, wanted.rpartition(".")[2])]
    text, imports = reference(file, wanted, nodes[0])
    return [*_named(file, nodes, text), *imports]


def _named(file: PythonFile, nodes: list[ast.expr], text: str) -> list[Edit]:
    return [Edit(file.path, *file.span(node), file.encode(text)) for node in nodes]


def _imported(file: PythonFile, nodes: list[ast.expr], name: str) -> Edit | None:
    """Return the edit of `from threading import Lock`, when no other code uses that name."""
    binding = file.binding(nodes[0])
    if binding is None or len(binding.sites) != 1 or name in file.tree.names:
        return None
    alias = binding.sites[0].alias
    used = [use for use in file.uses(binding) if use not in nodes]
    if alias is None or alias.asname or used or alias.name != binding.name:
        return None
    if not isinstance(binding.sites[0].node, ast.ImportFrom):
        return None
    return Edit(file.path, *file.span(alias), file.encode(name))


def _makers(file: PythonFile, section: Section) -> list[Value]:
    """Return every value that the lock's variable is given, of a condition that of its lock."""
    lock = section.lock
    if lock.is_condition:
        made = lock.value.made
        if not isinstance(made, ast.Call):
            return []
        given = [*made.args, *(k.value for k in made.keywords if k.arg == "lock")]
        if not given:
            return []
        return _assigned(lock.value.file, given[0])
    if section.kind in {"borrowed", "helped"}:
        made = lock.value.made
        statement = lock.value.file.statement(made) if made is not None else None
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is not made:
            return []
        target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
        return _assigned(lock.value.file, target)
    return _assigned(file, section.item)


def _assigned(file: PythonFile, node: ast.expr) -> list[Value]:
    shown = shown_by(file, node)
    if shown is not None:
        return _assigned(*shown)
    if isinstance(node, ast.Call):
        values = [file.value(node)]
    elif isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        if owner is None or owner.cls is None:
            values = [file.value(node)]
        else:
            cls = owner.cls.completed(node.attr) or owner.cls
            given = cls.values_of(node.attr)
            values = [other.value(value) for other, value in given]
    else:
        binding = file.binding(node)
        if binding is None or any(site.kind == "import" for site in binding.sites):
            values = [file.value(node)]
        else:
            values = [file.value(s.value) if s.value is not None else None for s in binding.sites]
    if any(value is None for value in values):
        return []
    return [v for v in values if v is not None and v.type != "NoneType"]


def is_looked_at(file: PythonFile, lock: Lock) -> bool:
    """Return whether code tests the lock, or takes it without waiting, or hands it on."""
    pending = [lock.place.name.rpartition(".")[2]]
    for name in pending:
        for other in dict.fromkeys((file, lock.value.file, *_users(file, name))):
            for node in _named_so(other, name):
                again = _other_name(other, node)
                if again is None and not _is_plain(other, node):
                    return True
                if again is not None and again not in pending:
                    pending.append(again)
    return False


def _named_so(file: PythonFile, name: str) -> Iterator[ast.Attribute | ast.Name]:
    for node in (*attributes_of(file).get(name, ()), *file.tree.names.get(name, ())):
        if isinstance(node.ctx, ast.Load):
            yield node


def _other_name(file: PythonFile, node: ast.expr) -> str | None:
    """Return the name that a use gives a lock: of a variable that only stands for it, or of a
    property or a method that only shows it.
    """
    above = file.parent(node)
    target = target_of(above)
    if isinstance(target, ast.Name):
        same = file.place(target) == file.place(node) is not None
        return target.id if same else None
    function = file.function(node)
    is_shown = function is not None and only_result(function) is node and function.cls is not None
    return function.name if is_shown and function is not None else None


def _users(file: PythonFile, name: str) -> list[PythonFile]:
    if name.startswith("_"):
        return []
    return list(file.project.files(name.encode()))


def _is_plain(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a use only holds the lock: `with x`, `x.acquire()`, `x.release()`, a
    condition made on it, or a name that is no lock.
    """
    above = file.parent(node)
    if isinstance(above, ast.withitem) or is_self(file, node):
        return True
    if isinstance(above, ast.Attribute):
        call = file.parent(above)
        if is_acquire(call):
            return not (call.args or call.keywords)  # type: ignore[union-attr]
        return is_release(call) or above.attr not in {"locked", "acquire", "release"}
    if isinstance(above, ast.keyword):
        above = file.parent(above)
    if isinstance(above, ast.Call) and getattr(above.func, "attr", "") == "enter_context":
        return True
    if isinstance(above, ast.Call) and node is not above.func:
        made = file.value(above)
        return made is not None and made.is_a(api.CONDITIONS)
    return file.lock(node) is None
