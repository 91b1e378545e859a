"""Sections about safety nets: the race detector, leak checks, linters, Go versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from threadmend.audit.gather import Facts
from threadmend.audit.page import Cell, Code, Section, State, Table, named, number
from threadmend.inventory import Spot
from threadmend.recipes.linters import ANALYZERS, WANTED, commented, is_on, is_second, is_settings
from threadmend.recipes.linters import values as listed
from threadmend.recipes.testruns import RACE, Run, races, runs
from threadmend.recipes.yamltree import parse
from threadmend.source import SourceFile

__all__ = ["leaks", "linters", "race", "versions"]

_LONGEST = 72
_MENTION = re.compile(rb"^[^#\n]*?(?<![\w-])--?race\b", re.M)


def race(facts: Facts) -> Section:
    """Return which commands that run tests use the race detector."""
    files = facts.project.files
    sources = list(files.texts(facts.wants))
    found = [run for source in sources for run in runs(source)]
    lacking = {(f.path, f.start) for f in facts.report.findings if f.rule == "go/race-flag"}
    asked = any(rule.name == "go/race-flag" for rule in facts.options.rules)
    rows: list[tuple[Cell, ...]] = []
    counts = dict.fromkeys(_WORDS, 0)
    for run in found:
        kind = "no" if (run.path, run.start) in lacking or not asked else "left"
        kind = "yes" if RACE.search(run.text) else "variable" if races(run, files) else kind
        counts[kind] += 1
        rows.append((_WORDS[kind], Code(_short(run.text)), _at(run)))
    rows.sort(key=lambda row: (_ORDER.index(str(row[0])), row[2]))
    others = list(_mentions(sources, found))
    with_, without = counts["yes"] + counts["variable"], counts["no"]
    headline = f"commands that run tests: {len(found)}, {with_} with -race"
    headline += f", {without} {'that could have it' if asked else 'without'}" if without else ""
    headline += f", {counts['left']} left alone" if counts["left"] else ""
    if not found:
        headline = "no command that runs go test was found in makefiles, workflows or scripts"
    if others and not with_:
        headline += f"; -race is mentioned in {number(len(others), 'other place')}"
    state = State.GAP if without or not found else State.GOOD
    if found and not with_ and not without:
        state = State.INFO
    tables = (
        Table("commands", "Commands that run tests", ("race", "command", "where"), tuple(rows)),
        Table("mentions", "Other mentions of -race", ("text", "where"), tuple(others), 3),
    )
    notes = (
        "Left alone: benchmarks, fuzzing, profiles, no cgo, no race detector there, or a sibling "
        "command has it. Commands that a script puts together or sends elsewhere are not seen.",
    )
    figures = (("commands", len(found)), ("with_race", with_), ("could_race", without))
    return Section(
        "race", "Race detector", state, headline, figures, notes if rows else (), _full(tables)
    )


_WORDS = {"no": "no", "yes": "yes", "variable": "by a variable", "left": "left alone"}
_ORDER = tuple(_WORDS.values())


def _full(tables: tuple[Table, ...]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


def _short(text: str) -> str:
    text = " ".join(text.replace("\\\n", " ").split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _at(run: Run) -> Spot:
    return Spot(run.path, run.script.source.line_of(run.start))


def _mentions(sources: list[SourceFile], found: list[Run]) -> Iterator[tuple[Cell, ...]]:
    """Yield lines with -race that belong to no command that was read."""
    covered = {
        (run.path, line)
        for run in found
        for line in range(
            run.script.source.line_of(run.test.command.start),
            run.script.source.line_of(run.test.command.end) + 1,
        )
    }
    for source in sources:
        for match in _MENTION.finditer(source.data):
            line = source.line_of(match.end() - 1)
            if (source.path, line) not in covered:
                text = source.line_text(line).decode("utf-8", "replace")
                yield Code(_short(text)), Spot(source.path, line)


def leaks(facts: Facts) -> Section:
    """Return which packages look for the goroutines that their tests leave."""
    tested = sorted(facts.inventory.tested, key=lambda one: one.directory)
    rows = [(Code(one.directory or "."), one.spot) for one in tested if not one.checked]
    with_ = len(tested) - len(rows)
    headline = f"packages whose tests start goroutines: {len(tested)}, "
    headline += f"{with_} with a leak check, {len(rows)} without"
    if not tested:
        headline = "no tests of packages that start goroutines"
    columns = ("package", "starts goroutines")
    table = Table("unchecked", "Packages that do not look", columns, tuple(rows), 6)
    figures = (("packages", len(tested)), ("checked", with_))
    state = State.GAP if rows else State.GOOD if tested else State.INFO
    return Section("leaks", "Leak checks", state, headline, figures, (), _full((table,)))


def linters(facts: Facts) -> Section:
    """Return which linters of golangci-lint that see misuses of concurrency are on."""
    rows: list[tuple[Cell, ...]] = []
    gaps = 0
    for source in facts.project.files.texts(lambda p: is_settings(p) and facts.wants(p)):
        tree = parse(source.data)
        if tree is None or tree.kind != "map":
            continue
        enabled = listed(tree, "linters", "enable")
        decided = {*listed(tree, "linters", "disable"), *commented(source)}
        certain = {n for n in WANTED if is_on(tree, n)} - set(_LATER if not is_second(tree) else ())
        on = sorted((certain | (set(WANTED) & set(enabled))) - decided)
        off = sorted(set(WANTED) - set(on) - decided - set(_LATER if not is_second(tree) else ()))
        gaps += len(off)
        key = tree.key("linters")
        spot = Spot(source.path, source.line_of(key.start) if key is not None else 1)
        out = sorted(decided & {*WANTED, *ANALYZERS})
        rows.append((spot, named(on, 9), named(off, 9), named(out, 9)))
    headline = "no settings of golangci-lint (.golangci.yml)"
    if rows:
        headline = f"{number(gaps, 'linter')} for concurrency off"
        headline = headline if gaps else "the linters for concurrency are on, or were decided about"
    columns = ("settings", "on", "off", "decided against")
    table = Table("settings", "golangci-lint", columns, tuple(rows))
    state = State.GAP if gaps else State.GOOD if rows else State.INFO
    figures = (("settings", len(rows)), ("off", gaps))
    return Section("linters", "Linters", state, headline, figures, (), _full((table,)))


_LATER = ("fatcontext",)
"""Not known to every release of golangci-lint 1."""

_GO = re.compile(rb"^go[ \t]+1\.\d+", re.M)


def versions(facts: Facts) -> Section:
    """Return what the Go versions of the modules mean for loop variables and timers."""
    rows: list[tuple[Cell, ...]] = []
    old = 0
    for module in facts.project.go.modules:
        path = f"{module.directory}/go.mod".lstrip("/")
        if not any(p.file_paths for p in module.packages) or not facts.options.wants(path):
            continue
        data = facts.project.source(path)
        line = _GO.search(data.data)
        spot = Spot(path, data.line_of(line.start()) if line is not None else 1)
        major, minor = module.go_version
        loops = "one per iteration" if (major, minor) >= (1, 22) else "one for all iterations"
        timers = "collected when unused" if (major, minor) >= (1, 23) else "kept until they fire"
        old += (major, minor) < (1, 22)
        said = f"{major}.{minor}" if line is not None else "1.16 (none said)"
        rows.append((Code(module.path), said, loops, timers, spot))
    captures, timers_left = facts.count("loop-variable-capture"), facts.count("time-after-in-loop")
    headline = f"{number(len(rows), 'module')}, {old} with loop variables shared by iterations"
    if not rows:
        headline = "no go.mod"
    columns = ("module", "go", "loop variables", "timers of time.After", "where")
    counted = [number(captures, "captured loop variable")] if captures else []
    counted += [f"time.After in a loop {timers_left} times"] if timers_left else []
    notes = (f"Findings: {', '.join(counted)}.",) if counted else ()
    table = Table("modules", "Modules", columns, tuple(rows), 4)
    state = State.GAP if old and captures else State.INFO
    figures = (("modules", len(rows)), ("shared_loop_variables", old))
    name, title = "versions", "Go version"
    return Section(name, title, state, headline, figures, notes, _full((table,)))
