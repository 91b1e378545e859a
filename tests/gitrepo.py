"""A throwaway repository for tests, run with git itself and none of the user's settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Repository:
    """A git repository at `root`; every call fails loudly."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "C",
            "GIT_COMMITTER_EMAIL": "c@example.com",
        }
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *args: str, data: bytes = b"") -> bytes:
        """Run git and return its output."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.root,
            env=self.environment,
            input=data,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (args, done.stderr.decode("utf-8", "replace"), data)
        return done.stdout

    def write(self, files: Mapping[str, bytes | None]) -> None:
        """Make the work tree hold these bytes; None removes a file."""
        for name, data in files.items():
            path = os.fsencode(self.root) + b"/" + name.encode("utf-8", "surrogateescape")
            if data is None:
                os.unlink(path)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as stream:
                stream.write(data)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None without it."""
        path = os.fsencode(self.root) + b"/" + name.encode("utf-8", "surrogateescape")
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def commit(self, message: str = "base") -> str:
        """Commit the whole work tree and return the commit's name."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").decode().strip()
