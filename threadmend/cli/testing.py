"""The commands that run tests: `prove` and `mend`, with their options."""

from __future__ import annotations

from typing import Annotated

import typer

from threadmend.cli.options import (
    AllowNetwork,
    Branch,
    ConfidenceLevel,
    ConfigFile,
    Count,
    Cpu,
    Diff,
    ExitZero,
    Ignore,
    Isolated,
    Jobs,
    ListFormat,
    Mbox,
    Memory,
    NoCache,
    NoRace,
    Packages,
    ResultFormat,
    Select,
    Stress,
    TimeOut,
    UnsafeFixes,
    Write,
    folders,
    split,
)

__all__ = ["mend", "prove"]


def prove(
    paths: Packages = None,
    select: Select = None,
    ignore: Ignore = None,
    no_fixes: Annotated[
        bool, typer.Option("--no-fixes", help="Run the tests of the code as it is, and stop.")
    ] = False,
    unsafe_fixes: UnsafeFixes = False,
    output_format: ResultFormat = ListFormat.TEXT,
    no_race: NoRace = False,
    stress: Stress = False,
    count: Count = 1,
    cpu: Cpu = "",
    timeout: TimeOut = 300,
    memory: Memory = 0,
    allow_network: AllowNetwork = False,
    confidence: ConfidenceLevel = None,
    config: ConfigFile = None,
    isolated: Isolated = False,
    no_cache: NoCache = False,
    jobs: Jobs = None,
    exit_zero: ExitZero = False,
) -> None:
    """Run the tests for races, leaked goroutines and deadlocks, before and after the fixes."""
    from threadmend.cli.prove import run
    from threadmend.cli.proving import Proving
    from threadmend.cli.session import Request
    from threadmend.prove.levels import Level

    request = Request(
        paths=folders(paths),
        select=split(select),
        ignore=split(ignore),
        unsafe=unsafe_fixes,
        confidence=confidence,
        config=config,
        isolated=isolated,
        no_cache=no_cache,
        jobs=jobs,
    )
    proving = Proving(
        level=Level.TESTS if no_race else None,
        count=count,
        cpu=cpu,
        seconds=timeout,
        megabytes=memory,
        network=allow_network,
        stress=stress,
    )
    as_json = output_format is ListFormat.JSON
    code = run(request, proving, fixed=not no_fixes, as_json=as_json)
    raise typer.Exit(0 if exit_zero and code == 1 else code)


def mend(
    paths: Packages = None,
    select: Select = None,
    ignore: Ignore = None,
    diff: Diff = False,
    write: Write = False,
    mbox: Mbox = False,
    commit: Branch = None,
    output_format: ResultFormat = ListFormat.TEXT,
    stress: Stress = False,
    no_race: NoRace = False,
    count: Count = 1,
    cpu: Cpu = "",
    timeout: TimeOut = 300,
    memory: Memory = 0,
    allow_network: AllowNetwork = False,
    config: ConfigFile = None,
    isolated: Isolated = False,
    no_cache: NoCache = False,
    jobs: Jobs = None,
    exit_zero: ExitZero = False,
) -> None:
    """Run the tests, fix what they show, run them again, until nothing is left to do."""
    from threadmend.cli.fix import Way
    from threadmend.cli.mend import run
    from threadmend.cli.proving import Proving
    from threadmend.cli.session import Request
    from threadmend.prove.levels import Level

    request = Request(
        paths=folders(paths),
        select=split(select),
        ignore=split(ignore),
        unsafe=True,
        config=config,
        isolated=isolated,
        no_cache=no_cache,
        jobs=jobs,
    )
    way = Way.chosen(diff=diff, write=write, interactive=False, mbox=mbox, branch=commit)
    proving = Proving(
        level=Level.TESTS if no_race else None,
        count=count,
        cpu=cpu,
        seconds=timeout,
        megabytes=memory,
        network=allow_network,
        stress=stress,
    )
    as_json = output_format is ListFormat.JSON
    code = run(request, way, branch=commit, as_json=as_json, proving=proving)
    raise typer.Exit(0 if exit_zero and code == 1 else code)
