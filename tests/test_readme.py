"""What the README says is what the program does; `pytest --update` writes the generated parts."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from commandline import run

from threadmend.cli.catalogue import markdown_table
from threadmend.config import parse
from threadmend.registry import load_rules

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DIFF = re.compile(
    r"(?<=<!-- the output of: threadmend fix examples -->\n```diff\n).*?(?=```\n)", re.S
)
TABLE = re.compile(
    r"(?<=<!-- the output of: threadmend rules --output-format markdown -->\n).*?"
    r"(?=<!-- end of the table -->)",
    re.S,
)
INDEX = re.compile(r"^index .*\n", re.M)


def generated(part: re.Pattern[str], text: str, *, update: bool) -> None:
    """Compare a generated part of the README, or write it."""
    readme = README.read_text("utf-8")
    found = part.search(readme)
    assert found is not None
    if update:
        README.write_text(readme[: found.start()] + text + readme[found.end() :], "utf-8")
    else:
        assert found[0] == text, "out of date: run pytest --update tests/test_readme.py"


def test_the_table_of_rules_is_up_to_date(update: bool) -> None:
    generated(TABLE, markdown_table(load_rules()), update=update)


def test_the_diff_is_what_fix_prints(update: bool, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "threadmend.toml").touch()
    found = run("fix", "examples", cwd=tmp_path)
    generated(DIFF, INDEX.sub("", found.out), update=update)


def test_every_bug_of_the_example_is_fixed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    found = run("fix", "--write", "examples", cwd=tmp_path)
    assert found.code == 0, found.err
    assert "2 fixed" in found.err


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text("utf-8"), re.S | re.M)
    return [line for block in blocks for line in block.splitlines()]


def test_the_first_two_commands_start_from_nothing() -> None:
    for command in commands()[:2]:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    for part in ("python3 -m venv .venv", "-e '.[dev]'", ".venv/bin/python -m pytest"):
        assert part in commands()[1]
        assert part in script


@pytest.mark.parametrize("command", [c for c in commands()[2:] if c.startswith("threadmend ")])
def test_every_option_that_is_shown_exists(command: str, tmp_path: Path) -> None:
    words = command.partition("#")[0].partition("|")[0].split()
    help_text = run(words[1], "--help", cwd=tmp_path).out
    for word in words[2:]:
        if word.startswith("--"):
            assert re.search(rf"(?<![\w-]){word}(?![\w-])", help_text), command


def test_the_settings_that_are_shown_are_understood() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", README.read_text("utf-8"), re.S | re.M)
    config = parse(block.encode(), "threadmend.toml")
    assert config.exclude
    assert config.overrides[0].ignore


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    mapped = {folder: name for name, folder in settings["package-dir"].items()}
    found = set()
    for top in ("threadmend", *mapped):
        for init in (ROOT / top).rglob("__init__.py"):
            folder = init.parent.relative_to(ROOT).as_posix()
            inner = folder.removeprefix(top).replace("/", ".")
            found.add(mapped.get(top, top) + inner)
    assert found == set(settings["packages"])
