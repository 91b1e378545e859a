"""What the shell offers after `--select` and `explain`."""

from __future__ import annotations

__all__ = ["complete_rule", "complete_selector"]


def complete_rule(incomplete: str) -> list[tuple[str, str]]:
    """Return the rules whose name starts with what was typed, with their titles."""
    from threadmend.registry import load_rules

    return [(rule.name, rule.title) for rule in load_rules() if rule.name.startswith(incomplete)]


def complete_selector(incomplete: str) -> list[tuple[str, str]]:
    """Return rules, categories and languages; only the last name of a comma list is typed."""
    from threadmend.registry import load_rules

    done, comma, typed = incomplete.rpartition(",")
    known = load_rules()
    names = {rule.name: rule.title for rule in known}
    names.update((rule.category, "a category") for rule in known)
    names.update((rule.language, "a language") for rule in known)
    names["ALL"] = "every rule, opt-in ones too"
    return [
        (done + comma + name, words)
        for name, words in sorted(names.items())
        if name.startswith(typed)
    ]
