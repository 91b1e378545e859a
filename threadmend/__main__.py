"""The command `threadmend`: answers `--version` at once, hands the rest to the command line."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        # Without the imports of the command line: editors and hooks ask this often.
        from threadmend import __version__

        print(f"threadmend {__version__}")
        sys.exit(0)
    from threadmend.cli.main import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
