"""What other tools report as JSON: go vet, staticcheck, golangci-lint, SARIF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from threadmend.prove.symptom import Frame, Kind, Stack, Symptom

__all__ = ["read_tool"]

_POSITION = re.compile(r"^(?P<file>.*?):(?P<line>\d+)(?::(?P<column>\d+))?$")


def read_tool(value: Any) -> Iterator[Symptom]:
    """Yield the findings of a JSON document of one of the tools; none of any other."""
    if not isinstance(value, dict):
        return
    if isinstance(value.get("runs"), list):
        yield from _sarif(value)
    elif isinstance(value.get("Issues"), list):
        yield from _golangci(value["Issues"])
    elif "code" in value and isinstance(value.get("location"), dict):
        yield from _staticcheck(value)
    else:
        yield from _vet(value)


def _finding(
    tool: str, rule: str, message: str, file: object, line: object, column: object = 0
) -> Iterator[Symptom]:
    if isinstance(file, str) and file and isinstance(line, int) and line > 0:
        where = Frame("", file, line, column if isinstance(column, int) else 0)
        said = f"{rule}: {message}" if rule else message
        yield Symptom(Kind.FINDING, said[:300], (Stack("finding", (where,)),), tool)


def _vet(value: Mapping[str, Any]) -> Iterator[Symptom]:
    """Read `{package: {analyzer: [{posn, message}]}}`."""
    for analyzers in value.values():
        if not isinstance(analyzers, dict):
            continue
        for name, found in analyzers.items():
            for item in found if isinstance(found, list) else ():
                place = _POSITION.match(str(item.get("posn", ""))) if _is_map(item) else None
                if place is not None:
                    column = int(place["column"] or 0)
                    said = str(item.get("message", ""))
                    line = int(place["line"])
                    yield from _finding("go vet", name, said, place["file"], line, column)


def _staticcheck(value: Mapping[str, Any]) -> Iterator[Symptom]:
    at = value["location"]
    code, said = str(value.get("code", "")), str(value.get("message", ""))
    yield from _finding("staticcheck", code, said, at.get("file"), at.get("line"), at.get("column"))


def _golangci(issues: list[Any]) -> Iterator[Symptom]:
    for issue in issues:
        at = issue.get("Pos") if _is_map(issue) else None
        if isinstance(at, dict):
            rule, said = str(issue.get("FromLinter", "")), str(issue.get("Text", ""))
            place = (at.get("Filename"), at.get("Line"), at.get("Column"))
            yield from _finding("golangci-lint", rule, said, *place)


def _sarif(value: Mapping[str, Any]) -> Iterator[Symptom]:
    for run in filter(_is_map, value["runs"]):
        driver = _inside(run, "tool", "driver")
        name = str(driver.get("name", "SARIF")) if _is_map(driver) else "SARIF"
        results = run.get("results")
        for result in filter(_is_map, results if isinstance(results, list) else ()):
            message = _inside(result, "message", "text")
            for place in filter(_is_map, result.get("locations") or ()):
                uri = _inside(place, "physicalLocation", "artifactLocation", "uri")
                line = _inside(place, "physicalLocation", "region", "startLine")
                column = _inside(place, "physicalLocation", "region", "startColumn")
                rule = str(result.get("ruleId") or "")
                said = str(message or "")
                yield from _finding(name, rule, said, _file(uri), line, column)


def _file(uri: object) -> str:
    parts = urlsplit(str(uri or ""))
    return unquote(parts.path if parts.scheme == "file" else str(uri or ""))


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_map(value: object) -> bool:
    return isinstance(value, dict)
