"""The section about findings, and the commands that fix them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from threadmend.audit.gather import Facts
from threadmend.audit.page import Cell, Code, Command, Section, State, Table, number
from threadmend.inventory import Spot
from threadmend.model import Finding, Safety
from threadmend.report.statistics import Count, counts

__all__ = ["commands", "findings"]


def findings(facts: Facts) -> Section:
    """Return the findings by rule, those of plain runs first."""
    plain, codemods = _split(facts)
    safe, unsafe, manual = (
        sum(f.safety is safety for f in plain)
        for safety in (Safety.SAFE, Safety.UNSAFE, Safety.MANUAL)
    )
    headline = number(len(plain), "finding")
    if plain:
        headline += f": {safe} with a safe fix, {unsafe} with an unsafe one, {manual} by hand"
    applicable = sum(any(f.fixes for f in some) for some in _by_rule(codemods).values())
    headline += f"; {number(applicable, 'codemod')} would apply" if applicable else ""
    columns = ("rule", "findings", "safe", "unsafe", "by hand", "first in")
    tables = (
        Table("rules", "By rule", columns, _rows(facts, plain), 12),
        Table("codemods", "Codemods", columns, _rows(facts, codemods), 12),
    )
    figures = (("findings", len(plain)), ("safe", safe), ("unsafe", unsafe), ("by_hand", manual))
    shown = tuple(table for table in tables if table.rows)
    state = State.GAP if plain else State.GOOD
    return Section("findings", "Findings", state, headline, figures, (), shown)


def _split(facts: Facts) -> tuple[list[Finding], list[Finding]]:
    """Return the findings of plain runs, and those of codemods, which run by name."""
    names = {rule.name for rule in facts.options.known if rule.codemod}
    plain = [f for f in facts.report.findings if f.rule not in names]
    return plain, [f for f in facts.report.findings if f.rule in names]


def _by_rule(found: Iterable[Finding]) -> dict[str, list[Finding]]:
    by_rule: dict[str, list[Finding]] = {}
    for finding in found:
        by_rule.setdefault(finding.rule, []).append(finding)
    return by_rule


def _rows(facts: Facts, found: Sequence[Finding]) -> tuple[tuple[Cell, ...], ...]:
    first = {rule: some[0] for rule, some in _by_rule(found).items()}
    return tuple(_row(facts, item, first[item.rule]) for item in counts(found))


def _row(facts: Facts, item: Count, first: Finding) -> tuple[Cell, ...]:
    line = facts.project.source(first.path).line_of(first.start)
    spot = Spot(first.path, line)
    return (Code(item.rule), item.total, item.safe, item.unsafe, item.manual, spot)


def commands(facts: Facts, arguments: Sequence[str], selection: str = "") -> tuple[Command, ...]:
    """Return the commands that fix something; `arguments` are options and paths of this run."""
    plain, codemods = _split(facts)
    chosen = _without_codemods(facts) if selection else ""
    usual = (*(["--select", chosen] if chosen else []), *arguments)
    safe = sum(f.safety is Safety.SAFE for f in plain)
    fixable = sum(bool(f.fixes) for f in plain)
    found: list[Command] = []
    if safe:
        does = f"write the safe fixes ({safe})"
        found.append(_command(does, "fix", "--write", *usual))
    if fixable > safe:
        does = f"print the diff of all fixes, unsafe ones too ({fixable})"
        found.append(_command(does, "fix", "--unsafe-fixes", *usual))
    if fixable < len(plain):
        does = f"show the findings, those to fix by hand too ({len(plain)})"
        found.append(_command(does, "check", *usual))
    titles = {rule.name: rule.title for rule in facts.options.known}
    for rule, some in sorted(_by_rule(codemods).items()):
        mended = [f for f in some if f.fixes]
        if mended:
            unsafe = any(f.safety is Safety.UNSAFE for f in mended)
            options = ("--select", rule, *(["--unsafe-fixes"] if unsafe else []))
            does = f"{titles[rule][:1].lower()}{titles[rule][1:]} ({len(mended)})"
            found.append(_command(does, "fix", *options, *arguments))
    return tuple(found)


def _without_codemods(facts: Facts) -> str:
    """Return the plain rules that were chosen, for a command that is to run them alone."""
    return ",".join(rule.name for rule in facts.options.rules if not rule.codemod)


def _command(does: str, *words: str) -> Command:
    return Command(shlex.join(("threadmend", *words)), does)
