"""Where shell commands stand in makefiles, justfiles, scripts and the YAML of build services."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from threadmend.recipes.files import WORKFLOWS
from threadmend.recipes.yamltree import Node, parse
from threadmend.source import SourceFile

__all__ = ["Script", "is_yaml", "scripts"]


@dataclass(frozen=True, slots=True)
class Script:
    """A piece of shell text, bytes [start, end) of a file, and what it runs in."""

    source: SourceFile
    start: int
    end: int
    make: bool = False
    folded: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set around it."""
    images: tuple[str, ...] = ()
    """The containers that it runs in."""
    matrix: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The values that a job is run with, by name."""
    around: tuple[int, int] = (0, 0)
    """The job, target or file that it is a part of."""


def is_yaml(path: str) -> bool:
    """Return whether a path is that of a YAML file."""
    return path.endswith((".yml", ".yaml"))


def scripts(source: SourceFile) -> Iterator[Script]:
    """Yield the shell text of a file, in order."""
    path = source.path
    name = path.rpartition("/")[2]
    if name.endswith(".sh"):
        yield Script(source, 0, len(source.data), around=(0, len(source.data)))
    elif name.endswith(".mk") or name.lower() in {"makefile", "gnumakefile"}:
        yield from _makefile(source)
    elif name.lower().endswith("justfile"):
        yield from _justfile(source)
    elif is_yaml(path):
        tree = parse(source.data)
        if tree is None:
            return
        if path.startswith(WORKFLOWS):
            yield from _workflow(source, tree)
        elif name == ".gitlab-ci.yml":
            yield from _gitlab(source, tree)
        elif name.lower().startswith("taskfile."):
            yield from _taskfile(source, tree)


# -- lines ------------------------------------------------------------------------------------

_LINE = re.compile(rb"(?:\\\r?\n|[^\n])*(?:\n|\Z)")
_DEFINE = re.compile(rb"[ \t]*(?:export[ \t]+|override[ \t]+)*define\b")
_ENDEF = re.compile(rb"[ \t]*endef\b")
_ASSIGNED = re.compile(rb" *(?:(?:export|override)[ \t]+)*[\w.-]+[ \t]*(?:\?|:{1,3}|\+)?=[ \t]*")


def _makefile(source: SourceFile) -> Iterator[Script]:
    """Yield recipe lines, and the values of variables."""
    data = source.data
    if b".RECIPEPREFIX" in data:
        return
    defining = False
    for line in _LINE.finditer(data):
        if not line[0]:
            continue
        if _DEFINE.match(line[0]) or defining:
            defining = not _ENDEF.match(line[0])
        elif line[0].startswith(b"\t"):
            yield Script(source, line.start() + 1, line.end(), make=True, around=line.span())
        elif value := _ASSIGNED.match(line[0]):
            start = line.start() + value.end()
            yield Script(source, start, line.end(), make=True, around=line.span())


def _justfile(source: SourceFile) -> Iterator[Script]:
    for line in _LINE.finditer(source.data):
        text = line[0]
        if text[:1] in {b" ", b"\t"} and text.strip():
            yield Script(source, line.start(), line.end(), around=line.span())


# -- YAML -------------------------------------------------------------------------------------


def _workflow(source: SourceFile, tree: Node) -> Iterator[Script]:
    jobs = tree.get("jobs")
    for _, job in jobs.pairs if jobs is not None else ():
        images = tuple(n.value for n in _scalars(job.get("container")))
        scope = Script(
            source, 0, 0, environment=_texts(tree.get("env"), job.get("env")),
            images=images, matrix=_matrix(job.get("strategy", "matrix")),
            around=(job.start, job.end),
        )  # fmt: skip
        default = _value(job.get("defaults", "run", "shell")) or _value(
            tree.get("defaults", "run", "shell")
        )
        steps = job.get("steps")
        for step in steps.items if steps is not None else ():
            run, shell = step.get("run"), _value(step.get("shell")) or default
            if run is not None and not shell.startswith("python"):
                environment = {**scope.environment, **_texts(step.get("env"))}
                yield from _block(run, replace(scope, environment=environment))


def _gitlab(source: SourceFile, tree: Node) -> Iterator[Script]:
    shared = _texts(tree.get("variables"))
    general = [tree.get("image"), tree.get("default", "image")]
    for _, job in tree.pairs:
        if job.kind != "map":
            continue
        own = job.get("image")
        images = [n.value for node in ([own] if own else general) for n in _scalars(node)]
        scope = Script(
            source, 0, 0, environment={**shared, **_texts(job.get("variables"))},
            images=tuple(images), matrix=_parallel(job.get("parallel", "matrix")),
            around=(job.start, job.end),
        )  # fmt: skip
        for name in ("before_script", "script", "after_script"):
            for line in _scalars(job.get(name)):
                yield from _block(line, scope)


def _taskfile(source: SourceFile, tree: Node) -> Iterator[Script]:
    shared = _texts(tree.get("env"))
    tasks = tree.get("tasks")
    for _, task in tasks.pairs if tasks is not None else ():
        scope = Script(
            source, 0, 0, environment={**shared, **_texts(task.get("env"))},
            around=(task.start, task.end),
        )  # fmt: skip
        lines = [task] if task.kind != "map" else [task.get("cmd"), task.get("cmds")]
        for node in lines:
            for command in node.items if node is not None and node.kind == "list" else (node,):
                said = command.get("cmd") if command is not None and command.pairs else command
                if said is not None:
                    yield from _block(said, scope)


def _block(node: Node, scope: Script) -> Iterator[Script]:
    """Yield the text of a scalar; what is quoted inside of quotes is left to itself."""
    if node.kind != "scalar":
        return
    start, end, data = node.start, node.end, scope.source.data
    if node.style in {"|", ">"}:
        start = scope.source.line_end(start)
    elif node.style:
        start, end = start + 1, end - 1
        if node.value.encode() != data[start:end]:
            return
    folded = node.style != "|" and b"\n" in data[start:end].strip()
    yield replace(scope, start=start, end=end, folded=folded)


def _scalars(node: Node | None) -> Iterator[Node]:
    if node is not None:
        yield from node.scalars()


def _value(node: Node | None) -> str:
    return node.value if node is not None else ""


def _texts(*mappings: Node | None) -> dict[str, str]:
    """Return the scalars of mappings by key, later ones first."""
    found = {}
    for mapping in mappings:
        for key, value in mapping.pairs if mapping is not None else ():
            found[key.value] = value.value or _value(value.get("value"))
    return found


def _matrix(node: Node | None) -> dict[str, tuple[str, ...]]:
    """Return the values of a workflow's matrix, those that are included among them."""
    found: dict[str, list[str]] = {}
    for key, value in node.pairs if node is not None else ():
        if key.value in {"include", "exclude"}:
            if key.value == "include":
                for item in value.items:
                    for name, one in item.pairs:
                        found.setdefault(name.value, []).append(one.value)
        else:
            found.setdefault(key.value, []).extend(one.value for one in value.scalars())
            if any(item.kind != "scalar" for item in value.items):
                for item in value.items:
                    for name, one in item.pairs:
                        found.setdefault(name.value, []).append(one.value)
    return {name: tuple(values) for name, values in found.items()}


def _parallel(node: Node | None) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in node.items if node is not None else ():
        for name, values in item.pairs:
            found.setdefault(name.value, []).extend(one.value for one in values.scalars())
    return {name: tuple(values) for name, values in found.items()}
