"""Whether a value is a tuple or a list of several, or certainly none of both."""

from __future__ import annotations

import ast

from threadmend.python import api
from threadmend.python.file import PythonFile
from threadmend.python.scope import Site
from threadmend.python.uses import assigned_value

__all__ = ["is_row", "is_single"]

_PAIRING = frozenset({"zip", "enumerate", "tuple", "list", "divmod"})
_ITERTOOLS = frozenset({"product", "combinations", "permutations", "zip_longest", "pairwise",
                        "combinations_with_replacement", "groupby", "batched"})  # fmt: skip
_ROWS_OF = frozenset({"items", "most_common", "fetchall", "fetchmany", "execute", "itertuples",
                      "iterrows", "iter_rows", "reader", "findall"})  # fmt: skip
"""Methods over whose results a loop gets rows."""
_ROW = frozenset({"fetchone", "partition", "rpartition", "split", "rsplit", "groups", "splitlines",
                  "accept", "as_tuple"})  # fmt: skip
_SAME = frozenset({"list", "sorted", "reversed", "tuple", "set", "iter", "deque"})
_WORDS = frozenset({"tuple", "list", "sequence", "iterable", "collection", "iterator"})
_SINGLE = frozenset({"str", "bytes", "int", "float", "bool", "complex", "pathlib.Path"})
_COUNTS = frozenset({"range", "len", "str", "int", "float", "repr", "open", "id"})


def is_row(file: PythonFile, node: ast.expr | None, depth: int = 0) -> bool:
    """Return whether a value is a tuple or a list, or may be one: what `zip`, `enumerate` and
    `.items()` give, what an annotation says, what is assigned.
    """
    if node is None or depth > 5:
        return False
    if isinstance(node, ast.Tuple | ast.List | ast.ListComp | ast.GeneratorExp):
        return True
    if isinstance(node, ast.IfExp):
        return is_row(file, node.body, depth + 1) or is_row(file, node.orelse, depth + 1)
    if isinstance(node, ast.BinOp):
        return is_row(file, node.left, depth + 1) or is_row(file, node.right, depth + 1)
    if isinstance(node, ast.BoolOp):
        return any(is_row(file, value, depth + 1) for value in node.values)
    if isinstance(node, ast.Call):
        return _called(node) in _ROW or file.qualified(node.func) in _PAIRING
    value = file.value(node)
    if value is not None and value.type.rpartition(".")[2].lower() in _WORDS:
        return True
    if value is not None and value.cls is not None and value.cls.inherits("typing.NamedTuple"):
        return True
    if isinstance(node, ast.Subscript):
        return not isinstance(node.slice, ast.Slice) and _gives_rows(file, node.value, depth + 1)
    if isinstance(node, ast.Attribute):
        owner = file.value(node.value)
        kept = owner.cls.values_of(node.attr) if owner is not None and owner.cls else []
        return any(is_row(other, one, depth + 1) for other, one in kept)
    binding = file.binding(node)
    return binding is not None and any(_is_row_at(file, s, depth + 1) for s in binding.sites)


def _is_row_at(file: PythonFile, site: Site, depth: int) -> bool:
    """Return whether a place sets a variable to a row."""
    if site.annotation is not None and _is_said(file, site.annotation):
        return True
    if site.kind == "for":
        return _gives_rows(file, site.value, depth)
    if site.kind in {"assign", "walrus"} or (site.kind == "unpack" and site.value is not None):
        return is_row(file, site.value, depth)
    return False


def _is_said(file: PythonFile, annotation: ast.expr) -> bool:
    """Return whether an annotation names a tuple or its like: `tuple[str, int] | None`."""
    text = annotation.value if isinstance(annotation, ast.Constant) else file.text(annotation)
    heads = (part.partition("[")[0].strip() for part in str(text).split("|"))
    inner = str(text).partition("Optional[")[2].partition("[")[0].strip(" ]")
    return any(h.rpartition(".")[2].lower() in _WORDS for h in (*heads, inner))


def _gives_rows(file: PythonFile, node: ast.expr | None, depth: int) -> bool:
    """Return whether the items of an iterable are rows: `zip(a, b)`, `d.items()`, `[(1, 2)]`."""
    if node is None or depth > 5:
        return False
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(is_row(file, one, depth + 1) for one in node.elts)
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        return is_row(file, node.elt, depth + 1)
    if isinstance(node, ast.Call):
        name = file.qualified(node.func) or ""
        if name in _PAIRING - {"tuple", "list"} or _called(node) in _ITERTOOLS | _ROWS_OF:
            return True
        return _called(node) in _SAME and _gives_rows(file, (*node.args, None)[0], depth + 1)
    if isinstance(node, ast.Name):
        binding = file.binding(node)
        sites = binding.sites if binding is not None else []
        if any(_gives_rows(file, s.value, depth + 1) for s in sites if s.kind == "assign"):
            return True
        return binding is not None and any(
            _is_added(file, use, depth) for use in file.uses(binding)
        )
    return False


def _is_added(file: PythonFile, use: ast.Name, depth: int) -> bool:
    """Return whether a use puts a row into a collection: `rows.append((k, v))`, `rows[k] = v`."""
    above = file.parent(use)
    if isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Store):
        return is_row(file, assigned_value(above), depth + 1)
    if not isinstance(above, ast.Attribute):
        return False
    call = file.parent(above)
    if not isinstance(call, ast.Call) or call.func is not above or not call.args:
        return False
    return above.attr in {"append", "add", "insert"} and is_row(file, call.args[-1], depth + 1)


def _called(call: ast.Call) -> str:
    """Return the last name of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def is_single(file: PythonFile, node: ast.expr) -> bool:
    """Return whether a value is certainly one, which cannot be meant as several arguments: a
    text, a number, a lock, a queue, an object of the project that nobody can iterate over.
    """
    if isinstance(node, ast.Constant | ast.JoinedStr):
        return True
    if isinstance(node, ast.Call) and file.qualified(node.func) in _COUNTS:
        return True
    if isinstance(node, ast.BinOp):
        return is_single(file, node.left) or is_single(file, node.right)
    value = file.value(node)
    if value is None:
        binding = file.binding(node)
        return binding is not None and all(_is_number(file, site) for site in binding.sites)
    if value.is_class or value.is_a(_SINGLE | api.LOCKS | api.EVENTS | api.QUEUES | api.THREADS):
        return True
    cls = value.cls
    return cls is not None and not cls.is_open and not any(
        cls.method(name) is not None for name in ("__iter__", "__getitem__")
    ) and not cls.overrides("__iter__")  # fmt: skip


def _is_number(file: PythonFile, site: Site) -> bool:
    """Return whether a place sets a variable to a number or a text: `for i in range(n)`."""
    value = site.value
    if site.kind == "for" and isinstance(value, ast.Call):
        return file.qualified(value.func) == "range"
    if site.kind == "for" and isinstance(value, ast.List | ast.Tuple):
        return all(is_single(file, one) for one in value.elts)
    return site.kind == "assign" and value is not None and (
        isinstance(value, ast.JoinedStr | ast.Constant)
        or (isinstance(value, ast.Call) and file.qualified(value.func) in _COUNTS)
    )  # fmt: skip
