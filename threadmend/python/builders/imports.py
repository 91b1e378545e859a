"""Imports: what to write for `threading.Lock` in a file, and the edits that make it known."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from threadmend.model import Edit
from threadmend.python.builders.lines import BuilderError, full_span, is_alone, line_span
from threadmend.python.builders.names import is_free
from threadmend.python.builders.statements import delete
from threadmend.python.file import PythonFile
from threadmend.python.scope import Binding, parent, scope_of

__all__ = ["add_import", "drop_import", "reference"]

Edits = tuple[Edit, ...]


def reference(file: PythonFile, qualified: str, at: ast.AST | None = None) -> tuple[str, Edits]:
    """Return how to write a thing of another module at a place, and the edits of imports.

    `threading.Lock` is `threading.Lock` after `import threading`, `t.Lock` after `import
    threading as t`, `Lock` after `from threading import Lock` (or where other names are imported
    from there: then it is added); else `import threading` is added. Raises BuilderError when
    the name means something else at `at`.
    """
    module, _, name = qualified.rpartition(".")
    found = None
    for binding in file.tree.scopes[0].bindings.values():
        spelled = _spelled(file, binding, module, name)
        if spelled is not None and _is_seen(file, binding, at):
            if found is None or spelled == qualified:
                found = spelled
    if found is not None:
        return found, ()
    merged = _merged(file, module, name, at)
    if merged is not None:
        return name, (merged,)
    head = module.partition(".")[0]
    if not is_free(file, head, at):
        raise BuilderError(f"{head} means something else here")
    return qualified, add_import(file, f"import {module}")


def _spelled(file: PythonFile, binding: Binding, module: str, name: str) -> str | None:
    for site in binding.sites:
        node, alias = site.node, site.alias
        if alias is None or not _is_plain(node):
            continue
        if isinstance(node, ast.Import) and alias.name == module:
            return f"{alias.asname or module}.{name}"
        if isinstance(node, ast.Import) and not alias.asname:
            if alias.name.startswith(f"{module}."):
                return f"{module}.{name}"  # `import logging.handlers` names `logging` as well
        if isinstance(node, ast.ImportFrom) and not node.level:
            if node.module == module and alias.name == name:
                return alias.asname or name
            if f"{node.module}.{alias.name}" == module:
                return f"{alias.asname or alias.name}.{name}"
    return None


def _is_plain(node: ast.AST) -> bool:
    return isinstance(parent(node), ast.Module)


def _is_seen(file: PythonFile, binding: Binding, at: ast.AST | None) -> bool:
    if any(site.kind != "import" for site in binding.sites):
        return False
    if at is None:
        return True
    if scope_of(at).lookup(binding.name) is not binding:
        return False
    first = min(site.node.lineno for site in binding.sites)  # type: ignore[attr-defined]
    return file.function_node(at) is not None or first < getattr(at, "lineno", 1 << 30)


def _merged(file: PythonFile, module: str, name: str, at: ast.AST | None) -> Edit | None:
    """Return the edit that adds a name to a `from module import a, b` of the file."""
    if not is_free(file, name, at):
        return None
    for statement in file.tree.module.body:
        if (
            isinstance(statement, ast.ImportFrom)
            and statement.module == module
            and not statement.level
            and statement.names[0].name != "*"
        ):
            first = statement.lineno
            if at is not None and file.function_node(at) is None and first > at.lineno:  # type: ignore[attr-defined]
                continue
            later = [a for a in statement.names if a.name > name]
            names = [a.name for a in statement.names]
            if later and (later[0] is not statement.names[0] or names == sorted(names)):
                place = file.span(later[0])[0]
                if later[0].lineno == statement.names[-1].lineno:
                    return Edit(file.path, place, place, file.encode(f"{name}, "))
            place = file.span(statement.names[-1])[1]
            return Edit(file.path, place, place, file.encode(f", {name}"))
    return None


def add_import(file: PythonFile, text: str) -> Edits:
    """Add an import statement at the top level, where imports are: see the module's rules.

    Among the first group of imports in alphabetical order; without imports after shebang,
    encoding, comments, docstring and `__future__`.
    """
    body = file.tree.module.body
    newline = file.source.newline
    code = file.encode(text) + newline
    imports = [s for s in _head(body) if is_alone(file, s)]
    if imports:
        return (_sorted_in(file, imports, text, code),)
    first = _prologue(body)
    if first:
        end = line_span(file, first[-1])[1]
        lead = b"" if file.data[:end].endswith((b"\n", b"\r")) else newline
        return (Edit(file.path, end, end, lead + newline + code + _gap(file, end)),)
    at = _after_comments(file)
    return (Edit(file.path, at, at, code + _gap(file, at)),)


def _gap(file: PythonFile, at: int) -> bytes:
    """Return the blank lines after imports that are written at a place: two before a `def`."""
    rest = file.data[at:]
    if not rest.strip() or rest.startswith((b"\n", b"\r")):
        return b""
    return file.source.newline * (
        2 if rest.startswith((b"def ", b"class ", b"@", b"async ")) else 1
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _prologue(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the docstring and the `__future__` imports."""
    found: list[ast.stmt] = []
    for statement in body:
        is_doc = (
            not found
            and isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
        if not is_doc and not _is_future(statement):
            break
        found.append(statement)
    return found


def _head(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """Return the first run of imports after the prologue."""
    found: list[ast.Import | ast.ImportFrom] = []
    for statement in body[len(_prologue(body)) :]:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if found and statement.lineno > (found[-1].end_lineno or 0) + 1:
                break
            found.append(statement)
        elif found or not isinstance(statement, ast.Assign | ast.If | ast.Try):
            break
    return found


def _sorted_in(
    file: PythonFile, imports: list[ast.Import | ast.ImportFrom], text: str, code: bytes
) -> Edit:
    plain = [s for s in imports if isinstance(s, ast.Import)]
    name = text.removeprefix("import ").partition(" ")[0]
    earlier = [s for s in plain if s.names[0].name < name]
    if text.startswith("from "):
        end = full_line_end(file, imports[-1])
        return Edit(file.path, end, end, _after_newline(file, end, code))
    if earlier:
        end = full_line_end(file, earlier[-1])
        return Edit(file.path, end, end, _after_newline(file, end, code))
    start = line_span(file, (plain or imports)[0])[0]
    return Edit(file.path, start, start, code)


def full_line_end(file: PythonFile, statement: ast.stmt) -> int:
    """Return where the line after a statement begins."""
    return line_span(file, statement)[1]


def _after_newline(file: PythonFile, at: int, code: bytes) -> bytes:
    if at == len(file.data) and not file.data.endswith((b"\n", b"\r")):
        return file.source.newline + code
    return code


def _after_comments(file: PythonFile) -> int:
    """Return the place after shebang, encoding and the comment at the top."""
    starts = file.tree.starts
    at = starts[0]
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else len(file.data)
        if not file.data[start:stop].lstrip().startswith(b"#"):
            break
        at = stop
    body = file.tree.module.body
    if body and at > full_span(file, body[0])[0]:
        raise BuilderError("no place for an import")
    return at


def drop_import(
    file: PythonFile, node: ast.expr, added: Sequence[Edit] = (), also: Sequence[ast.expr] = ()
) -> Edits:
    """Remove the import that a name (`time` of `time.sleep`) comes from, when the name stands
    nowhere else but in `also`, which go as well; of `import os, time` the name and its comma. In a
    notebook it stays: magics and whoever works with it use more than is seen. `added` are the
    edits of an import that comes.
    """
    if file.path.endswith(".ipynb"):
        return ()
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    binding = file.binding(root)
    if binding is None or len(binding.sites) != 1:
        return ()
    gone_too = {part for other in also for part in ast.walk(other)}
    uses = file.uses(binding)
    if root not in uses or any(use is not root and use not in gone_too for use in uses):
        return ()
    statement = binding.sites[0].node
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return ()
    if not isinstance(file.parent(statement), ast.Module):
        return ()
    if len(statement.names) == 1:
        gone = delete(file, statement, comments=False)
        beside = {at for edit in gone for at in (edit.start, edit.end)}
        is_beside = any(edit.path == file.path and edit.end in beside for edit in added)
        return gone if is_beside else _without_gap(file, gone)
    alias = binding.sites[0].alias
    if alias not in statement.names:
        return ()
    at = statement.names.index(alias)
    if at + 1 < len(statement.names):
        start, end = file.span(alias)[0], file.span(statement.names[at + 1])[0]
    else:
        start, end = file.span(statement.names[at - 1])[1], file.span(alias)[1]
    if b"#" in file.data[start:end] or b"\n" in file.data[start:end]:
        return ()
    return (Edit(file.path, start, end, b""),)


def _without_gap(file: PythonFile, edits: Edits) -> Edits:
    """Return the edits of a line together with the blank lines behind it, or in front of it, that
    would be one gap with those on its other side: the longer of the two stays.
    """
    (gone,) = edits if len(edits) == 1 else (None,)
    if gone is None or gone.new:
        return edits
    newline = file.source.newline
    behind, before = file.data[gone.end :], file.data[: gone.start]
    after_it = len(behind) - len(behind.lstrip(b"\r\n"))
    if not gone.start:
        return (Edit(file.path, 0, gone.end + after_it, b""),)
    ahead = len(before) - len(before.rstrip(b"\r\n")) - len(newline)
    if after_it <= ahead:
        return (Edit(file.path, gone.start, gone.end + after_it, b""),)
    return (Edit(file.path, gone.start - max(ahead, 0), gone.end, b""),)
