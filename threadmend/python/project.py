"""PythonProject: the Python files of a project by path and by module name, read when asked."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from threadmend.literals import holds
from threadmend.python.api import makes, speaks_of_concurrency
from threadmend.python.below import BASES, WORD, Below
from threadmend.python.file import PythonFile, Version, is_test
from threadmend.python.notebook import Notebook, read
from threadmend.python.syntax import Tree
from threadmend.source import SourceFile, UnreadableError

if TYPE_CHECKING:
    from threadmend.python.classes import Class
    from threadmend.python.functions import Function

__all__ = ["PythonProject"]

_OLDEST: Version = (3, 10)
"""What a project that says nothing is taken to support: older Pythons get no fixes any more."""

_REQUIRES = re.compile(rb"(?:requires[-_]python|python_requires)[\"']?\s*[=:]\s*[\"']?([^\"'\n]+)")
_POETRY = re.compile(rb"^python\s*=\s*[\"']([^\"'\n]+)", re.M)
_LOWEST = re.compile(r"(?:>=|~=|==|\^|>)\s*(\d+)\.(\d+)")
_SETTINGS = ("pyproject.toml", "setup.cfg", "setup.py")
_CLASSES = re.compile(rb"(?m)^[ \t]*class[ \t]+(\w+)")
_CLASS = re.compile(rb"(?m)^class[ \t]+(\w+)")
_RUNS = re.compile(
    rb"\.(?:run|start)\(\)|\bsleep\(|\.(?:submit|map|put|task_done|release|leave|finished|done)\("
    rb"|\bfor \w+ in \w+(?:\.\w+\(\))?:"
)
_STARTS = re.compile(rb"\b(?:Thread|Timer|\w+Executor)\(|\b(?:Thread|Timer|\w+PoolExecutor)\)")
_DEFINED = re.compile(rb"(?m)^(?:def|class)[ \t]+(\w+)")
_IMPORTED = re.compile(rb"(?m)^[ \t]*(?:from[ \t]+\S+[ \t]+)?import[ \t]+(.+)$")
_NAME = re.compile(rb"\w+")
_FEW = 60
"""Files of a project in which each that imports what starts threads is read: a helper is told by
nothing but what it does.
"""
_TOPS = ("src", "lib", "python")


class PythonProject:
    """Every Python file of the project; `settings` reads a file that need not be listed.

    `package` is the dotted name of the folder itself where that is a package.
    """

    def __init__(
        self,
        paths: Iterable[str],
        source: Callable[[str], SourceFile],
        settings: Callable[[str], bytes | None] = lambda path: None,
        trees: Mapping[str, Tree] | None = None,
        package: str = "",
    ) -> None:
        self.package = package
        self.paths = tuple(sorted(path for path in paths if path.endswith((".py", ".ipynb"))))
        self._known = frozenset(self.paths)
        self.source = source
        self._settings = settings
        self.trees: dict[str, Tree] = dict(trees or {})
        self._files: dict[str, PythonFile] = {}
        self._broken: dict[str, UnreadableError] = {}
        self._matters: dict[str, bool] = {}
        self._naming: dict[bytes, list[str]] = {}
        self._notebooks: dict[str, Notebook] = {}
        self._versions: dict[str, Version | None] = {}

    def __repr__(self) -> str:
        return f"<PythonProject of {len(self.paths)} files>"

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def matters(self, path: str) -> bool:
        """Return whether a file's bytes speak of threads, locks, tasks at all, or of a class of
        the project that has some: as a base, as a thread that is started or told to run, as what
        gets jobs or is looped over, where a loop sleeps until it is ready; or have a class that is
        a base of one.
        """
        found = self._matters.get(path)
        if found is None:
            data = self.source(path).data
            found = speaks_of_concurrency(data) or self._is_kin(data)
            self._matters[path] = found
        return found

    def _is_kin(self, data: bytes) -> bool:
        bases = {word for given in BASES.findall(data) for word in WORD.findall(given)}
        if holds(data, _RUNS):
            bases |= set(WORD.findall(data))
        others = bases & self._concurrent
        if others and not others - self.below.common <= set(_CLASSES.findall(data)):
            return True
        if b"class " in data and not self._concurrent_bases.isdisjoint(_CLASS.findall(data)):
            return True
        if not self._starting:
            return False
        named = {word for some in _IMPORTED.findall(data) for word in _NAME.findall(some)}
        return not named.isdisjoint(self._starting)

    @cached_property
    def _starting(self) -> frozenset[bytes]:
        """Return the names of modules that start threads, and of what they define, in a project
        of few files.
        """
        found: set[bytes] = set()
        for path in self.paths if len(self.paths) <= _FEW else ():
            data = self.source(path).data
            if holds(data, _STARTS):
                found.update(_DEFINED.findall(data))
                found.add(self.module_of(path).rpartition(".")[2].encode())
        return frozenset(found)

    @cached_property
    def _concurrent(self) -> frozenset[bytes]:
        """Return the names of the classes whose files make threads, locks or queues."""
        found: set[bytes] = set()
        for path in self.paths:
            data = self.source(path).data
            if makes(data):
                found.update(_CLASS.findall(data))
        return frozenset(found)

    @cached_property
    def _concurrent_bases(self) -> frozenset[bytes]:
        """Return the names of the bases, made in other files, of classes whose files make threads,
        locks or queues.
        """
        found: set[bytes] = set()
        for path in self.paths:
            data = self.source(path).data
            if makes(data):
                bases = {word for given in BASES.findall(data) for word in WORD.findall(given)}
                found |= bases.difference(_CLASSES.findall(data))
        return frozenset(found)

    def file(self, path: str) -> PythonFile:
        """Return a file; raises UnreadableError when it does not parse."""
        found = self._files.get(path)
        if found is None:
            if path in self._broken:
                raise self._broken[path]
            tree = self.trees.get(path)
            if tree is None:
                try:
                    tree = self.trees[path] = Tree(self.code(path))
                except UnreadableError as error:
                    self._broken[path] = error
                    raise
            found = self._files[path] = PythonFile(tree, self, self.module_of(path))
        return found

    def code(self, path: str) -> SourceFile:
        """Return the Python of a file: of a notebook that of its code cells."""
        notebook = self.notebook(path)
        return self.source(path) if notebook is None else SourceFile(path, notebook.data)

    def notebook(self, path: str) -> Notebook | None:
        """Return the notebook that a file is; raises UnreadableError when it is a broken one."""
        if not path.endswith(".ipynb"):
            return None
        if path not in self._notebooks:
            self._notebooks[path] = read(path, self.source(path).data)
        return self._notebooks[path]

    def readable(self, path: str) -> PythonFile | None:
        """Return a file, None when it does not parse."""
        try:
            return self.file(path)
        except UnreadableError:
            return None

    def files(self, *having: bytes | re.Pattern[bytes], tests: bool = True) -> Iterable[PythonFile]:
        """Yield the files that parse, whose bytes speak of concurrency, and hold each of the
        words and patterns given: others are not even parsed. Tests can be left out.
        """
        for path in self.paths:
            if not tests and is_test(path):
                continue
            if self.matters(path) and self._holds_all(path, having):
                file = self.readable(path)
                if file is not None:
                    yield file

    def _holds_all(self, path: str, having: Iterable[bytes | re.Pattern[bytes]]) -> bool:
        data = self.source(path).data
        return all(_holds(data, one) for one in having)

    def naming(self, word: bytes) -> Sequence[str]:
        """Return the files whose bytes hold a word, in order."""
        found = self._naming.get(word)
        if found is None:
            whole = re.compile(rb"\b" + re.escape(word) + rb"\b")
            # the plain search is many times as fast as the pattern, and fails in most files
            found = self._naming[word] = [
                path
                for path in self.paths
                if word in (data := self.source(path).data) and whole.search(data)
            ]
        return found

    # -- modules --------------------------------------------------------------------------

    def module_of(self, path: str) -> str:
        """Return the dotted name that a file is imported by."""
        *folders, name = path.removesuffix(".py").removesuffix(".ipynb").split("/")
        depth = len(folders)
        while depth and "/".join((*folders[:depth], "__init__.py")) in self._known:
            depth -= 1
        parts = folders[depth:] + ([] if name == "__init__" else [name])
        if self.package and not depth:
            parts.insert(0, self.package)
        return ".".join(parts) or ".".join(folders[-1:]) or name

    @cached_property
    def _modules(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in self.paths:
            found.setdefault(self.module_of(path), path)
        for path in self.paths:
            if self.package and self.module_of(path).startswith(self.package):
                continue  # `queue.py` in a package is not what `import queue` means
            parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
            for start in (0, 1) if parts[0] in _TOPS else (0,):
                found.setdefault(".".join(parts[start:]), path)
        return found

    def module(self, name: str) -> PythonFile | None:
        """Return the file of a module of the project; None for any other."""
        path = self._modules.get(name)
        return None if path is None else self.readable(path)

    def find(self, qualified: str) -> tuple[PythonFile, str] | None:
        """Return the file of the project that a dotted name leads to, and what is left of it."""
        head, tail = qualified, ""
        while head:
            path = self._modules.get(head)
            if path is not None:
                file = self.readable(path)
                return None if file is None else (file, tail)
            head, _, last = head.rpartition(".")
            tail = f"{last}.{tail}" if tail else last
        return None

    def class_named(self, qualified: str) -> Class | None:
        """Return the class of the project with a qualified name (`pkg.mod.Class`)."""
        found = self.find(qualified)
        if found is None:
            return None
        file, tail = found
        return next((c for c in file.classes if c.qualname == tail), None)

    def function_named(self, qualified: str) -> Function | None:
        """Return the function or method of the project with a qualified name."""
        found = self.find(qualified)
        if found is None:
            return None
        file, tail = found
        return next((f for f in file.functions if f.qualname == tail), None)

    @cached_property
    def below(self) -> Below:
        """The classes of the project by what they derive from."""
        return Below(self.paths, self.source, self.readable)

    # -- versions -------------------------------------------------------------------------

    def python_version(self, path: str) -> Version:
        """Return the lowest Python that the folder of a file, or one above, asks for."""
        folder = path.rpartition("/")[0]
        while True:
            version = self._version_in(folder)
            if version is not None or not folder:
                return version or _OLDEST
            folder = folder.rpartition("/")[0]

    def _version_in(self, folder: str) -> Version | None:
        if folder not in self._versions:
            self._versions[folder] = self._read_version(folder)
        return self._versions[folder]

    def _read_version(self, folder: str) -> Version | None:
        for name in _SETTINGS:
            data = self._settings(f"{folder}/{name}" if folder else name)
            if data is None:
                continue
            said = _REQUIRES.search(data) or _POETRY.search(data)
            if said is not None:
                found = [(int(a), int(b)) for a, b in _LOWEST.findall(said[1].decode("latin-1"))]
                if found:
                    return max(min(found), (3, 0))
        return None


def docstring(node: ast.AST) -> str:
    """Return the docstring of a module, class or function, empty without one."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return ast.get_docstring(node, clean=False) or ""
    return ""


def _holds(data: bytes, wanted: bytes | re.Pattern[bytes]) -> bool:
    return wanted in data if isinstance(wanted, bytes) else holds(data, wanted)
