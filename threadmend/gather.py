"""Ask rules: every rule about every file, package and module that it is for.

One broken rule on one subject costs that answer alone; it is named in a Failure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadmend.gate import Gates, Text
from threadmend.model import Edit, Failure, Finding, Fix, Rule, Subject, Unreadable
from threadmend.project import Project
from threadmend.rulefile import Deferred
from threadmend.source import UnreadableError

if TYPE_CHECKING:
    from threadmend.golang.package import Package
    from threadmend.python.file import PythonFile
    from threadmend.python.notebook import Notebook

__all__ = ["Answers", "Asker", "Unit"]


@dataclass(slots=True)
class Answers:
    """What rules said about some subjects."""

    findings: list[Finding] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    """Files that turned out not to parse when a rule wanted to look at them."""
    observed: list[Any] = field(default_factory=list)
    """What the observer said."""

    def add(self, other: Answers) -> None:
        """Take over the answers of another part of the project."""
        self.findings += other.findings
        self.failures += other.failures
        self.unreadable += other.unreadable
        self.observed += other.observed


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work: a package (file and package rules), a module (module rules), the
    Python files of a folder, all of them, or all files of the project (project rules).
    """

    subject: Subject
    index: int
    weight: int


class Asker:
    """Puts rules to a project. `wanted` says which paths findings are wanted for.

    `observe` is asked about every package, module and Python file as well, in the process
    that the rules run in: facts that they worked out are at hand there.
    """

    def __init__(
        self,
        project: Project,
        rules: Sequence[Rule],
        wanted: Callable[[str], bool] | None = None,
        observe: Callable[[Any], Any] | None = None,
    ) -> None:
        self.project = project
        self._observer = observe
        self._rules = tuple(rules)
        self._wanted = wanted or (lambda path: True)
        self._file_rules = [r for r in rules if r.subject is Subject.GO_FILE]
        self._package_rules = [r for r in rules if r.subject is Subject.GO_PACKAGE]
        self._module_rules = [r for r in rules if r.subject is Subject.GO_MODULE]
        self._python_rules = [r for r in rules if r.subject is Subject.PYTHON_FILE]
        self._project_rules = [r for r in rules if r.subject is Subject.PYTHON_PROJECT]
        self._whole_rules = [r for r in rules if r.subject is Subject.PROJECT]
        self._gates = Gates(r for r in rules if r.language == "go")
        self._python_gates = Gates(r for r in rules if r.language == "python")
        self._known: dict[str, Text] = {}
        go = (Subject.GO_FILE, Subject.GO_PACKAGE, Subject.GO_MODULE)
        self._go = observe is not None or any(rule.subject in go for rule in rules)
        self._modules = observe is not None or any(r.subject is Subject.GO_MODULE for r in rules)

    def units(self, directories: Collection[str] | None = None) -> list[Unit]:
        """Return the work there is, in order; only these directories' packages if given."""
        units = self._go_units(directories) if self._go else []
        units += self._python_units(directories)
        if self._whole_rules:
            units.append(Unit(Subject.PROJECT, 0, 1))
        return units

    def _go_units(self, directories: Collection[str] | None) -> list[Unit]:
        units = []
        for index, package in enumerate(self.project.go.packages):
            if directories is not None and package.directory not in directories:
                continue
            wanted = [path for path in package.file_paths if self.reports(path)]
            if wanted:
                weight = sum(len(self.project.source(path).data) for path in wanted)
                units.append(Unit(Subject.GO_PACKAGE, index, weight))
        if self._modules:
            packages = self.project.go.packages
            weights = {packages[unit.index]: unit.weight for unit in units}
            for index, module in enumerate(self.project.go.modules):
                weight = sum(weights.get(package, 0) for package in module.packages)
                units.append(Unit(Subject.GO_MODULE, index, weight))
        return units

    def _python_units(self, directories: Collection[str] | None) -> list[Unit]:
        units = []
        for index, folder in enumerate(self._folders):
            if self._asks_python and (directories is None or folder in directories):
                wanted = [path for path in self._folders[folder] if self.reports(path)]
                if wanted:
                    weight = sum(len(self.project.source(path).data) for path in wanted)
                    units.append(Unit(Subject.PYTHON_FILE, index, weight))
        if self._project_rules and self._folders:
            units.append(Unit(Subject.PYTHON_PROJECT, 0, sum(unit.weight for unit in units)))
        return units

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """Return the Python files by folder."""
        folders: dict[str, list[str]] = {}
        if self._asks_python or self._project_rules:
            for path in self.project.python.paths:
                folders.setdefault(path.rpartition("/")[0], []).append(path)
        return folders

    @property
    def _asks_python(self) -> bool:
        return bool(self._python_rules) or self._observer is not None

    def load(self) -> None:
        """Import the rules and sort out the Python that matters, which a fork would otherwise do
        in every process.
        """
        for rule in self._rules:
            if isinstance(rule.check, Deferred):
                # What is wrong with a module is said when it is asked, by its name.
                with suppress(Exception):
                    rule.check.load()
        for paths in self._folders.values():
            for path in paths:
                self.project.python.matters(path)

    def reports(self, path: str) -> bool:
        """Return whether findings in a file are reported."""
        return self._wanted(path) and self.project.excuse(path) is None

    def where(self, unit: Unit) -> str:
        """Return the path to name when something is wrong with a unit."""
        if unit.subject is Subject.PYTHON_FILE:
            return list(self._folders)[unit.index] or "."
        if unit.subject in {Subject.PYTHON_PROJECT, Subject.PROJECT}:
            return "."
        if unit.subject is Subject.GO_MODULE:
            return f"{self.project.go.modules[unit.index].directory}/go.mod".lstrip("/")
        return self.project.go.packages[unit.index].directory or "."

    def ask(self, unit: Unit) -> Answers:
        """Return what the rules say about a unit."""
        answers = Answers()
        if unit.subject is Subject.GO_MODULE:
            module = self.project.go.modules[unit.index]
            paths = [path for package in module.packages for path in package.file_paths]
            where = self.where(unit)
            for rule in self._gates.admitted(self._module_rules, self._texts(paths)):
                self._put(rule, partial(_same, module), where, answers)
            self._observe(module, where, answers)
        elif unit.subject is Subject.PYTHON_FILE:
            for path in list(self._folders.values())[unit.index]:
                if self.reports(path):
                    self._ask_python(path, answers)
        elif unit.subject is Subject.PYTHON_PROJECT:
            self._ask_python_project(answers)
        elif unit.subject is Subject.PROJECT:
            for rule in self._whole_rules:
                self._put(rule, partial(_same, self.project.files), ".", answers)
        else:
            self._ask_package(self.project.go.packages[unit.index], answers)
        answers.findings = [f for f in answers.findings if self.reports(f.path)]
        return answers

    def _ask_package(self, package: Package, answers: Answers) -> None:
        texts = self._texts(package.file_paths)
        for path, text in zip(package.file_paths, texts, strict=True):
            if self.reports(path):
                for rule in self._gates.admitted(self._file_rules, [text]):
                    self._put(rule, partial(self.project.go.file, path), path, answers)
        for rule in self._gates.admitted(self._package_rules, texts):
            self._put(rule, partial(_same, package), package.directory or ".", answers)
        self._observe(package, package.directory or ".", answers)

    def _ask_python(self, path: str, answers: Answers) -> None:
        python = self.project.python
        if not python.matters(path):
            return
        try:
            text = self._python_gates.text(python.code(path).data)
            rules = self._python_gates.admitted(self._python_rules, [text])
            file = python.file(path) if rules or self._observer is not None else None
        except UnreadableError as error:
            answers.unreadable.append(Unreadable(path, error.reason))
            return
        if file is not None:
            for rule in rules:
                self._put(rule, partial(_same, file), path, answers)
            self._observe(file, path, answers)

    def _ask_python_project(self, answers: Answers) -> None:
        python = self.project.python
        left = list(self._project_rules)
        for path in python.paths:
            if not left:
                break  # most of a large project need not be read for it
            if python.matters(path):
                text = self._python_gates.text(self.project.source(path).data)
                admitted = self._python_gates.admitted(left, [text])
                left = [rule for rule in left if rule not in admitted]
        for rule in self._project_rules:
            if rule not in left:
                self._put(rule, partial(_same, python), ".", answers)

    def _observe(self, subject: Any, where: str, answers: Answers) -> None:
        if self._observer is None:
            return
        try:
            answers.observed.append(self._observer(subject))
        except Exception as error:
            # As with a rule: what it said about the rest is of use.
            answers.failures.append(Failure("threadmend", where, _words(error)))

    def _texts(self, paths: Sequence[str]) -> list[Text]:
        for path in paths:
            if path not in self._known:
                self._known[path] = self._gates.text(self.project.source(path).data)
        return [self._known[path] for path in paths]

    def _put(self, rule: Rule, subject: Callable[[], Any], where: str, answers: Answers) -> None:
        try:
            found = [finding.stamped(rule) for finding in rule.check(subject())]
            if rule.language == "python":
                from threadmend.python.fstrings import without_guesses
                from threadmend.python.notebook import translated

                found = [f for f in found if not self._is_dead(f)]
                found = [without_guesses(finding, self._python_file) for finding in found]
                found = [translated(finding, self._notebook) for finding in found]
        except Exception as error:
            # A bug of a rule must not cost the answers of the others, whatever it raises.
            answers.failures.append(Failure(rule.name, where, _words(error)))
            return
        for finding in found:
            # Nor may a finding whose places are wrong cost the others of its rule.
            try:
                _verify(finding, self.project)
            except ValueError as error:
                answers.failures.append(Failure(rule.name, where, _words(error)))
            else:
                answers.findings.append(finding)

    def _is_dead(self, finding: Finding) -> bool:
        from threadmend.python.deadcode import is_dead

        python = self.project.python
        return finding.path in python and is_dead(python.file(finding.path), finding.start)

    def _python_file(self, path: str) -> PythonFile | None:
        python = self.project.python
        return python.file(path) if path in python else None

    def _notebook(self, path: str) -> Notebook | None:
        return self.project.python.notebook(path) if path in self.project else None


