"""Notebooks: what of them is Python, and that edits leave everything else as it is."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from threadmend.engine import Options, check, fix
from threadmend.project import Project
from threadmend.python.notebook import masked, read
from threadmend.registry import load_rules, select
from threadmend.source import UnreadableError

CELL = """\
import threading
lock = threading.Lock()
def note(path, text):
    lock.acquire()
    %time work(path)
    print("ä \\\\ \\"x\\"", text)  # why
    lock.release()"""


def notebook(*cells: str | list[str], indent: int | None = 1) -> bytes:
    """Return a notebook as Jupyter writes it: lists of lines, an output with every cell."""
    made: list[dict[str, Any]] = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# import threading"]}
    ]
    for cell in cells:
        source = cell.splitlines(keepends=True) if isinstance(cell, str) else cell
        output = {"output_type": "stream", "text": ["lock.acquire()\n"], "name": "stdout"}
        made.append(
            {"cell_type": "code", "execution_count": 1, "metadata": {},
             "outputs": [output], "source": source}
        )  # fmt: skip
    value = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(value, indent=indent, ensure_ascii=False).encode() + b"\n"


def project_of(data: bytes) -> Project:
    return Project(Path("/nowhere"), ["a.ipynb"], overlay={"a.ipynb": data})


def options(rule: str = "python/lock-without-with") -> Options:
    return Options(rules=select(load_rules(), [rule]), jobs=1)


def code_of(data: bytes) -> list[str]:
    cells = json.loads(data)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("indent", [1, 2, None])
def test_a_fix_changes_the_lines_of_the_cell_alone(indent: int | None) -> None:
    before = notebook("%matplotlib inline\nx = 1", CELL, "!ls", indent=indent)
    patch = fix(project_of(before), options())
    after = patch.after["a.ipynb"]
    assert after is not None
    wanted = (
        CELL.replace("    lock.acquire()", "    with lock:")
        .replace("    %time", "        %time")
        .replace("    print", "        print")
        .replace("\n    lock.release()", "\n")
    )
    assert code_of(after) == ["%matplotlib inline\nx = 1", wanted, "!ls"]
    assert after.count(b"lock.acquire()") == 3  # the outputs
    lines = json.loads(after)["cells"][2]["source"]
    assert all(line.count("\n") <= 1 for line in lines)
    if indent:
        changed = set(after.splitlines()) ^ set(before.splitlines())
        assert len(changed) <= 8
    assert not fix(project_of(after), options()).after


def test_a_finding_stands_where_the_json_has_it() -> None:
    before = notebook("x = 1", CELL)
    (finding,) = check(project_of(before), options()).findings
    assert before[finding.start : finding.end] == b"lock.acquire()"
    assert before[finding.end : finding.end + 4] == b'\\n",'


def test_a_comment_excuses_a_finding() -> None:
    cell = CELL.replace(
        "lock.acquire()", "lock.acquire()  # threadmend:ignore lock-without-with -- a demonstration"
    )
    assert not check(project_of(notebook(cell)), options()).findings


def test_what_is_added_behind_a_cell_stays_in_it() -> None:
    book = read("a.ipynb", notebook("def f():\n    a()", "b()"))
    assert book.data == b"def f():\n    a()\n\nb()\n\n"
    from threadmend.model import Edit

    edit = book.edit(Edit("a.ipynb", 17, 17, b"    c()\n"))
    text = notebook("def f():\n    a()", "b()")
    after = text[: edit.start] + edit.new + text[edit.end :]
    assert code_of(after) == ["def f():\n    a()\n    c()", "b()"]


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("%time f()\nx", "0#ime f()\nx"),
        ("if x:\n    !ls", "if x:\n    0#s"),
        ("a = !ls -l", "a = 0#s -l"),
        ("len?", "0#n?"),
        ("%%bash\nfor x; do", "######\n#########"),
        ("%%time\nf(1)", "0#time\nf(1)"),
        ('x = ("a"\n  % b)', 'x = ("a"\n  % b)'),
        ("a != b", "a != b"),
        ("def f(:\n  ä", "#######\n####"),
    ],
)
def test_magics_are_masked_in_place(code: str, wanted: str) -> None:
    assert masked(code.encode()).decode() == wanted
    ast.parse(wanted)


def test_a_cell_that_is_no_python_costs_the_others_nothing() -> None:
    before = notebook("print 'x'", CELL, "for:")
    after = fix(project_of(before), options()).after["a.ipynb"]
    assert after is not None
    assert code_of(after)[::2] == ["print 'x'", "for:"]
    assert "    with lock:\n" in code_of(after)[1]


def test_an_import_that_magics_may_use_stays() -> None:
    cells = ("import asyncio, time", "async def f():\n    time.sleep(1)", "%timeit time.sleep(0)")
    after = fix(project_of(notebook(*cells)), options("python/async-blocking")).after["a.ipynb"]
    assert after is not None
    assert code_of(after) == [cells[0], "async def f():\n    await asyncio.sleep(1)", cells[2]]


def test_the_value_of_a_cell_is_held() -> None:
    cells = ("import asyncio", "asyncio.create_task(work())")
    assert not check(project_of(notebook(*cells)), options("python/task-dropped")).findings


@pytest.mark.parametrize("text", [b"", b"[]", b'{"cells": [{"source": []}]}', b'{"cells": ["x]}'])
def test_what_is_no_notebook_is_left_alone(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        read("a.ipynb", text)
