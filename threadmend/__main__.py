"""The command `threadmend`: answers `--version` at once, hands the rest to the command line."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        # Without the imports of the command line: editors and hooks ask this often.
        from threadmend import __version__

        print(f"threadmend {__version__}")
        sys.exit(0)
    # Syntax trees live to the end of the command; looking for garbage among them, at its end
    # as well, takes longer than parsing them did.
    gc.disable()
    from threadmend.cli.main import run

    code = run(arguments)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
