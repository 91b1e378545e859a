"""The options that commands share, and the values they come in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from threadmend.cli.complete import complete_rule, complete_selector
from threadmend.model import Confidence
from threadmend.prove.levels import Level

__all__ = [
    "AllowNetwork",
    "AuditFormat",
    "BaselineFile",
    "Branch",
    "ConfidenceLevel",
    "ConfigFile",
    "Count",
    "Cpu",
    "Diff",
    "ExitZero",
    "Format",
    "FromReport",
    "Ignore",
    "Isolated",
    "Jobs",
    "ListFormat",
    "MapFormat",
    "Mbox",
    "Memory",
    "NoCache",
    "NoProve",
    "NoRace",
    "OutputFormat",
    "Packages",
    "Paths",
    "ProveLevel",
    "ResultFormat",
    "RuleName",
    "RulesFormat",
    "Select",
    "Since",
    "StdinFilename",
    "Stress",
    "TimeOut",
    "UnsafeFixes",
    "Write",
    "folders",
    "split",
]


class Format(StrEnum):
    """How results are printed."""

    TEXT = "text"
    CONCISE = "concise"
    JSON = "json"


class ListFormat(StrEnum):
    """How a list is printed."""

    TEXT = "text"
    JSON = "json"


class MapFormat(StrEnum):
    """How the map is printed, or as what its pictures are drawn."""

    TEXT = "text"
    JSON = "json"
    DOT = "dot"
    MERMAID = "mermaid"
    SVG = "svg"


class AuditFormat(StrEnum):
    """How the page of an audit is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


class RulesFormat(StrEnum):
    """How the rules are listed; `markdown` is the README's table."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        help="What to report on; the whole project around it is read.", show_default="."
    ),
]
Packages = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PACKAGES]...",
        help="Folders of packages, with all that is below them; `./...` is taken, too.",
        show_default=".",
    ),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        help="Rules, categories or languages to run, comma-separated; ALL adds the opt-in rules.",
        autocompletion=complete_selector,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        help="Rules, categories or languages to leave out, comma-separated.",
        autocompletion=complete_selector,
    ),
]
RuleName = Annotated[
    str, typer.Argument(help="A rule's name, as findings show it.", autocompletion=complete_rule)
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Read this configuration instead of looking for it.")
]
Isolated = Annotated[bool, typer.Option("--isolated", help="Read no configuration at all.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes to work in.", show_default="one per core")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="REV", help="Report only findings on lines changed since this commit."),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option("--baseline", help="Leave out the findings that this file lists."),
]
ConfidenceLevel = Annotated[
    Confidence | None,
    typer.Option(help="Report findings proved at least this well.", show_default=False),
]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever is found.")]
OutputFormat = Annotated[Format, typer.Option(help="How to print the results.")]
ResultFormat = Annotated[ListFormat, typer.Option(help="How to print the results.")]
Diff = Annotated[bool, typer.Option("--diff", help="Print a diff (the default).")]
Write = Annotated[bool, typer.Option("--write", "-w", help="Change the files.")]
Mbox = Annotated[bool, typer.Option("--mbox", help="Print a mail per rule, for git am.")]
Branch = Annotated[
    str | None, typer.Option(metavar="BRANCH", help="Commit to a new branch, one per rule.")
]
UnsafeFixes = Annotated[
    bool, typer.Option("--unsafe-fixes", help="Take fixes that may change behaviour, too.")
]
StdinFilename = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Read this file's text from standard input."),
]

FromReport = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Fix only what this report shows, hints included: output of go test or go vet, a "
        "goroutine dump or profile, JSON of linters, SARIF. - is standard input; may be repeated.",
    ),
]
ProveLevel = Annotated[
    Level | None,
    typer.Option(
        "--prove",
        help="Refuse fixes that the Go toolchain objects to: build, vet, the tests, the tests "
        "under the race detector. Writes nothing.",
        show_default="vet with --write, --commit, --mbox",
    ),
]
NoProve = Annotated[bool, typer.Option("--no-prove", help="Do not ask the Go toolchain.")]
NoRace = Annotated[bool, typer.Option("--no-race", help="Run the tests without the race detector.")]
Stress = Annotated[
    bool,
    typer.Option(
        "--stress",
        help="Run the tests five times on 1, 2 and 4 processors, with noise in the schedule.",
    ),
]
Count = Annotated[int, typer.Option(min=1, help="How often each test is run.")]
Cpu = Annotated[
    str, typer.Option(metavar="1,2,4", help="Run the tests with these GOMAXPROCS, one by one.")
]
TimeOut = Annotated[
    float, typer.Option("--timeout", min=1, help="Seconds that a package's tests may take.")
]
Memory = Annotated[
    int,
    typer.Option(
        min=0,
        help="Megabytes that the toolchain and the tests may take.",
        show_default="3/4 of all",
    ),
]
AllowNetwork = Annotated[
    bool, typer.Option("--allow-network", help="Let the Go toolchain download modules.")
]


def split(values: list[str] | None) -> tuple[str, ...]:
    """Return the names in `--select a,b --select c`."""
    return tuple(
        name.strip() for value in values or () for name in value.split(",") if name.strip()
    )


def folders(packages: list[str] | None) -> tuple[str, ...]:
    """Return the folders that `./svc/...` and `./svc` mean."""
    return tuple(p.removesuffix("...").rstrip("/") or "." for p in packages or ())
