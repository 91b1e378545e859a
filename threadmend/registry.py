"""The registry: a module becomes a Rule; finds ours and other people's (entry points).

A rule's name is its module's path (`fixers/go/lock_not_released.py` is
`go/lock-not-released`), its doc the docstring, its subject the type of `check`'s parameter.
Modules whose names begin with `_` are helpers of rules.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import ModuleType

from threadmend.config import Config, ConfigError
from threadmend.model import Finding, Rule, Subject
from threadmend.rulefile import described

__all__ = ["ALL", "enabled", "load_rules", "rule_of", "rules_for", "select"]

ALL = "ALL"
"""Selects opt-in rules and codemods too."""

_PACKAGES = ("threadmend.fixers", "threadmend.codemods")
_GROUP = "threadmend.rules"
_SUBJECTS = {str(subject): subject for subject in Subject}


@lru_cache(maxsize=1)
def load_rules() -> tuple[Rule, ...]:
    """Return every rule that is installed, sorted by name; imports as few as possible."""
    rules: dict[str, Rule] = {}
    for package in (*_PACKAGES, *_entry_points()):
        codemod = package.endswith(".codemods")
        for module, file, name in _modules(package):
            rule = described(_text(file), module, name, codemod=codemod)
            if rule is None:
                rule = _imported(module, name, codemod)
            if rule.name in rules:
                raise ConfigError(f"two rules are called {rule.name}; one of them is {module}")
            rules[rule.name] = rule
    return tuple(rules[name] for name in sorted(rules))


def _imported(module: str, name: str, codemod: bool) -> Rule:
    try:
        found = importlib.import_module(module)
    except Exception as error:
        # One broken rule must not keep the others from running: it fails when it is asked.
        return _broken(name, error)
    return rule_of(found, name, codemod=codemod)


def _broken(name: str, error: Exception) -> Rule:
    said = f"{type(error).__name__}: {error}"

    def check(subject: object) -> list[Finding]:
        raise ImportError(said)

    doc = f"(cannot be imported: {said})"
    subject = Subject.PYTHON_FILE if name.startswith("python/") else Subject.GO_FILE
    return Rule(name, doc, check, subject, "broken")


def _text(file: str | None) -> str:
    try:
        with open(file or "", encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ""


def rule_of(module: ModuleType, name: str, *, codemod: bool = False) -> Rule:
    """Return the rule that a module is; raises ConfigError saying what it lacks."""
    where = module.__name__
    doc = (module.__doc__ or "").strip()
    if not doc:
        raise ConfigError(f"{where}: a rule needs a docstring: a title, then why it matters")
    check: Callable[..., object] | None = getattr(module, "check", None)
    if check is None:
        raise ConfigError(f"{where}: a rule needs a function check(file: GoFile)")
    category = getattr(module, "CATEGORY", "")
    if not category:
        raise ConfigError(f"{where}: a rule needs a CATEGORY")
    gate = getattr(module, "GATE", None)
    return Rule(
        name=name,
        doc=doc,
        check=check,  # type: ignore[arg-type]  # what it is given and yields is said by its subject
        subject=_subject(check, where),
        category=category,
        gate=None if gate is None else re.compile(gate),
        default=not getattr(module, "OPT_IN", False),
        also=frozenset(getattr(module, "ALSO", "").split()),
        codemod=codemod,
    )


def _subject(check: Callable[..., object], where: str) -> Subject:
    for name, annotation in getattr(check, "__annotations__", {}).items():
        if name != "return":
            said = annotation if isinstance(annotation, str) else annotation.__name__
            subject = _SUBJECTS.get(said.strip("'\"").rpartition(".")[2])
            if subject is not None:
                return subject
            raise ConfigError(
                f"{where}: check takes {said}; a rule takes one of {', '.join(_SUBJECTS)}"
            )
    raise ConfigError(f"{where}: the parameter of check needs a type, such as GoFile")


def _modules(package: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield (module, its file, rule name) for the rules of a package, in order."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ConfigError(f"{package}: no such package of rules")
    if spec.submodule_search_locations is None:
        # An entry point may name a single module: `threadmend_acme.go.no_sleep`.
        yield package, spec.origin, "/".join(package.split(".")[-2:]).replace("_", "-")
        return
    for folder in spec.submodule_search_locations:
        for file in sorted(_rule_files(folder)):
            path = os.path.relpath(file, folder).removesuffix(".py").split(os.sep)
            yield ".".join((package, *path)), file, "/".join(path).replace("_", "-")


def _rule_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(("_", ".")):
                continue
            if entry.is_dir():
                yield from _rule_files(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path


def _entry_points() -> list[str]:
    # importlib.metadata costs 40 ms, and hardly anybody has rules of their own: look first
    # whether any installed distribution mentions the group.
    if not any(_mentions_group(folder) for folder in sys.path):
        return []
    from importlib.metadata import entry_points

    return sorted({point.value for point in entry_points(group=_GROUP)})


def _mentions_group(folder: str) -> bool:
    try:
        with os.scandir(folder or ".") as entries:
            found = [e.path for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for path in found:
        try:
            with open(f"{path}/entry_points.txt", "rb") as file:
                if _GROUP.encode() in file.read():
                    return True
        except OSError:
            continue
    return False


# -- selecting ----------------------------------------------------------------------------


def select(
    rules: Sequence[Rule], select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> tuple[Rule, ...]:
    """Return the rules that `select` names and `ignore` does not, in the order given.

    A name is a rule (`go/x`, or `x` where it is unique), a category, a language or `ALL`.
    Nothing selected means every rule but opt-in ones and codemods. A category or a language
    leaves out codemods and opt-in rules as well; only their names and `ALL` bring them.
    Raises ConfigError for a name that means nothing.
    """
    chosen = {rule.name for rule in rules if _plain(rule)} if not select else set[str]()
    for name in select:
        chosen |= _named(rules, name, opted=False)
    for name in ignore:
        chosen -= _named(rules, name, opted=True)
    return tuple(rule for rule in rules if rule.name in chosen)


def _plain(rule: Rule) -> bool:
    return rule.default and not rule.codemod


def _named(rules: Sequence[Rule], name: str, *, opted: bool) -> set[str]:
    if name == ALL:
        return {rule.name for rule in rules}
    exact = {rule.name for rule in rules if name in {rule.name, rule.name.partition("/")[2]}}
    if len(exact) == 1:
        return exact
    if exact:
        raise ConfigError(f"{name} is ambiguous: {', '.join(sorted(exact))}")
    group = [rule for rule in rules if name in {rule.category, rule.language}]
    if group:
        return {rule.name for rule in group if opted or _plain(rule)}
    import difflib

    words = {ALL} | {word for r in rules for word in (r.name, r.category, r.language)}
    words |= {rule.name.partition("/")[2] for rule in rules}
    near = difflib.get_close_matches(name, sorted(words), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{name} is no rule, category or language{hint}")


def rules_for(config: Config, rules: Sequence[Rule] | None = None) -> tuple[Rule, ...]:
    """Return the rules that a configuration asks for in at least one folder."""
    known = load_rules() if rules is None else rules
    names = {rule.name for rule in select(known, config.select, config.ignore)}
    for override in config.overrides:
        for name in override.select:
            names |= _named(known, name, opted=False)
        for name in override.ignore:
            _named(known, name, opted=True)
    return tuple(rule for rule in known if rule.name in names)


def enabled(config: Config, rules: Sequence[Rule]) -> Callable[[str, str], bool] | None:
    """Return whether a rule (by name) is on for a path; None when every folder has the same."""
    if not config.overrides:
        return None
    # A name that means none of these rules was checked by rules_for, and turns nothing off.
    base = {rule.name for rule in rules if _in_base(rules, rule, config)}
    cache: dict[tuple[int, ...], frozenset[str]] = {}

    def names(path: str) -> frozenset[str]:
        overriding = config.overriding(path)
        key = tuple(id(override) for override in overriding)
        if key not in cache:
            on = set(base)
            for override in overriding:
                on |= _known(rules, override.select)
                on -= _known(rules, override.ignore)
            cache[key] = frozenset(on)
        return cache[key]

    return lambda rule, path: rule in names(path)


def _in_base(rules: Sequence[Rule], rule: Rule, config: Config) -> bool:
    if rule.name in _known(rules, config.ignore):
        return False
    if config.select:
        return rule.name in _known(rules, config.select)
    extra = {name for override in config.overrides for name in _known(rules, override.select)}
    return _plain(rule) or rule.name not in extra


def _known(rules: Sequence[Rule], names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        try:
            found |= _named(rules, name, opted=True)
        except ConfigError:
            continue
    return found
