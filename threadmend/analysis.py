"""analyse(): what the rules say about a project and nothing excuses, from several processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from threadmend import parallel
from threadmend.baseline import Baseline
from threadmend.gather import Answers, Asker, Unit
from threadmend.model import Confidence, Failure, Finding, Order, Rule, Subject, Unreadable
from threadmend.project import Project
from threadmend.registry import enabled, load_rules
from threadmend.suppress import excuse

__all__ = [
    "Options",
    "Progress",
    "Survey",
    "Veto",
    "analyse",
    "analysed",
    "recipes",
    "reported",
    "survey",
]

Progress = Callable[[int, int], None]
"""Told how much is done, of how much."""

Veto = tuple[Order, str]
"""A finding's `order`, in the text before any fix, and the title of a fix; "" is every fix."""

_SOURCES = (".go", ".py", ".ipynb")

_WORTH_FORKING = 400_000
"""Bytes of source from which several processes are faster than one (measured: 0.1 s)."""

_HELD = 8_000_000
"""Bytes of source that one process works on before another one takes over. Syntax and facts
take 80 times as much (measured), and nothing frees them as fast as the end of a process."""

_PYTHON = 4
"""How much more of Python one process works on: only files that speak of concurrency are taken
apart, and facts about the whole project, which every process finds anew, take most of it."""

_RANK = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