def _same(subject: object) -> object:
    return subject


def _words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    said = str(error).partition("\n")[0]
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = ""
    if frame is not None:
        place = f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})"
    return f"{type(error).__name__}: {said}{place}" if said else f"{type(error).__name__}{place}"


def _verify(finding: Finding, project: Project) -> None:
    """Raise ValueError for a finding whose offsets cannot be right."""
    spans = [(finding.path, finding.start, finding.end)]
    spans += [(related.path, related.start, related.end) for related in finding.related]
    for path, start, end in spans:
        if path not in project or not 0 <= start <= end <= _size(project, path):
            raise ValueError(f"finding at {path}[{start}:{end}], which is not in the project")
    for fix in finding.fixes:
        for edit in _misplaced(fix, project):
            raise ValueError(f"edit of {edit.path}[{edit.start}:{edit.end}] is misplaced")


def _misplaced(fix: Fix, project: Project) -> Iterator[Edit]:
    previous: Edit | None = None
    for edit in fix.edits:
        size = _size(project, edit.path) if edit.path in project else 0
        if not 0 <= edit.start <= edit.end <= size:
            yield edit
        if previous is not None and previous.path == edit.path and previous.end > edit.start:
            yield edit
        previous = edit


def _size(project: Project, path: str) -> int:
    try:
        return len(project.source(path).data)
    except UnreadableError:
        return 0
