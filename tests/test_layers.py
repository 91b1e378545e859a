"""Imports point down only; no rule is imported by name; nobody but the engine writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = (
    ("threadmend.model",),
    (
        "threadmend.source",
        "threadmend.globs",
        "threadmend.literals",
        "threadmend.graph",
        "threadmend.inventory",
    ),
    ("threadmend.golang", "threadmend.python", "threadmend.recipes"),
    ("threadmend.git", "threadmend.config", "threadmend.rulefile", "threadmend.gate"),
    (
        "threadmend.discovery",
        "threadmend.registry",
        "threadmend.parallel",
        "threadmend.removal",
        "threadmend.others",
    ),
    ("threadmend.project",),
    ("threadmend.suppress", "threadmend.baseline", "threadmend.gather", "threadmend.compose"),
    ("threadmend.analysis",),
    ("threadmend.cache",),
    ("threadmend.judge", "threadmend.permit", "threadmend.importers"),
    ("threadmend.settle",),
    ("threadmend.engine",),
    ("threadmend.prove",),
)
"""From the bottom; a part imports its own layer and those below. Faces stand above."""


def modules() -> dict[str, Path]:
    found = {}
    for top, name in (("threadmend", "threadmend"), ("fixers", "threadmend.fixers"),
                      ("codemods", "threadmend.codemods")):  # fmt: skip
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT / top).with_suffix("").parts
            module = ".".join((name, *parts)).removesuffix(".__init__")
            found[module] = path
    return found


def imports(module: str) -> Iterator[str]:
    """Yield the modules that a module imports to run; imports for types alone are left out."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    is_package = MODULES[module].name == "__init__.py"
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = module.split(".")[: -(node.level - is_package) or None] if node.level else []
            base = ".".join((*up, *([node.module] if node.module else [])))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def layer(module: str) -> int | None:
    for number, parts in enumerate(LAYERS):
        if any(module == part or module.startswith(f"{part}.") for part in parts):
            return number
    return None


MODULES = modules()


def test_the_parts_are_where_the_picture_has_them() -> None:
    parts = {part for parts in LAYERS for part in parts}
    assert parts <= set(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if layer(m) is not None])
def test_imports_point_down_only(module: str) -> None:
    mine = layer(module)
    assert mine is not None
    for imported in imports(module):
        if imported.startswith("threadmend.") and imported in MODULES:
            theirs = layer(imported)
            assert theirs is not None, f"{module} imports the face {imported}"
            assert theirs <= mine, f"{module} imports {imported}, which is above it"


@pytest.mark.parametrize("module", [m for m in MODULES if ".fixers" in m or ".codemods" in m])
def test_a_rule_imports_the_language_and_the_model(module: str) -> None:
    allowed = ("threadmend.model", "threadmend.source", "threadmend.golang", "threadmend.python",
               "threadmend.recipes")  # fmt: skip
    own = module.rpartition(".")[0]
    for imported in imports(module):
        if imported.startswith("threadmend") and imported in MODULES:
            helper = imported.rpartition(".")[2].startswith("_") and imported.startswith(own)
            assert imported.startswith(allowed) or helper, f"{module} imports {imported}"


def test_nothing_imports_a_rule_by_name() -> None:
    for module in MODULES:
        if ".fixers" not in module and ".codemods" not in module:
            for imported in imports(module):
                assert not imported.startswith(("threadmend.fixers", "threadmend.codemods"))


def test_only_the_registry_speaks_of_where_rules_are() -> None:
    words = ('"threadmend.fixers', '"threadmend.codemods', '"go/', '"python/')
    said = {
        module
        for module, path in MODULES.items()
        if layer(module) is not None and any(word in path.read_text("utf-8") for word in words)
    }
    assert said <= {"threadmend.registry", "threadmend.cache"}


@pytest.mark.parametrize("module", [m for m in MODULES if ".fixers" in m or ".codemods" in m])
def test_a_rule_is_pure(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"open", "print", "input", "exec", "eval", "__import__"}
    assert not any(isinstance(node, ast.Global) for node in ast.walk(tree))
    assert not {i.partition(".")[0] for i in imports(module)} & {"os", "sys", "subprocess"}
