"""Let an errgroup return the first error

A WaitGroup, a channel with room for every error (or a variable under a mutex), a close, and a
loop that returns the first of them: parts that have to agree on how many goroutines there are,
and whose forgotten `close` or missing buffer is a leak. An `errgroup.Group` is all of them: its
functions return their errors, and Wait returns the first. Where the goroutines use a context,
they get the group's: the first error then ends the others. A semaphore becomes its limit.

`go.mod` and `go.sum` get golang.org/x/sync, unless they have it.

Not reported:
- errors that are collected, logged or counted: an errgroup keeps one;
- goroutines that go on after an error, and errors that the launching function sends itself;
- a WaitGroup, channel or variable that is used in any other way, or leaves the function.

Unsafe: an error now cancels the context of the others (not where they use other channels, keep
what they make with it, or clean up). Where a loop returned before all goroutines were done, Wait
waits for them. Left to you: modules into which the requirement cannot be written without the go
command; the finding says which one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import BuilderError, free_name, import_name, taken_names
from threadmend.golang.file import GoFile
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Related, Safety
from threadmend.recipes.files import ProjectFiles

from ._errgroup import PATH, Change, edits_of, imports_after, lost
from ._error_variable import by_variable
from ._first_error import Errors, by_channel
from ._first_taken import taken
from ._group import Group, groups
from ._group_context import shared_context
from ._requirement import Dependency, Need, needed, numbers
from ._semaphore import limit_of

CATEGORY = "waitgroup"

_CANDIDATE = re.compile(rb"\bsync\.WaitGroup\b")
_ERROR = re.compile(rb"\bchan error\b|\berror\b")
_MODULE = "golang.org/x/sync"


def _release(version: str, zipped: str, described: str) -> Dependency:
    """Return a release of golang.org/x/sync with its hashes."""
    sums = (f"{_MODULE} {version} h1:{zipped}", f"{_MODULE} {version}/go.mod h1:{described}")
    return Dependency(_MODULE, version, sums, package="errgroup")


# The newest release that asks for no newer Go than the module does: the newer, the less often do
# other requirements of the module want more.
_RELEASES = {
    (1, 25): _release(
        "v0.19.0",
        "vV+1eWNmZ5geRlYjzm2adRgW2/mcpevXNg50YZtPCE4=",
        "9KTHXmSnoGruLpwFjVSX0lNNA75CykiMECbovNTZqGI=",
    ),
    (1, 24): _release(
        "v0.16.0",
        "ycBJEhp9p4vXvUZNszeOq0kGTPghopOL8q0fq3vstxw=",
        "1dzgHSNfp02xaA81J2MS99Qcpr2w7fw1gpm99rleRqA=",
    ),
    (0, 0): _release(
        "v0.11.0",
        "GGz8+XQP4FvTTrjZPzNKTMFtSXH80RAzG+5ghFPgK9w=",
        "Czt+wKu1gCyEFDUtn0jG5QVvpJ6rzVqr5aXyt9drQfk=",
    ),
}


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the WaitGroups whose goroutines leave errors of which the first is returned."""
    needs: dict[str, Need] = {}
    for package in project.go.packages:
        module = package.module
        for file in package.files:
            if module is None or not file.holds(_CANDIDATE) or not file.holds(_ERROR):
                continue
            changes = list(_changes(file, module))
            if changes:
                if module.directory not in needs:
                    needs[module.directory] = needed(project, module, _dependency(module))
                yield from _findings(file, changes, needs[module.directory])


def _dependency(module: Module) -> Dependency:
    return next(d for version, d in _RELEASES.items() if module.go_version >= version)


def _changes(file: GoFile, module: Module) -> Iterator[Change]:
    limits = numbers(module.requires.get(_MODULE, "v1.0.0"))
    known: list[Change] = []
    for group in groups(file):
        for errors in (by_channel(file, group), by_variable(file, group)):
            if errors is None:
                continue
            change = _change(file, group, errors, limits >= (0, 1, 0), known)
            if change is not None:
                known.append(change)
                yield change
                break


def _change(
    file: GoFile, group: Group, errors: Errors, limits: bool, known: list[Change]
) -> Change | None:
    name = _name(file, group, known)
    tail = taken(file, group, errors, name)
    if tail is None:
        return None
    shared = shared_context(file, group, errors)
    cancels = any(end.cancels for ends in errors.exits.values() for end in ends)
    if cancels and (shared is None or shared.derived is None):
        return None
    limit = limit_of(file, group) if limits else None
    return Change(file, group, errors, tail, shared, limit, name)


def _name(file: GoFile, group: Group, known: list[Change]) -> str:
    """Return a name for the group that neither the function nor another group around uses."""
    outermost = file.tree.declaration_at(group.function.start)
    assert outermost is not None
    others = [
        change.name
        for change in known
        if change.group.block.contains(group.block) or group.block.contains(change.group.block)
    ]
    imports = [name for name, _, _ in file.imports]
    names = [*file.package.names, *imports, *others]
    return free_name("g", taken_names(outermost.node, names=names))


def _findings(file: GoFile, changes: list[Change], need: Need) -> Iterator[Finding]:
    """Yield a finding for each group; those that only together use an import are one fix."""
    edits: dict[str, tuple[Edit, ...]] = {}
    reasons: dict[str, str] = {}
    for change in changes:
        key = str(change.group.binding.node.start)
        try:
            edits[key] = edits_of(change)
        except BuilderError as error:
            reasons[key] = str(error)
    apart = {path for own in edits.values() for path in lost(file, own)}
    all_edits = tuple(edit for own in edits.values() for edit in own)
    together = lost(file, all_edits) != apart
    for change in changes:
        key = str(change.group.binding.node.start)
        own = edits.get(key)
        reason = need.reason or reasons.get(key, "")
        if _is_taken(file, change.group):
            own, reason = None, "errgroup has another name here, or is the name of something else"
        fix = None
        if own is not None and not reason:
            own = all_edits if together else own
            fix = _fix(change, (*own, *imports_after(file, own), *need.edits), need)
        yield _finding(change, fix, reason)


def _is_taken(file: GoFile, group: Group) -> bool:
    """Return whether the package cannot be called errgroup where the group is."""
    known = import_name(file.tree, PATH)
    local = known is None and "errgroup" in taken_names(group.function)
    return local or known not in {None, "errgroup"} or "errgroup" in file.package.names


def _fix(change: Change, edits: tuple[Edit, ...], need: Need) -> Fix:
    reasons = []
    if change.shared is not None and change.shared.derived is None:
        reasons.append(f"the first error cancels {change.shared.binding.name} for the others")
    if change.group.closer is not None:
        reasons.append("Wait returns when all goroutines are done")
    if not reasons:
        reasons.append("which error is the first may differ")
    if need.command:
        reasons.append(f"then run {need.command}")
    return Fix("Use an errgroup", edits, Safety.UNSAFE, "; ".join(reasons))


def _finding(change: Change, fix: Fix | None, reason: str) -> Finding:
    node, errors = change.group.binding.node, change.errors.binding
    names = f"{node.name} and {errors.name}"
    return Finding(
        path=node.path,
        start=node.start,
        end=node.end,
        message=f"{names} wait for goroutines and give their first error, as an errgroup does",
        fixes=(fix,) if fix else (),
        reason="" if fix else reason,
        related=(Related(node.path, errors.node.start, errors.node.end, "the errors"),),
    )
