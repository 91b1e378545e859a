"""Projects of a few files, and rules that find words: what the engine's tests stand on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from threadmend.config import Config
from threadmend.engine import Options
from threadmend.golang.file import GoFile
from threadmend.golang.package import Package
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Patch, Rule, Safety, Subject
from threadmend.project import Project

Fixer = Callable[[GoFile, "re.Match[bytes]"], tuple[Fix, ...]]


def go(body: str, package: str = "svc") -> str:
    """Return a Go file with a function around some statements."""
    return f"package {package}\n\nfunc f() {{\n{body}}}\n"


def project(root: Path, files: Mapping[str, str | bytes], config: Config | None = None) -> Project:
    """Write files below a folder and open it."""
    for path, content in {"go.mod": "module example.com/m\n\ngo 1.22\n", **files}.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Project.open(root, config=config or Config())


def nothing(file: GoFile, found: re.Match[bytes]) -> tuple[Fix, ...]:
    """Offer no fix."""
    return ()


def replacing(
    new: bytes, safety: Safety = Safety.SAFE, title: str = ""
) -> Callable[[GoFile, re.Match[bytes]], tuple[Fix, ...]]:
    """Offer to replace what was found."""

    def fixes(file: GoFile, found: re.Match[bytes]) -> tuple[Fix, ...]:
        edit = Edit(file.path, found.start(), found.end(), found.expand(new))
        reason = "it may" if safety is Safety.UNSAFE else ""
        return (Fix(title or f"Write {new.decode()}", (edit,), safety, reason),)

    return fixes


def rule(
    name: str, pattern: bytes, fixer: Fixer = nothing, *, category: str = "toy", gated: bool = True
) -> Rule:
    """Return a rule that finds a regular expression in files."""
    compiled = re.compile(pattern)

    def check(file: GoFile) -> Iterator[Finding]:
        for found in compiled.finditer(file.data):
            said = f"{found[0].decode()} is written"
            yield Finding(file.path, *found.span(), said, fixer(file, found), reason="by hand")

    gate = compiled if gated else None
    return Rule(f"go/{name}", f"Avoid {name}", check, Subject.GO_FILE, category, gate)


def package_rule(name: str, check: Callable[[Package], Iterator[Finding]]) -> Rule:
    """Return a rule about packages."""
    return Rule(f"go/{name}", f"Avoid {name}", check, Subject.GO_PACKAGE, "toy")


def module_rule(name: str, check: Callable[[Module], Iterator[Finding]]) -> Rule:
    """Return a rule about modules."""
    return Rule(f"go/{name}", f"Avoid {name}", check, Subject.GO_MODULE, "toy")


def options(*rules: Rule, **changes: object) -> Options:
    """Return options of a run in one process, in which there are no other rules."""
    return replace(Options(rules, jobs=1, catalogue=rules), **changes)  # type: ignore[arg-type]


def became(patch: Patch) -> list[tuple[str, str, str]]:
    """Return rule, outcome and reason of every finding."""
    return [(o.finding.rule, o.kind.value, o.reason) for o in patch.outcomes]


def applied(project: Project, patch: Patch) -> Project:
    """Return the project after a patch, as a second run would find it."""
    return project.with_files(patch.after)
