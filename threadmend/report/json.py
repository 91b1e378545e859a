"""Findings and outcomes as JSON: the contract of `docs/json.md`, version 1.

Lines and columns count from 1 (columns in bytes), offsets are bytes from 0. Bytes that are
not UTF-8 appear as lone surrogates U+DC80 to U+DCFF, Python's `surrogateescape`, so that
nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from threadmend.model import Edit, Finding, Outcome, Patch, Rule, Unreadable
from threadmend.report.statistics import Count
from threadmend.report.text import Sources

__all__ = ["VERSION", "check", "dumps", "fix", "operations", "rules", "statistics"]

VERSION = 1

Value = dict[str, Any]


def dumps(value: Value) -> str:
    """Return the document as text; ASCII only, so that no pipe's encoding matters."""
    return json.dumps(value, indent=2) + "\n"


def check(findings: Iterable[Finding], unreadable: Iterable[Unreadable], sources: Sources) -> Value:
    """Return the document of `check --output-format json`."""
    return {
        "version": VERSION,
        "findings": [_finding(finding, sources) for finding in findings],
        "unreadable": [{"path": item.path, "reason": item.reason} for item in unreadable],
    }


def fix(patch: Patch, diff: bytes, sources: Sources) -> Value:
    """Return the document of `fix --output-format json`; `diff` is the patch as printed."""
    return {
        "version": VERSION,
        "outcomes": [_outcome(outcome, sources) for outcome in patch.outcomes],
        "patch": diff.decode("utf-8", "surrogateescape"),
        "unreadable": [{"path": item.path, "reason": item.reason} for item in patch.unreadable],
    }


def statistics(counts: Sequence[Count]) -> Value:
    """Return the document of `check --statistics --output-format json`."""
    return {
        "version": VERSION,
        "statistics": [
            {
                "rule": item.rule,
                "count": item.total,
                "files": item.files,
                "safe": item.safe,
                "unsafe": item.unsafe,
                "manual": item.manual,
            }
            for item in counts
        ],
    }


def rules(known: Iterable[Rule]) -> Value:
    """Return the document of `rules --output-format json`."""
    return {
        "version": VERSION,
        "rules": [
            {
                "name": rule.name,
                "title": rule.title,
                "language": rule.language,
                "category": rule.category,
                "subject": rule.subject.value,
                "default": rule.default,
                "codemod": rule.codemod,
                "doc": rule.doc,
            }
            for rule in known
        ],
    }


def operations(found: Iterable[Any], unreadable: Iterable[Unreadable]) -> Value:
    """Return the document of `map --output-format json`."""
    return {
        "version": VERSION,
        "operations": [
            {
                "path": item.path,
                "line": item.line,
                "column": item.column,
                "operation": item.operation,
                "type": item.type,
                "class": item.class_,
                "instance": item.instance,
                "guards": list(item.guards),
            }
            for item in found
        ],
        "unreadable": [{"path": item.path, "reason": item.reason} for item in unreadable],
    }


def _outcome(outcome: Outcome, sources: Sources) -> Value:
    return {
        **_finding(outcome.finding, sources),
        "outcome": outcome.kind.value,
        "reason": outcome.reason,
        "proof": _proof(outcome),
    }


def _proof(outcome: Outcome) -> Value | None:
    if outcome.proof is None:
        return None
    result = "proved" if outcome.proof.proved else "unproved"
    return {"result": result, "detail": outcome.proof.detail}


def _finding(finding: Finding, sources: Sources) -> Value:
    return {
        "rule": finding.rule,
        "path": finding.path,
        "start": _position(finding.path, finding.start, sources),
        "end": _position(finding.path, finding.end, sources),
        "message": finding.message,
        "category": finding.category,
        "related": [
            {
                "path": place.path,
                "start": _position(place.path, place.start, sources),
                "end": _position(place.path, place.end, sources),
                "message": place.message,
            }
            for place in finding.related
        ],
        "fixes": [
            {
                "title": choice.title,
                "safety": choice.safety.value,
                "edits": [_edit(edit, sources) for edit in choice.edits],
            }
            for choice in finding.fixes
        ],
    }


def _edit(edit: Edit, sources: Sources) -> Value:
    return {
        "path": edit.path,
        "start": _position(edit.path, edit.start, sources),
        "end": _position(edit.path, edit.end, sources),
        "new": edit.new.decode("utf-8", "surrogateescape"),
    }


def _position(path: str, offset: int, sources: Sources) -> Value:
    """Return a place; a file that does not exist yet has only its beginning."""
    source = sources(path)
    if source is None:
        return {"line": 1, "column": 1, "offset": offset}
    position = source.position(min(offset, len(source.data)))
    return {"line": position.line, "column": position.column, "offset": offset}
