"""Commands of shell text, as words with their places; also of recipes of makefiles.

Not a shell: it finds where simple commands begin and end, looks into substitutions and
leaves out comments and here-documents. What it takes for one word is never cut by a variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Command", "Word", "commands", "variables"]


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it is written, at bytes [start, end)."""

    start: int
    end: int
    raw: bytes

    @property
    def text(self) -> str:
        """Return the word without its quotes; variables stay as they are written."""
        return self.raw.decode("utf-8", "replace").replace('"', "").replace("'", "")


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command: its words in order, assignments before the program among them."""

    words: tuple[Word, ...]

    @property
    def start(self) -> int:
        """Return where its first word begins."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """Return where its last word ends."""
        return self.words[-1].end

    @property
    def texts(self) -> list[str]:
        """Return the words without quotes."""
        return [word.text for word in self.words]


_VARIABLE = re.compile(
    r"\$\{\{\s*[\w.]*?([\w-]+)\s*\}\}|\{\{\s*\.([\w]+)\s*\}\}"
    r"|\$+\{(\w+)[^}]*\}|\$\((\w+)\)|\$+([A-Za-z_]\w*)"
)


def variables(text: str) -> set[str]:
    """Return the names of the variables in a text: of shells, makefiles, templates."""
    return {next(name for name in m.groups() if name) for m in _VARIABLE.finditer(text)}


def commands(
    data: bytes, start: int = 0, end: int | None = None, *, make: bool = False, folded: bool = False
) -> Iterator[Command]:
    """Yield the simple commands in bytes [start, end).

    `make`: `$(NAME)` is a variable and `$$` a dollar. `folded`: a line end is a blank.
    """
    reader = _Reader(data, start, len(data) if end is None else end, make, folded)
    reader.read()
    yield from sorted(reader.found, key=lambda command: command.start)


_HEREDOC = re.compile(rb"<<(-?)[ \t]*(['\"]?)(\w+)\2")
_CLOSER = {ord("("): ord(")"), ord("{"): ord("}")}


class _Reader:
    def __init__(self, data: bytes, start: int, end: int, make: bool, folded: bool) -> None:
        self.data, self.at, self.end = data, start, end
        self.make, self.folded = make, folded
        self.found: list[Command] = []
        self._words: list[Word] = []
        self._start: int | None = None
        self._ends: list[bytes] = []

    def read(self) -> None:
        while self.at < self.end:
            self._step()
        self._finish()

    def _step(self) -> None:
        data, at = self.data, self.at
        char = data[at : at + 1]
        if char == b"\\":
            self._backslash()
        elif char in b" \t\r" or (char == b"\n" and self.folded):
            self._break()
            self.at += 1
        elif char == b"#" and self._start is None:
            self.at = self._line_end(at)
        elif char == b"\n":
            self._finish()
            self.at += 1
            self._skip_heredocs()
        elif char in b";|()" or (char == b"&" and not self._is_redirection()):
            self._punctuation(char)
        else:
            self._begin()
            self.at = self._after(at)

    def _backslash(self) -> None:
        after = self.data[self.at + 1 : self.at + 3]
        if after.startswith((b"\n", b"\r\n")):
            self._break()
            self.at += 2 if after.startswith(b"\n") else 3
        else:
            self._begin()
            self.at += 2

    def _punctuation(self, char: bytes) -> None:
        if char == b"(" and self._start is not None and self.data[self.at - 1 : self.at] == b"=":
            self.at = self._closed(self.at)  # the words of an array are no command
            return
        self._finish()
        self.at += 1

    def _is_redirection(self) -> bool:
        around = self.data[self.at - 1 : self.at], self.data[self.at + 1 : self.at + 2]
        return around[0] in {b">", b"<"} or around[1] == b">"

    def _after(self, at: int) -> int:
        """Return where the piece of a word that begins at `at` ends; note what is nested."""
        data = self.data
        char = data[at : at + 1]
        if char == b"'":
            return self._find(b"'", at + 1)
        if char == b'"':
            return self._quoted(at)
        if char == b"`":
            stop = self._find(b"`", at + 1)
            self._nested(at + 1, stop - 1)
            return stop
        if data.startswith((b"{{", b"${{"), at):
            return self._find(b"}}", at)
        if char == b"$":
            return self._dollar(at)
        if char == b"<" and not self.make:
            here = _HEREDOC.match(data, at, self.end)
            if here is not None and not data.startswith(b"<<<", at):
                self._ends.append(here[3])
                return here.end()
        return at + 1

    def _quoted(self, at: int) -> int:
        at += 1
        while at < self.end and self.data[at] != ord('"'):
            if self.data[at] == ord("\\"):
                at += 2
            elif self.data[at : at + 1] in {b"$", b"`"}:
                at = self._after(at)
            else:
                at += 1
        return min(at + 1, self.end)

    def _dollar(self, at: int) -> int:
        first = at
        at += 1
        if self.make and self.data[at : at + 1] == b"$":
            at += 1
        char = self.data[at : at + 1]
        if char == b"{":
            return self._closed(at)
        if char == b"(":
            stop = self._closed(at)
            is_variable = self.make and at == first + 1
            if not is_variable and self.data[at + 1 : at + 2] != b"(":
                self._nested(at + 1, stop - 1)
            return stop
        return at

    def _nested(self, start: int, end: int) -> None:
        self.found += commands(self.data, start, end, make=self.make, folded=self.folded)

    def _closed(self, at: int) -> int:
        """Return the place after the bracket that closes the one at `at`."""
        opener, closer = self.data[at], _CLOSER[self.data[at]]
        depth = 0
        while at < self.end:
            char = self.data[at]
            if char == ord("\\"):
                at += 1
            elif char == ord("'"):
                at = self._find(b"'", at + 1) - 1
            elif char == opener:
                depth += 1
            elif char == closer:
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return self.end

    def _find(self, text: bytes, at: int) -> int:
        found = self.data.find(text, at, self.end)
        return self.end if found < 0 else found + len(text)

    def _line_end(self, at: int) -> int:
        found = self.data.find(b"\n", at, self.end)
        return self.end if found < 0 else found

    def _skip_heredocs(self) -> None:
        for name in self._ends:
            while self.at < self.end:
                stop = self._line_end(self.at)
                line = self.data[self.at : stop].strip()
                self.at = min(stop + 1, self.end)
                if line == name:
                    break
        self._ends.clear()

    # -- words and commands ---------------------------------------------------------------

    def _begin(self) -> None:
        if self._start is None:
            self._start = self.at

    def _break(self) -> None:
        if self._start is not None:
            self._words.append(Word(self._start, self.at, self.data[self._start : self.at]))
            self._start = None

    def _finish(self) -> None:
        self._break()
        if self._words:
            self.found.append(Command(tuple(self._words)))
            self._words = []
