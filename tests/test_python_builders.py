"""Edits of Python files: what they write, in every style of file."""

from __future__ import annotations

import ast

import pytest
from python_cases import after, expression, file_of, statement

from threadmend.python.builders import (
    BuilderError,
    add_attribute,
    add_import,
    add_variable,
    delete,
    insert_after,
    insert_at_start,
    insert_before,
    reference,
    replace,
    section_to_with,
    unwrap,
    wrap,
)

TABBED = "def f():\r\n\ta()\r\n\tif x:\r\n\t\tb()\r\n"


def test_insert_writes_the_indentation_and_line_ending_of_the_file() -> None:
    file = file_of(TABBED)
    edits = insert_before(file, statement(file, "b()"), "if y:\n    c()")
    assert after(file, edits) == TABBED.replace("\t\tb()", "\t\tif y:\r\n\t\t\tc()\r\n\t\tb()")


def test_insert_after_goes_behind_the_comment_and_supplies_a_missing_line_ending() -> None:
    file = file_of("def f():\n  a()  # why")
    assert after(file, insert_after(file, statement(file, "a()"), "b()")) == (
        "def f():\n  a()  # why\n  b()"
    )


def test_insert_at_start_respects_the_docstring() -> None:
    file = file_of('def f():\n    """Doc."""\n    a()\n')
    block = file.functions[0].body
    assert '"""Doc."""\n    b()\n    a()' in after(file, insert_at_start(file, block, "b()"))


@pytest.mark.parametrize("text", ["a(); b()\n", "if x: b()\n"])
def test_insert_refuses_lines_that_are_shared(text: str) -> None:
    file = file_of(text)
    with pytest.raises(BuilderError):
        insert_before(file, statement(file, "b()"), "c()")


def test_wrap_indents_comments_but_not_the_inside_of_strings() -> None:
    file = file_of('def f():\n    a = """x\ny"""\n    # c\n\n    b(1,\n      2)\n    d()\n')
    block = file.functions[0].body[:2]
    assert after(file, wrap(file, block, "with lock:")) == (
        'def f():\n    with lock:\n        a = """x\ny"""\n        # c\n\n'
        "        b(1,\n          2)\n    d()\n"
    )


def test_unwrap_moves_lines_out_but_not_the_inside_of_strings() -> None:
    file = file_of('if x:\n\twith a:\n\t\t# c\n\t\tb = """x\n\t\ty"""\n\n\t\td()  # e\n\tf()\n')
    block = file.nodes(ast.With)[0]
    assert after(file, unwrap(file, block)) == (
        'if x:\n\t# c\n\tb = """x\n\t\ty"""\n\n\td()  # e\n\tf()\n'
    )


@pytest.mark.parametrize("text", ["with a: b()\n", "with a:  # why\n    b()\n"])
def test_unwrap_refuses_headers_that_share_their_line(text: str) -> None:
    file = file_of(text)
    with pytest.raises(BuilderError):
        unwrap(file, file.nodes(ast.With)[0])


def test_wrap_with_a_footer() -> None:
    file = file_of("a()\nb()\n")
    edits = wrap(file, [statement(file, "b()")], "try:", "finally:\n    c()")
    assert after(file, edits) == "a()\ntry:\n    b()\nfinally:\n    c()\n"


def test_delete_takes_the_comment_above_and_leaves_pass_in_an_empty_block() -> None:
    file = file_of("def f():\n    # about b\n    b()  # b\n    a()\n")
    assert after(file, delete(file, statement(file, "b()"))) == "def f():\n    a()\n"
    file = file_of("def f():\n    b()\n")
    assert after(file, delete(file, statement(file, "b()"))) == "def f():\n    pass\n"
    file = file_of("a(); b(); c()\n")
    assert after(file, delete(file, statement(file, "b()"))) == "a(); c()\n"
    assert after(file, delete(file, statement(file, "c()"))) == "a(); b()\n"


def test_replace_puts_parentheses_where_they_are_needed() -> None:
    file = file_of("x = a.b\ny = (c) * 2\nz = f(d)\n")
    assert "x = (p or q).b" in after(file, replace(file, expression(file, "a"), "p or q"))
    assert "y = (p + q) * 2" in after(file, replace(file, expression(file, "c"), "p + q"))
    assert "z = f(p or q)" in after(file, replace(file, expression(file, "d"), "p or q"))


def test_positions_survive_encodings_marks_and_wide_letters() -> None:
    latin = "# coding: latin-1\nä = 'é'; lock.acquire()\n".encode("latin-1")
    file = file_of(latin)
    assert file.text(file.calls("acquire")[0]) == "lock.acquire()"
    file = file_of(b"\xef\xbb\xbf" + "x = '\u20ac'; f()\r\n\x0cg()\r\n".encode())
    assert [file.text(call) for call in file.calls()] == ["f()", "g()"]
    file = file_of(b"a()\rb()\r\nc()\n")
    assert [file.text(call) for call in file.calls()] == ["a()", "b()", "c()"]


FUTURE = '"""Doc."""\nfrom __future__ import annotations\n\nimport os\nimport time\n\nimport b\n'


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("x = 1\n", "import threading\n\nx = 1\n"),
        (
            '#!/usr/bin/python\n"""Doc."""\nx = 1\n',
            '#!/usr/bin/python\n"""Doc."""\n\nimport threading\n\nx = 1\n',
        ),
        (FUTURE, FUTURE.replace("import time", "import threading\nimport time")),
        ("from a import b\nx = 1\n", "import threading\nfrom a import b\nx = 1\n"),
    ],
)
def test_add_import(before: str, wanted: str) -> None:
    file = file_of(before)
    assert after(file, add_import(file, "import threading")) == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("import threading\nx\n", "threading.Lock"),
        ("import threading as t\nx\n", "t.Lock"),
        ("from threading import Lock as L\nx\n", "L"),
        ("from threading import Event, Thread\nx\n", "Lock"),
        ("x\n", "threading.Lock"),
    ],
)
def test_reference(before: str, wanted: str) -> None:
    file = file_of(before)
    text, edits = reference(file, "threading.Lock", statement(file, "x"))
    assert text == wanted
    if "Event" in before:
        assert "from threading import Event, Lock, Thread" in after(file, edits)


def test_add_attribute_stands_where_everything_may_use_it() -> None:
    file = file_of(
        "class A(B):\n    def __init__(self):\n        super().__init__()\n        f()\n"
    )
    assert "__init__()\n        self.l = L()\n        f()" in after(
        file, add_attribute(file.classes[0], "l", "L()")
    )
    file = file_of("class A:\n    x = 1\n\n    def m(self):\n        f()\n")
    assert after(file, add_attribute(file.classes[0], "l", "L()")) == (
        "class A:\n    x = 1\n\n    def __init__(self):\n        self.l = L()\n\n"
        "    def m(self):\n        f()\n"
    )


def test_add_variable_goes_above_the_function_that_needs_it() -> None:
    file = file_of("import a\n\n\n@deco\ndef f():\n    g()\n")
    edits = add_variable(file, "LOCK = a.Lock()", statement(file, "g()"))
    assert after(file, edits) == ("import a\n\n\nLOCK = a.Lock()\n\n\n@deco\ndef f():\n    g()\n")


def test_section_to_with_keeps_comments() -> None:
    file = file_of(
        "import threading\nlock = threading.Lock()\n"
        "lock.acquire()  # first\n# second\na()\n\nlock.release()  # third\nb()\n"
    )
    assert after(file, section_to_with(file, file.sections[0])).endswith(
        "with lock:  # first\n    # second\n    a()\n\n    # third\nb()\n"
    )
