"""Commands that run Go's tests: `go test` and gotestsum, however the program is spelt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from threadmend.recipes.shell import Command, Word

__all__ = ["GoTest", "go_test"]

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)
_WRAPPERS = frozenset(
    {
        "sudo", "time", "env", "nice", "timeout", "exec", "command", "if", "then", "else", "elif",
        "while", "until", "do", "!", "{", "xvfb-run", "stress", "ionice", "stdbuf",
    }
)  # fmt: skip
_NUMBER = re.compile(r"\d+[smhd]?")
_GO = re.compile(
    r"(?:\S*/)?go(?:\d[\w.]*)?"
    r"|\$+[({]?(?:GO|GOCMD|GO_CMD|GOEXE|GO_EXE|GOBINARY|GO_BINARY|GOTOOL|GO_BIN)[)}]?"
    r"|\{\{\s*\.(?:GO|GOCMD|GO_CMD|GO_BIN)\s*\}\}"
)
_SUM = re.compile(r"(?:\S*/)?gotestsum(?:@\S*)?|\$+[({]?(?:GOTESTSUM|GO_TEST_SUM)[)}]?")
_VARIABLE = re.compile(r"\$+[({]?\w+[)}]?")
_PACKAGE = re.compile(r"\.|\$(?!\W*\w*(?:ARG|FLAG|OPT|TAG|COVER))|[\w.-]+/", re.I)
_TO_A_FILE = re.compile(r"\d*[<>]{1,2}|&>")
_REDIRECTION = re.compile(r"\d*[<>].*|&>.*")


@dataclass(frozen=True, slots=True)
class GoTest:
    """One run of tests."""

    command: Command
    at: int
    """Where flags of `go test` can be inserted: the end of the word before them."""
    arguments: tuple[Word, ...]
    """What `go test` gets, up to `-args`."""
    environment: dict[str, str]
    """The variables that are set in front of the program."""

    @property
    def flags(self) -> dict[str, str]:
        """Return the flags by name, without dashes and the prefix `test.`; values if attached."""
        found = {}
        for word in self.arguments:
            if word.text.startswith("-"):
                name, _, value = word.text.lstrip("-").partition("=")
                found[name.removeprefix("test.")] = value
        return found

    def value(self, flag: str) -> Word | None:
        """Return the word that holds a flag's value: the flag's own, or the next one."""
        for number, word in enumerate(self.arguments):
            name, attached, _ = word.text.lstrip("-").partition("=")
            if word.text.startswith("-") and name.removeprefix("test.") == flag:
                return word if attached else next(iter(self.arguments[number + 1 :]), None)
        return None

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the arguments that name packages, as far as can be seen."""
        named = [word.text for word in self.arguments if not word.text.startswith("-")]
        return tuple(sorted(text for text in named if _PACKAGE.match(text)))


def go_test(command: Command) -> GoTest | None:
    """Return the run of tests that a command is; None when it is anything else."""
    texts = command.texts
    texts[0] = texts[0].lstrip("@-+") if not texts[0].startswith("--") else texts[0]
    environment: dict[str, str] = {}
    number = 0
    wrapped = False
    while number < len(texts):
        text = texts[number]
        if _ASSIGNMENT.fullmatch(text):
            name, _, value = text.partition("=")
            environment[name] = value
        elif text in _WRAPPERS or not text:
            wrapped = True
        elif not (wrapped and (text.startswith("-") or _NUMBER.fullmatch(text))):
            break
        number += 1
    if number + 1 < len(texts) and _VARIABLE.fullmatch(texts[number]):
        # A variable of settings before the program: `$(ENV) go test`.
        number += bool(_program(texts, number + 1) and not _program(texts, number))
    before = _program(texts, number)
    if before is None:
        return None
    arguments: list[Word] = []
    previous = ""
    for word in command.words[before + 1 :]:
        if word.text in {"-args", "--args"}:
            break
        if not _REDIRECTION.fullmatch(word.text) and not _TO_A_FILE.fullmatch(previous):
            arguments.append(word)
        previous = word.text
    return GoTest(command, command.words[before].end, tuple(arguments), environment)


def _program(texts: list[str], number: int) -> int | None:
    """Return the index of the word that the flags of `go test` come after."""
    rest = texts[number:]
    if not rest:
        return None
    if _GO.fullmatch(rest[0]):
        number += 1
        while number < len(texts) and texts[number].startswith("-C"):
            number += 1 if texts[number] != "-C" else 2
        if texts[number : number + 1] == ["test"]:
            return number
        if texts[number : number + 1] not in (["run"], ["tool"]):
            return None
        number += 1
        while number < len(texts) and texts[number].startswith("-"):
            number += 1
    if number < len(texts) and _SUM.fullmatch(texts[number]):
        if "--" in texts[number:] and "--raw-command" not in texts[number:]:
            return texts.index("--", number)
    return None
