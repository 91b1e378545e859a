"""The commands and their options; what they do is in the modules that they import when run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from threadmend.cli import testing
from threadmend.cli.options import (
    AllowNetwork,
    AuditFormat,
    BaselineFile,
    Branch,
    ConfidenceLevel,
    ConfigFile,
    Count,
    Cpu,
    Diff,
    ExitZero,
    Format,
    FromReport,
    Ignore,
    Isolated,
    Jobs,
    ListFormat,
    MapFormat,
    Mbox,
    Memory,
    NoCache,
    NoProve,
    OutputFormat,
    Paths,
    ProveLevel,
    RuleName,
    RulesFormat,
    Select,
    Since,
    StdinFilename,
    TimeOut,
    UnsafeFixes,
    Write,
    split,
)

__all__ = ["app"]

app = typer.Typer(
    name="threadmend",
    help="Find concurrency anti-patterns, rewrite them, and hand over git-ready diffs.",
    epilog="Exit codes: 0 clean or all written, 1 findings or a diff, 2 usage or bad input, "
    "3 internal error.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    """Find concurrency anti-patterns, rewrite them, and hand over git-ready diffs."""
    if show:
        from threadmend import __version__

        print(f"threadmend {__version__}")
        raise typer.Exit(0)


@app.command()
def check(
    paths: Paths = None,
    select: Select = None,
    ignore: Ignore = None,
    output_format: OutputFormat = Format.TEXT,
    confidence: ConfidenceLevel = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Count findings by rule.")
    ] = False,
    show_files: Annotated[
        bool, typer.Option("--show-files", help="List the files, and stop.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Check again whenever a file changes.")
    ] = False,
    since: Since = None,
    baseline: BaselineFile = None,
    stdin_filename: StdinFilename = None,
    config: ConfigFile = None,
    isolated: Isolated = False,
    no_cache: NoCache = False,
    jobs: Jobs = None,
    exit_zero: ExitZero = False,
) -> None:
    """Report what is wrong."""
    from threadmend.cli.check import Wanted, run, show_the_files, watch_and_run
    from threadmend.cli.session import Request

    request = Request(
        paths=tuple(paths or ()),
        select=split(select),
        ignore=split(ignore),
        confidence=confidence,
        since=since,
        baseline=baseline,
        stdin_filename=stdin_filename,
        config=config,
        isolated=isolated,
        no_cache=no_cache,
        jobs=jobs,
    )
    wanted = Wanted(output_format=output_format, statistics=statistics)
    if show_files:
        code = show_the_files(request)
    elif watch:
        code = watch_and_run(request, wanted)
    else:
        code = run(request, wanted)
    raise typer.Exit(0 if exit_zero and code == 1 else code)


@app.command()
def fix(
    paths: Paths = None,
    select: Select = None,
    ignore: Ignore = None,
    diff: Diff = False,
    write: Write = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask about each hunk, write what is taken.")
    ] = False,
    mbox: Mbox = False,
    commit: Branch = None,
    unsafe_fixes: UnsafeFixes = False,
    output_format: Annotated[
        ListFormat, typer.Option(help="How to print the results; json brings outcomes and patch.")
    ] = ListFormat.TEXT,
    from_: FromReport = None,
    prove: ProveLevel = None,
    no_prove: NoProve = False,
    count: Count = 1,
    cpu: Cpu = "",
    timeout: TimeOut = 300,
    memory: Memory = 0,
    allow_network: AllowNetwork = False,
    confidence: ConfidenceLevel = None,
    since: Since = None,
    baseline: BaselineFile = None,
    stdin_filename: StdinFilename = None,
    config: ConfigFile = None,
    isolated: Isolated = False,
    no_cache: NoCache = False,
    jobs: Jobs = None,
    exit_zero: ExitZero = False,
) -> None:
    """Print, write, commit or mail the fixes."""
    from threadmend.cli.fix import Way, run
    from threadmend.cli.proving import Proving
    from threadmend.cli.session import Request

    request = Request(
        paths=tuple(paths or ()),
        select=split(select),
        ignore=split(ignore),
        unsafe=unsafe_fixes,
        confidence=confidence,
        since=since,
        baseline=baseline,
        stdin_filename=stdin_filename,
        config=config,
        isolated=isolated,
        no_cache=no_cache,
        jobs=jobs,
        reports=tuple(from_ or ()),
    )
    way = Way.chosen(diff=diff, write=write, interactive=interactive, mbox=mbox, branch=commit)
    proving = Proving(
        level=prove,
        off=no_prove,
        count=count,
        cpu=cpu,
        seconds=timeout,
        megabytes=memory,
        network=allow_network,
    )
    as_json = output_format is ListFormat.JSON
    code = run(request, way, branch=commit, as_json=as_json, proving=proving)
    raise typer.Exit(0 if exit_zero and code == 1 else code)


app.command()(testing.prove)
app.command()(testing.mend)


@app.command()
def apply(
    patch: Annotated[str, typer.Argument(help="A diff or mailbox, or - for standard input.")],
    directory: Annotated[
        Path, typer.Option("--directory", "-C", help="The folder that the paths start from.")
    ] = Path(),
    check_only: Annotated[
        bool, typer.Option("--check", help="Only say whether it applies.")
    ] = False,
) -> None:
    """Apply a patch, whole or not at all."""
    from threadmend.cli.patches import apply_patch

    raise typer.Exit(apply_patch(patch, directory, check_only=check_only))


@app.command()
def explain(rule: RuleName) -> None:
    """Say what a rule finds, and why it matters."""
    from threadmend.cli.catalogue import explanation, named, own_explanation
    from threadmend.cli.output import Output
    from threadmend.registry import load_rules

    own = own_explanation(rule)
    Output().lines(explanation(named(load_rules(), rule)) if own is None else own)


@app.command()
def rules(
    select: Select = None,
    output_format: Annotated[
        RulesFormat, typer.Option(help="How to print the list.")
    ] = RulesFormat.TEXT,
) -> None:
    """List the rules."""
    from threadmend.cli.catalogue import markdown_table, rule_lines
    from threadmend.cli.output import Output
    from threadmend.registry import load_rules
    from threadmend.registry import select as select_rules
    from threadmend.report import json

    known = load_rules()
    chosen = select_rules(known, split(select)) if select else known
    output = Output()
    if output_format is RulesFormat.JSON:
        output.text(json.dumps(json.rules(chosen)))
    elif output_format is RulesFormat.MARKDOWN:
        output.text(markdown_table(chosen))
    else:
        output.lines(rule_lines(chosen))


@app.command(name="map")
def map_(
    paths: Paths = None,
    output_format: Annotated[
        MapFormat, typer.Option(help="How to print, or as what to draw it.")
    ] = MapFormat.TEXT,
    config: ConfigFile = None,
    isolated: Isolated = False,
) -> None:
    """List every concurrent operation with its type, or draw locks and channels."""
    from threadmend.cli.mapping import run
    from threadmend.cli.session import Request

    request = Request(paths=tuple(paths or ()), config=config, isolated=isolated)
    raise typer.Exit(run(request, output_format))


@app.command()
def audit(
    paths: Paths = None,
    output_format: Annotated[
        AuditFormat, typer.Option(help="How to print the page.")
    ] = AuditFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the page to this file.")
    ] = None,
    select: Select = None,
    ignore: Ignore = None,
    config: ConfigFile = None,
    isolated: Isolated = False,
    jobs: Jobs = None,
) -> None:
    """Show the concurrency of a project on one page: what is there, what is missing."""
    from threadmend.cli.audit import run
    from threadmend.cli.session import Request

    request = Request(
        paths=tuple(paths or ()),
        select=split(select),
        ignore=split(ignore),
        config=config,
        isolated=isolated,
        jobs=jobs,
    )
    raise typer.Exit(run(request, output_format, output))


@app.command()
def baseline(
    paths: Paths = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file to write.", show_default="threadmend-baseline.json"
        ),
    ] = None,
    select: Select = None,
    ignore: Ignore = None,
    confidence: ConfidenceLevel = None,
    config: ConfigFile = None,
    isolated: Isolated = False,
    no_cache: NoCache = False,
    jobs: Jobs = None,
) -> None:
    """Write down today's findings, to report only new ones."""
    from threadmend.cli.check import write_baseline
    from threadmend.cli.session import Request

    request = Request(
        paths=tuple(paths or ()),
        select=split(select),
        ignore=split(ignore),
        confidence=confidence,
        config=config,
        isolated=isolated,
        no_cache=no_cache,
        jobs=jobs,
    )
    raise typer.Exit(write_baseline(request, output))


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh, fish, powershell or pwsh.")],
) -> None:
    """Print the script for a shell's completion."""
    from threadmend.cli.errors import BadInputError

    shells = ("bash", "zsh", "fish", "powershell", "pwsh")
    if shell not in shells:
        raise BadInputError(f"{shell}: unknown shell; one of {', '.join(shells)}")
    from typer._completion_shared import get_completion_script

    script = get_completion_script(
        prog_name="threadmend", complete_var="_THREADMEND_COMPLETE", shell=shell
    )
    sys.stdout.write(script + "\n")
