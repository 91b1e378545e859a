"""Let the tests look for deadlocks of mutexes

Two locks that are taken in different orders deadlock once in a million runs, and no test shows
it. `github.com/sasha-s/go-deadlock` remembers in which order locks are taken and reports an
inconsistent one though nothing blocked, a lock taken twice by one goroutine, and one waited for
longer than 30 seconds. An internal package of the module gets names for the mutexes, which are
sync's own (the same types, so that nothing is slower), and go-deadlock's when a test is run with
`go test -tags deadlock ./...`. Fields and variables of those types are declared by these names.
`go.mod` and `go.sum` get the requirement.

Not reported: mutexes whose type shows because their address or value goes elsewhere (a function
with a `*sync.Mutex`, another module); those behind pointers, in slices and maps; tests and
generated files; modules that require go-deadlock, or use its tag, in a way of their own.

Unsafe: the module has one more requirement; with the tag, tests exit at a possible deadlock.
Left to you: modules into which the requirement cannot be written without the go command
(vendored, before Go 1.17); the finding says which one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.golang.builders import add_import
from threadmend.golang.file import GoFile
from threadmend.golang.package import Package
from threadmend.golang.workspace import Module
from threadmend.model import Edit, Finding, Fix, Safety
from threadmend.recipes.files import ProjectFiles

from ._imports import mentions, swap_import
from ._mutexes import Place, movable
from ._requirement import Dependency, Need, needed

CATEGORY = "mutex"

_PATH = "github.com/sasha-s/go-deadlock"
_ID = ("github.com/petermattis/goid", "v0.0.0-20250813065127-a731cc31b4fe")
_DEADLOCK = Dependency(
    _PATH,
    "v0.3.9",
    sums=(
        f"{_ID[0]} {_ID[1]} h1:vHpqOnPlnkba8iSxU4j/CvDSS9J4+F4473esQsYLGoE=",
        f"{_ID[0]} {_ID[1]}/go.mod h1:pxMtw7cyUw6B2bRH0ZBANSPg+AoSud1I1iyJHI69jH4=",
        f"{_PATH} v0.3.9 h1:fiaT9rB7g5sr5ddNZvlwheclN9IP86eFW9WgqlEQV+w=",
        f"{_PATH} v0.3.9/go.mod h1:KuZj51ZFmx42q/mPaYbRk0P1xcwe697zsJKE03vD4/Y=",
    ),
    brings=_ID,
)
_COMMAND = "go test -tags deadlock ./..."
_MESSAGE = "nothing looks for deadlocks of this package's mutexes"
_TITLE = "Declare the mutexes by names that stand for go-deadlock's under a build tag"
_NAMES = ("syncutil", "mutexes", "lockutil", "deadlockutil")

_TAG = re.compile(rb"^//go:build[^\n]*\bdeadlock\b", re.M)
_IGNORED = re.compile(rb"^//go:build[ \t]+ignore\b", re.M)
_ALIAS = re.compile(rb"\bMutex[ \t]*=[ \t]*\w+\.Mutex\b")
_READ_ALIAS = re.compile(rb"\bRWMutex[ \t]*=[ \t]*\w+\.RWMutex\b")
_MENTION = re.compile(rb"\b(?:RW)?Mutex\b")
_APART = re.compile(r"(?:^|/)(?:vendor|testdata|third_party|[_.][^/]*)(?:/|$)")

_PLAIN = """//go:build !deadlock

// Package %(name)s names the mutexes of this module.
//
// They are those of sync; with the build tag deadlock they are those of go-deadlock, which
// reports locks that can deadlock:
//
//	%(command)s
package %(name)s

import "sync"

// Mutex is a sync.Mutex, or under the tag deadlock one that is watched.
type Mutex = sync.Mutex

// RWMutex is a sync.RWMutex, or under the tag deadlock one that is watched.
type RWMutex = sync.RWMutex
"""
_WATCHED = """//go:build deadlock

package %(name)s

import "%(path)s"

