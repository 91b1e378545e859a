"""steps(): a Patch as one change per rule, each with the words that a commit of it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from threadmend.model import Patch, Rule

__all__ = ["Step", "steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule changed, on top of the steps before; both sides have the same paths."""

    title: str
    body: str
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes | None]

    @property
    def message(self) -> str:
        """Return title and body as a commit has them."""
        return f"{self.title}\n\n{self.body}\n" if self.body else f"{self.title}\n"


def steps(patch: Patch, rules: Iterable[Rule]) -> Iterator[Step]:
    """Yield the rules' changes in the order in which they were applied.

    Whatever `by_rule` does not account for comes last, so that the steps add up to the patch.
    """
    by_name = {rule.name: rule for rule in rules}
    state = dict(patch.before)
    for name, files in patch.by_rule.items():
        changed = {path: data for path, data in files.items() if state.get(path) != data}
        if changed:
            title, body = _words(name, by_name.get(name))
            body = "\n\n".join(filter(None, (body, _evidence(patch, changed))))
            yield Step(title, body, {path: state.get(path) for path in changed}, changed)
            state.update(changed)
    left = {path: data for path, data in patch.after.items() if state.get(path) != data}
    if left:
        before = {path: state.get(path) for path in left}
        yield Step("threadmend: Apply fixes", _evidence(patch, left), before, left)


def _evidence(patch: Patch, paths: Iterable[str]) -> str:
    said = dict.fromkeys(patch.evidence[path] for path in paths if path in patch.evidence)
    return "\n".join(["Evidence:", "", *(f"- {line}" for line in said)]) if said else ""


def _words(name: str, rule: Rule | None) -> tuple[str, str]:
    if rule is None:
        return f"{name}: Apply fixes", ""
    _, _, body = rule.doc.strip().partition("\n")
    return f"{name}: {rule.title}", body.strip("\n").rstrip()
