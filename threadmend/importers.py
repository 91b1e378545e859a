"""importers(): which packages may see that others changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from posixpath import dirname

from threadmend.project import Project

__all__ = ["importers", "python_importers"]

_FUNCTIONS = frozenset({"function_declaration", "method_declaration"})


def importers(before: Project, after: Project, paths: Collection[str]) -> set[str]:
    """Return the folders of packages that import a changed one, without the changed ones.

    A package looks different from outside when something at its top level changed; what
    happens inside of functions is taken for its own business.
    """
    seen = {
        path for path in paths if path.endswith(".go") and _looks_different(before, after, path)
    }
    if not seen:
        return set()
    changed = {dirname(path) for path in paths}
    own = {p.path for path in seen for p in after.go.in_directory(dirname(path)) if p.path}
    quoted = [f'"{path}"'.encode() for path in sorted(own)]
    return {
        package.directory
        for package in after.go.packages
        if package.directory not in changed
        and any(q in after.source(p).data for p in package.file_paths for q in quoted)
    }


def python_importers(project: Project, paths: Collection[str]) -> set[str]:
    """Return the folders of Python files that import one of these modules by its name.

    What a function takes or waits for is its callers' business, also where they are in other
    packages.
    """
    names = {
        project.python.module_of(path).rpartition(".")[2].encode()
        for path in paths
        if path.endswith(".py")
    }
    if not names:
        return set()
    one = b"|".join(map(re.escape, sorted(names)))
    imports = re.compile(rb"(?m)^[ \t]*(?:from|import)\b[^\n#]*\b(?:%b)\b" % one)
    return {
        dirname(path)
        for path in project.python.paths
        if project.python.matters(path) and imports.search(project.source(path).data)
    }


def _looks_different(before: Project, after: Project, path: str) -> bool:
    if path.endswith("_test.go"):
        return False
    if path not in before or path not in after:
        return True
    return list(_outline(before, path)) != list(_outline(after, path))


def _outline(project: Project, path: str) -> Iterator[bytes]:
    """Yield the declarations of a file without imports and bodies, blanks evened out."""
    tree = project.go.tree(path)
    for declaration in tree.declarations:
        if declaration.kind in {"import_declaration", "package_clause"}:
            continue
        end = declaration.end
        if declaration.kind in _FUNCTIONS:
            body = declaration.raw.child_by_field_name("body")
            end = body.start_byte if body is not None else end
        yield b" ".join(tree.data[declaration.start : end].split())