// Mutex is a sync.Mutex that is watched for deadlocks.
type Mutex = deadlock.Mutex

// RWMutex is a sync.RWMutex that is watched for deadlocks.
type RWMutex = deadlock.RWMutex
"""


def check(project: ProjectFiles) -> Iterator[Finding]:
    """Report the packages whose mutexes no build watches."""
    for module in project.go.modules:
        if module.path in {"", "std", "cmd", _PATH, _ID[0]}:
            continue
        tagged = [p for p in module.packages if any(f.holds(_TAG) for f in p.files)]
        home = next((p for p in tagged if _names_mutexes(p)), None)
        if home is None and (tagged or _PATH in module.requires):
            continue
        yield from _findings(project, module, home)


def _names_mutexes(package: Package) -> bool:
    return all(any(f.holds(p) for f in package.files) for p in (_ALIAS, _READ_ALIAS))


def _findings(project: ProjectFiles, module: Module, home: Package | None) -> Iterator[Finding]:
    found: list[tuple[Package, list[Place]]] = []
    for package in module.packages:
        if package is not home and not _APART.search(package.directory):
            files = [file for file in package.files if _is_ours(file)]
            places = movable(package, files) if files else []
            if places:
                found.append((package, places))
    name = home.name if home is not None else _name(module, found)
    if not found or name is None:
        return
    need = needed(project, module, _DEADLOCK)
    path = home.path if home is not None else f"{module.path}/internal/{name}"
    new = () if home is not None else _files(module, name)
    for _, places in found:
        first = min(places, key=lambda p: (p.file.path, p.node.start))
        place = (first.file.path, first.node.start, first.node.end, _MESSAGE)
        if need.reason:
            yield Finding(*place, reason=need.reason)
        else:
            edits = (*_declared(places, path, name), *new, *need.edits)
            yield Finding(*place, (Fix(_TITLE, edits, Safety.UNSAFE, _reason(need)),))


def _reason(need: Need) -> str:
    first = f"run {need.command}, then " if need.command else "run "
    return f"with the tag, tests exit at a possible deadlock; {first}{_COMMAND}"


def _is_ours(file: GoFile) -> bool:
    return not (file.is_test_file or file.generated or file.broken) and (
        file.holds(_MENTION) and not file.holds(_IGNORED)
    )


def _name(module: Module, found: list[tuple[Package, list[Place]]]) -> str | None:
    """Return a name for the package that no file uses for something else."""
    texts = {p.file.path: p.file.data for _, places in found for p in places}
    folders = {p.directory for p in module.packages}
    for name in _NAMES:
        word = re.compile(rb"\b" + name.encode() + rb"\b")
        if f"{module.directory}/internal/{name}".lstrip("/") not in folders:
            taken = any(package.lookup(name) for package, _ in found)
            if not taken and not any(word.search(text) for text in texts.values()):
                return name
    return None


def _files(module: Module, name: str) -> tuple[Edit, ...]:
    folder = f"{module.directory}/internal/{name}".lstrip("/")
    said = {"name": name, "path": _PATH, "command": _COMMAND}
    return (
        Edit(f"{folder}/mutex.go", 0, 0, (_PLAIN % said).encode()),
        Edit(f"{folder}/mutex_deadlock.go", 0, 0, (_WATCHED % said).encode()),
    )


def _declared(places: list[Place], path: str, name: str) -> Iterator[Edit]:
    """Yield the edits that write the types by the names of a package, and import it."""
    files = {place.file.path: place.file for place in places}
    for file in files.values():
        mine = [place.node["package"] for place in places if place.file is file]
        for node in mine:
            yield Edit(file.path, node.start, node.end, name.encode())
        yield from _imports(file, mine[0].name, len(mine), path)


def _imports(file: GoFile, sync: str, moved: int, path: str) -> tuple[Edit, ...]:
    """Import the package; without sync when nothing else of that is used."""
    if mentions(file, sync) > moved:
        return add_import(file.tree, path)
    return swap_import(file, "sync", path)
