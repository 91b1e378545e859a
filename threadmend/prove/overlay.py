"""Overlay: other bytes for files, shown to the go command and written into no tree."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Overlay"]

_PLACE = re.compile(r"(?<![\w./-])((?:\.{0,2}/)?[^\s:()'\"]+\.(?:go|s|c|h))(?=[:(]\d|\b)")


class Overlay:
    """A map of replaced, new (and, as None, removed) files for `go … -overlay`.

    The go tool shows a compiler's and vet's complaints under the names of the files that it
    read; `restored()` gives them back their own.
    """

    def __init__(self, place: Path, files: Mapping[Path, bytes | None]) -> None:
        """Write the files' bytes below `place`, which exists."""
        self._original: dict[str, str] = {}
        replace: dict[str, str] = {}
        for number, (file, data) in enumerate(sorted(files.items())):
            real = os.path.realpath(file)
            if data is None:
                replace[real] = ""
                continue
            copy = place / str(number) / file.name
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(data)
            replace[real] = str(copy)
            self._original[os.path.realpath(copy)] = real
        self.file = place / "overlay.json"
        self.file.write_text(json.dumps({"Replace": replace}), encoding="utf-8")
        self._empty = not replace

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the option for the go command."""
        return () if self._empty else (f"-overlay={self.file}",)

    def restored(self, text: str, cwd: Path) -> str:
        """Return a text of the go tool with the copies' names turned into the files' own."""
        if not self._original:
            return text
        here = os.path.realpath(cwd)

        def own(found: re.Match[str]) -> str:
            full = os.path.normpath(os.path.join(here, found[1]))
            original = self._original.get(full)
            return found[1] if original is None else os.path.relpath(original, here)

        return _PLACE.sub(own, text)
