"""`rules` and `explain`: what threadmend knows, as text, JSON and the README's table."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Sequence

from threadmend.cli.errors import BadInputError
from threadmend.examples import Example, example
from threadmend.model import Rule
from threadmend.report.text import Line, Segment
from threadmend.suppress import CATEGORY, DOCS

__all__ = ["explanation", "markdown_table", "named", "own_explanation", "rule_lines"]


def named(rules: Sequence[Rule], name: str) -> Rule:
    """Return the rule called `name`, with or without its language; raises BadInputError."""
    wanted = name.strip().removeprefix("threadmend:").replace("_", "-")
    found = [rule for rule in rules if wanted in {rule.name, rule.name.partition("/")[2]}]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(rule.name for rule in found)
        raise BadInputError(f"{name} is the name of several rules: {choices}")
    names = [word for rule in rules for word in (rule.name, rule.name.partition("/")[2])]
    near = difflib.get_close_matches(wanted, names, 1)
    hint = f"did you mean {near[0]}?" if near else "see threadmend rules"
    raise BadInputError(f"{name} is no rule; {hint}")


def rule_lines(rules: Sequence[Rule]) -> Iterator[Line]:
    """Yield a line for every rule: name, category, title, and whether one has to ask for it."""
    name_width = max((len(rule.name) for rule in rules), default=0)
    category_width = max((len(rule.category) for rule in rules), default=0)
    for rule in rules:
        yield (
            Segment(f"{rule.name:<{name_width}}", "title"),
            Segment(f"  {rule.category:<{category_width}}", "manual"),
            Segment(f"  {rule.title}"),
            Segment(f" ({_asked(rule)})" if _asked(rule) else "", "unsafe"),
        )


def markdown_table(rules: Sequence[Rule]) -> str:
    """Return the rules as the table that the README shows."""
    rows = ["| rule | category | what it does |", "| --- | --- | --- |"]
    for rule in rules:
        asked = f" *({_asked(rule)})*" if _asked(rule) else ""
        title = rule.title.replace("|", "\\|")
        rows.append(f"| `{rule.name}` | {rule.category} | {title}{asked} |")
    return "\n".join(rows) + "\n"


def own_explanation(name: str) -> list[Line] | None:
    """Return what the engine says of a finding of its own, None for any other name."""
    wanted = name.strip()
    for own, doc in DOCS.items():
        if wanted in {own, own.partition("/")[2]}:
            heading = (Segment(own, "title"), Segment(f"  {CATEGORY}", "manual"))
            return [heading, (), *((Segment(line),) for line in doc.rstrip().split("\n"))]
    return None


def explanation(rule: Rule) -> list[Line]:
    """Return a rule's documentation, with the example that its tests begin with."""
    kind = "codemod" if rule.codemod else "rule"
    title, _, rest = rule.doc.strip().partition("\n")
    lines: list[Line] = [
        (Segment(rule.name, "title"), Segment(f"  {rule.category} {kind}", "manual")),
        (),
        (Segment(title.strip(), "title"),),
    ]
    lines += [(Segment(line),) for line in textwrap.dedent(rest).rstrip().split("\n")]
    if _asked(rule):
        lines += [(), (Segment(f"This rule is {_asked(rule)}: --select {rule.name}"),)]
    case = example(rule.name)
    if case is not None:
        lines += [(), *_example_lines(case)]
    return lines


def _example_lines(case: Example) -> Iterator[Line]:
    yield (Segment("Example", "title"), Segment(f": {case.comment}" if case.comment else ""))
    yield ()
    styles = {"+": "diff.added", "-": "diff.removed", "@": "diff.place"}
    for line in case.diff.rstrip("\n").split("\n"):
        shown = line.expandtabs(4).rstrip()
        yield (Segment("    "), Segment(shown, styles.get(line[:1], ""))) if shown else ()


def _asked(rule: Rule) -> str:
    if rule.codemod:
        return "a codemod, runs only when selected"
    return "" if rule.default else "opt-in"