@dataclass(frozen=True)
class Options:
    """What a run is asked for."""

    rules: tuple[Rule, ...]
    targets: Collection[str] | None = None
    """Files and folders to report about; None is the whole project."""
    unsafe: bool = False
    jobs: int | None = None
    """Processes; None is one per processor."""
    cache: bool = False
    since: Mapping[str, Sequence[range]] | None = None
    """Lines (from 1) by path; only findings that touch them are reported."""
    baseline: Baseline | None = None
    confidence: Confidence = Confidence.LOW
    vetoes: Mapping[Veto, str] = field(default_factory=dict)
    """Fixes that may not be made, and why."""
    connected: Callable[[Finding, Project], bool] | None = None
    """Says which findings are of interest; the others are judged by, and never reported."""
    observe: Callable[[Any], Any] | None = None
    """Asked about every package, module and Python file as the rules are; see gather."""
    catalogue: tuple[Rule, ...] | None = None
    """Every rule there is: names that ignore comments may use, and judges of composed
    fixes. None asks the registry."""

    @property
    def known(self) -> tuple[Rule, ...]:
        """Return every rule there is."""
        return load_rules() if self.catalogue is None else self.catalogue

    def wants(self, path: str) -> bool:
        """Return whether a file is among the targets."""
        if self.targets is None:
            return True
        return any(
            target in {"", "."} or path == target or path.startswith(target.rstrip("/") + "/")
            for target in self.targets
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole project's files are like: those that were looked at, those that cannot be."""

    checked: int
    unreadable: tuple[Unreadable, ...]


def survey(project: Project, options: Options) -> Survey:
    """Return how many of the targets are looked at, and which cannot be."""
    ordinary = [p for p in project.paths if p.endswith(_SOURCES) and options.wants(p)]
    ordinary += filter(options.wants, recipes(project, options.rules))
    checked = sum(project.excuse(path) is None for path in ordinary)
    return Survey(checked, _unreadable(project, options))


def recipes(project: Project, rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the files around the code, none when no rule looks at them."""
    return project.recipes if any(r.subject is Subject.PROJECT for r in rules) else ()


def _unreadable(project: Project, options: Options) -> tuple[Unreadable, ...]:
    """Return the files among the targets that could not be taken."""
    return tuple(
        found
        for found in project.unreadable
        if options.wants(found.path) and project.excuse(found.path) == found.reason
    )


def analyse(
    project: Project,
    options: Options,
    *,
    rules: Sequence[Rule] | None = None,
    directories: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Answers:
    """Return what the rules say and no comment, folder or setting excuses, sorted.

    `directories` limits the packages that are asked; findings are those of the targets.
    """
    rules = options.rules if rules is None else rules
    asker = Asker(project, rules, options.wants, options.observe)
    answers = _ask(asker, asker.units(directories), options.jobs, progress)
    is_on = enabled(project.config, rules) or _everywhere
    findings = {f for f in answers.findings if is_on(f.rule, f.path)}
    paths = [
        path
        for path in (*project.paths, *recipes(project, rules))
        if (directories is None or path.rpartition("/")[0] in directories) and asker.reports(path)
    ]
    failed = {failure.rule for failure in answers.failures}
    names = [rule.name for rule in rules if rule.name not in failed]

    def answered(path: str) -> list[str]:
        return [name for name in names if is_on(name, path)]

    kept = excuse(findings, project, paths, answered, options.known)
    unreadable = sorted(set(answers.unreadable), key=lambda one: one.path)
    failures = _grouped(answers.failures)
    ordered = sorted(kept, key=lambda f: f.order)
    return Answers(ordered, failures, unreadable, answers.observed)


def analysed(
    project: Project, options: Options, progress: Progress | None = None
) -> tuple[Answers, Survey]:
    """Return what analyse() and survey() say; the survey names all that cannot be read."""
    answers, about = analyse(project, options, progress=progress), survey(project, options)
    unreadable = sorted({*about.unreadable, *answers.unreadable}, key=lambda one: one.path)
    return answers, replace(about, unreadable=tuple(unreadable))


def _grouped(failures: Iterable[Failure]) -> list[Failure]:
    """Return the failures sorted, those with the same rule and reason as one."""
    places: dict[tuple[str, str], set[str]] = {}
    for failure in failures:
        places.setdefault((failure.rule, failure.reason), set()).add(failure.path)
    found = []
    for (rule, reason), paths in places.items():
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        found.append(Failure(rule, min(paths), reason + more))
    return sorted(found)


def _everywhere(rule: str, path: str) -> bool:
    return True


def reported(findings: Sequence[Finding], project: Project, options: Options) -> list[Finding]:
    """Return the findings that the options ask for: lines, baseline, confidence."""
    limit = _RANK[options.confidence]
    found = [finding for finding in findings if _RANK[finding.confidence] <= limit]
    if options.since is not None:
        found = [finding for finding in found if _touches(finding, project, options.since)]
    if options.connected is not None:
        found = [finding for finding in found if options.connected(finding, project)]
    if options.baseline is not None:
        found = options.baseline.new(found, project)
    return found


def _touches(finding: Finding, project: Project, since: Mapping[str, Sequence[range]]) -> bool:
    source = project.source(finding.path)
    first, last = source.line_of(finding.start), source.line_of(finding.end)
    return any(lines.start <= last and first < lines.stop for lines in since.get(finding.path, ()))


# -- in one process or several ----------------------------------------------------------------


def _ask(
    asker: Asker, units: Sequence[Unit], jobs: int | None, progress: Progress | None
) -> Answers:
    answers = Answers()
    wanted = parallel.cpus() if jobs is None else jobs
    whole = (Subject.GO_MODULE, Subject.PYTHON_PROJECT, Subject.PROJECT)
    modules = [unit for unit in units if unit.subject in whole]
    packages = [unit for unit in units if unit.subject not in whole]
    total = sum(unit.weight for unit in packages)
    python = sum(unit.weight for unit in packages if unit.subject is Subject.PYTHON_FILE)
    held = total - python + python // _PYTHON
    waves = held // (_HELD * wanted) + 1
    worth = waves > 1 or (wanted > 1 and total >= _WORTH_FORKING)
    if worth and len(units) > 1 and parallel.available():
        asker.load()
        in_wave = wanted * 6 if wanted > 1 else 1
        size = total // (waves * in_wave) + 1
        # Modules first: a large one takes longest, since it reads all of its packages.
        groups = _groups(modules, size) + _groups(packages, size)
        told = None if progress is None else _telling(progress, len(groups))
        ask = partial(_ask_all, asker)
        for group, result in zip(
            groups, parallel.map_forked(ask, groups, wanted, told, in_wave), strict=True
        ):
            answers.add(
                _ask_lost(asker, group, result) if isinstance(result, parallel.Lost) else result
            )
        return answers
    for number, unit in enumerate(units, 1):
        answers.add(asker.ask(unit))
        if progress is not None:
            progress(number, len(units))
    return answers


def _telling(progress: Progress, total: int) -> Callable[[int], None]:
    return lambda done: progress(done, total)


def _ask_all(asker: Asker, units: Sequence[Unit]) -> Answers:
    answers = Answers()
    for unit in units:
        answers.add(asker.ask(unit))
    return answers


def _ask_lost(asker: Asker, units: Sequence[Unit], lost: parallel.Lost) -> Answers:
    """Ask about each unit in a process of its own: one of them ends its process."""
    answers = Answers()
    results = parallel.map_forked(asker.ask, units, 1) if len(units) > 1 else [lost]
    for unit, result in zip(units, results, strict=True):
        if isinstance(result, parallel.Lost):
            answers.failures.append(Failure("threadmend", asker.where(unit), str(result)))
        else:
            answers.add(result)
    return answers


def _groups(units: Sequence[Unit], size: int) -> list[list[Unit]]:
    """Cut the work into runs of neighbours, which mostly import the same packages."""
    groups: list[list[Unit]] = []
    weight = size
    for unit in units:
        if weight >= size:
            groups.append([])
            weight = 0
        groups[-1].append(unit)
        weight += unit.weight
    return groups
