"""Runs of tests in the files around the code, and whether they look for races."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from threadmend.recipes.files import ProjectFiles
from threadmend.recipes.gotest import GoTest, go_test
from threadmend.recipes.scripts import Script, scripts
from threadmend.recipes.shell import commands, variables
from threadmend.source import SourceFile

__all__ = ["RACE", "Run", "definitions", "races", "runs"]

RACE = re.compile(r"(?:^|[^a-zA-Z])(?i:no|without|with)?(?i:race)|(?<=[a-z])Race")
"""What speaks of the race detector in a command: the flag, or a variable named for it."""


@dataclass(frozen=True, slots=True)
class Run:
    """A command that runs tests, and where it stands."""

    script: Script
    test: GoTest

    @property
    def path(self) -> str:
        """Return the path of the file."""
        return self.script.source.path

    @property
    def start(self) -> int:
        """Return where the program's name begins."""
        words = self.test.command.words
        at = next(n for n, word in enumerate(words) if word.end == self.test.at)
        return words[max(at - 1, 0)].start

    @property
    def text(self) -> str:
        """Return the command as it is written."""
        command = self.test.command
        return self.script.source.data[command.start : command.end].decode("utf-8", "replace")


_MENTION = re.compile(rb"\btest\b|gotestsum", re.I)


def runs(source: SourceFile) -> Iterator[Run]:
    """Yield the runs of tests in a file."""
    if not _MENTION.search(source.data):
        return
    for script in scripts(source):
        for command in commands(
            source.data, script.start, script.end, make=script.make, folded=script.folded
        ):
            test = go_test(command)
            if test is not None:
                yield Run(script, test)


def races(run: Run, project: ProjectFiles) -> bool:
    """Return whether a run has the flag, itself or by a variable that may hold it."""
    if RACE.search(run.text):
        return True
    environment = {**run.script.environment, **run.test.environment}
    texts = (run.text, *environment.values())
    names = {name for text in texts for name in variables(text)}
    flags = [run.script.environment.get("GOFLAGS", ""), *definitions(names, project)]
    return any(_FLAG.search(text) for text in flags)


_FLAG = re.compile(r"(?:^|[\s\"'=])--?race(?!=false)\b")


# -- variables --------------------------------------------------------------------------------

_DEFINED = (
    r"(?m)(?:^|[\s\"'{{,])(?:-\s+)?{name}[\"']?[ \t]*(?:[:?+!]*=|:)[ \t]*"
    r"((?:\\\r?\n|[^\n])*(?:\n[ \t]+-[ \t][^\n]*)*)"
)


def definitions(names: set[str], project: ProjectFiles) -> Iterator[str]:
    """Yield what variables may be set to anywhere in the project, through two more of them."""
    known: set[str] = set()
    for _ in range(3):
        new: set[str] = set()
        for name in sorted(names - known):
            pattern = re.compile(_DEFINED.format(name=re.escape(name)))
            for source in project.texts(lambda path: True):
                if name.encode() in source.data:
                    for found in pattern.finditer(source.data.decode("utf-8", "replace")):
                        yield found[1]
                        new |= variables(found[1])
        known |= names
        names = new
