"""run(): one command from its arguments to its exit code, whatever happens on the way.

0 clean or all written, 1 findings or a diff, 2 usage or bad input, 3 a fault of ours;
130 interrupted and 141 reader gone, as a shell knows them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence

from threadmend.cli.errors import BadInputError

__all__ = ["run"]

CLEAN, FOUND, BAD_INPUT, INTERNAL, INTERRUPTED, READER_GONE = 0, 1, 2, 3, 130, 141

COMPLETE = "_THREADMEND_COMPLETE"
"""Set by the shell's completion script."""

_INPUT_ERRORS = (
    ("threadmend.config", "ConfigError"),
    ("threadmend.source", "UnreadableError"),
    ("threadmend.patchfile", "PatchError"),
    ("threadmend.git", "GitError"),
    ("threadmend.write", "WriteError"),
)
"""What the parts raise when the user's input is at fault; the message is one line."""


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code; nothing is raised."""
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _reader_gone()
    except BadInputError as error:
        return _bad_input(str(error))
    except Exception as error:
        return _failed(error)
    return code


def _command(arguments: Sequence[str]) -> int:
    import typer

    from threadmend.cli.app import app

    # typer brings its own copy of click, or uses the real one, depending on its version.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    click_error: type[Exception] = typer.BadParameter.__mro__[2]
    command = typer.main.get_command(app)
    if COMPLETE in os.environ:
        command.main(list(arguments), prog_name="threadmend")
    try:
        # Not command.main(), which has codes of its own for Ctrl-C and for a reader that left.
        with command.make_context("threadmend", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        return _interrupted()
    except click_error as error:
        return _usage(error, is_usage=isinstance(error, usage_error))
    return CLEAN


def _usage(error: Exception, *, is_usage: bool) -> int:
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return BAD_INPUT
    path = getattr(context, "command_path", "threadmend")
    hint = f"; see {path} --help" if is_usage else ""
    return _bad_input(" ".join(str(message).split()).rstrip(".") + hint)


def _bad_input(message: str) -> int:
    sys.stdout.flush()
    print(f"threadmend: {_one_line(message)}", file=sys.stderr)
    return BAD_INPUT


def _failed(error: Exception) -> int:
    if _debugging():
        import traceback

        traceback.print_exception(error)
    if isinstance(error, tuple(_known_errors())):
        return _bad_input(str(error))
    if isinstance(error, FileNotFoundError) and _is_homeless():
        return _bad_input("the current folder does not exist any more")
    what = _one_line(f"{type(error).__name__}: {error}")
    hint = "please report it, with the traceback that THREADMEND_DEBUG=1 shows"
    print(f"threadmend: internal error: {what}; {hint}", file=sys.stderr)
    return INTERNAL


def _is_homeless() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _known_errors() -> Iterator[type[Exception]]:
    for module, name in _INPUT_ERRORS:
        if module in sys.modules:  # one that was never imported cannot have raised
            found = getattr(importlib.import_module(module), name, None)
            if found is not None:
                yield found


def _debugging() -> bool:
    return os.environ.get("THREADMEND_DEBUG", "") not in {"", "0"}


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _interrupted() -> int:
    print("threadmend: interrupted", file=sys.stderr)
    return INTERRUPTED


def _reader_gone() -> int:
    # Python flushes stdout once more at its end and would complain then.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return READER_GONE
