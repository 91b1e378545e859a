"""Statements: every edit gives what gofmt would write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders_cases import Build, Case, body, node, not_gofmt, result, statement, tree_of

from threadmend.golang.builders import (
    BuilderError,
    applied,
    delete,
    insert_after,
    insert_at_end,
    insert_at_start,
    insert_before,
    move_before,
    replace,
    wrap,
)


def case(name: str, before: str, build: Build, after: str) -> Case:
    return Case(name, body(before), build, body(after))


INSERT = [
    case(
        "before", "a()\nb()", lambda t: insert_before(statement(t, "b()"), "x()"), "a()\nx()\nb()"
    ),
    case(
        "before the first", "a()", lambda t: insert_before(statement(t, "a()"), "x()"), "x()\na()"
    ),
    case(
        "before, above its comment",
        "a()\n// about b\nb()",
        lambda t: insert_before(statement(t, "b()"), "x()"),
        "a()\nx()\n// about b\nb()",
    ),
    case(
        "before, below a comment that stands apart",
        "a()\n// section\n\nb()",
        lambda t: insert_before(statement(t, "b()"), "x()"),
        "a()\n// section\n\nx()\nb()",
    ),
    case(
        "before, not above a comment at the end of the line above",
        "a() // about a\nb()",
        lambda t: insert_before(statement(t, "b()"), "x()"),
        "a() // about a\nx()\nb()",
    ),
    case(
        "before, above a block comment",
        "a()\n/* about\n   b */\nb()",
        lambda t: insert_before(statement(t, "b()"), "x()"),
        "a()\nx()\n/* about\n   b */\nb()",
    ),
    case("after", "a()\nb()", lambda t: insert_after(statement(t, "a()"), "x()"), "a()\nx()\nb()"),
    case(
        "after, below the comment of its line",
        "a() // about a\n\nb()",
        lambda t: insert_after(statement(t, "a()"), "x()"),
        "a() // about a\nx()\n\nb()",
    ),
    case(
        "after many lines",
        "a(func() {\n\tc()\n})\nb()",
        lambda t: insert_after(statement(t, "a("), "x()"),
        "a(func() {\n\tc()\n})\nx()\nb()",
    ),
    case(
        "many lines, a raw string untouched",
        "a()",
        lambda t: insert_after(statement(t, "a()"), "if x {\n\ty(`\nz`)\n}\n\nw()"),
        "a()\nif x {\n\ty(`\nz`)\n}\n\nw()".replace("\nz", "\n\0z"),
    ),
    case(
        "at the start",
        "a()",
        lambda t: insert_at_start(node(t, "{", "block"), "x()"),
        "x()\na()",
    ),
    case(
        "at the end, below comments",
        "a()\n// last",
        lambda t: insert_at_end(node(t, "{", "block"), "x()"),
        "a()\n// last\nx()",
    ),
    case(
        "at the start of an empty if",
        "if x {\n}",
        lambda t: insert_at_start(node(t, "{\n\t}", "block"), "y()"),
        "if x {\n\ty()\n}",
    ),
    case(
        "at the start below the comment of the brace",
        "if x { // when x\n\ta()\n}",
        lambda t: insert_at_start(node(t, "{ //", "block"), "y()"),
        "if x { // when x\n\ty()\n\ta()\n}",
    ),
    case(
        "at the end of an if with else",
        "if x {\n\ta()\n} else if z {\n\tb()\n} else {\n\tc()\n}",
        lambda t: insert_at_end(node(t, "{\n\t\tb()", "block"), "y()"),
        "if x {\n\ta()\n} else if z {\n\tb()\n\ty()\n} else {\n\tc()\n}",
    ),
    case(
        "before the whole if from inside its header",
        "if err := g(); err != nil {\n\ta()\n}",
        lambda t: insert_before(node(t, "err := g()").statement, "x()"),
        "x()\nif err := g(); err != nil {\n\ta()\n}",
    ),
    case(
        "in a case",
        "switch x {\ncase 1:\n\ta()\n\ncase 2:\n\tb()\n}",
        lambda t: insert_after(statement(t, "a()"), "x()"),
        "switch x {\ncase 1:\n\ta()\n\tx()\n\ncase 2:\n\tb()\n}",
    ),
    case(
        "at the end of a case, above the comment of the next",
        "switch x {\ncase 1:\n\ta()\n// two\ncase 2:\n\tb()\n}",
        lambda t: insert_at_end(node(t, "case 1"), "x()"),
        "switch x {\ncase 1:\n\ta()\n\tx()\n// two\ncase 2:\n\tb()\n}",
    ),
    case(
        "at the start of an empty case",
        "select {\ncase <-ch:\ndefault:\n}",
        lambda t: insert_at_start(node(t, "case <-ch"), "return"),
        "select {\ncase <-ch:\n\treturn\ndefault:\n}",
    ),
    case(
        "at the end of default",
        "switch y := x.(type) {\ncase map[string]int: // m: n\ndefault:\n\ta(y)\n}",
        lambda t: (
            *insert_at_end(node(t, "default"), "z()"),
            *insert_at_end(node(t, "case map"), "w()"),
        ),
        "switch y := x.(type) {\ncase map[string]int: // m: n\n\tw()\ndefault:\n\ta(y)\n\tz()\n}",
    ),
]
LABELS = [
    Case(
        "before a label",
        "package p\n\nfunc f() {\n\ta()\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
        lambda t: insert_before(node(t, "for", "for_statement"), "x()"),
        "package p\n\nfunc f() {\n\ta()\n\tx()\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
    ),
    Case(
        "after a labelled statement",
        "package p\n\nfunc f() {\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
        lambda t: insert_after(node(t, "for", "for_statement"), "x()"),
        "package p\n\nfunc f() {\nl:\n\tfor {\n\t\tbreak l\n\t}\n\tx()\n}\n",
    ),
    Case(
        "at the start above a label",
        "package p\n\nfunc f() {\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
        lambda t: insert_at_start(node(t, "{", "block"), "x()"),
        "package p\n\nfunc f() {\n\tx()\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
    ),
    Case(
        "wrap with a label",
        "package p\n\nfunc f() {\n\ta()\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
        lambda t: wrap([statement(t, "l:")], "if x {"),
        "package p\n\nfunc f() {\n\ta()\n\tif x {\n\tl:\n\t\tfor {\n\t\t\tbreak l\n\t\t}\n\t}\n}\n",
    ),
    Case(
        "delete with the label",
        "package p\n\nfunc f() {\n\ta()\n\nl:\n\tfor {\n\t\tbreak l\n\t}\n}\n",
        lambda t: delete(statement(t, "l:")),
        "package p\n\nfunc f() {\n\ta()\n}\n",
    ),
]
ONE_LINE = [
    case(
        "one line: before",
        "go func() { wg.Add(1); g() }()",
        lambda t: insert_before(statement(t, "wg.Add"), "x()"),
        "go func() {\n\tx()\n\twg.Add(1)\n\tg()\n}()",
    ),
    case(
        "one line: at the start",
        "go func() { g() }()",
        lambda t: insert_at_start(node(t, "{ g", "block"), "defer wg.Done()"),
        "go func() {\n\tdefer wg.Done()\n\tg()\n}()",
    ),
    case(
        "one line: at the end, comment kept",
        "go func() { g() /* why */ }()",
        lambda t: insert_at_end(node(t, "{ g", "block"), "wg.Done()"),
        "go func() {\n\tg() /* why */\n\twg.Done()\n}()",
    ),
    case(
        "one line: empty",
        "go func() {}()",
        lambda t: insert_at_end(node(t, "{}", "block"), "wg.Done()"),
        "go func() {\n\twg.Done()\n}()",
    ),
    case(
        "one line: opens the one around it",
        "g(func() { go func() { h() }(); i() })",
        lambda t: insert_at_start(node(t, "{ h", "block"), "x()"),
        "g(func() {\n\tgo func() {\n\t\tx()\n\t\th()\n\t}()\n\ti()\n})",
    ),
    case(
        "one line: delete the first",
        "go func() { wg.Add(1); g() }()",
        lambda t: delete(statement(t, "wg.Add")),
        "go func() { g() }()",
    ),
    case(
        "one line: delete the last",
        "go func() { g(); wg.Done() }()",
        lambda t: delete(statement(t, "wg.Done")),
        "go func() { g() }()",
    ),
    case(
        "one line: delete the only",
        "go func() { wg.Done() }()",
        lambda t: delete(statement(t, "wg.Done")),
        "go func() {}()",
    ),
    case(
        "one line: move out",
        "x()\ngo func() { wg.Add(1); g() }()",
        lambda t: move_before(statement(t, "wg.Add"), statement(t, "go")),
        "x()\nwg.Add(1)\ngo func() { g() }()",
    ),
    case(
        "one line: move within",
        "go func() { a(); b(); c() }()",
        lambda t: move_before(statement(t, "c()"), statement(t, "a()")),
        "go func() { c(); a(); b() }()",
    ),
    case(
        "one line: move backwards within",
        "go func() { a(); b(); c() }()",
        lambda t: move_before(statement(t, "a()"), statement(t, "c()")),
        "go func() { b(); a(); c() }()",
    ),
    case(
        "one line: wrap",
        "go func() { a(); b(); c() }()",
        lambda t: wrap([statement(t, "a()"), statement(t, "b()")], "if x {"),
        "go func() {\n\tif x {\n\t\ta()\n\t\tb()\n\t}\n\tc()\n}()",
    ),
    case(
        "one line: replace by lines",
        "go func() { a(); b() }()",
        lambda t: replace(statement(t, "a()"), "if x {\n\ta()\n}"),
        "go func() {\n\tif x {\n\t\ta()\n\t}\n\tb()\n}()",
    ),
    case(
        "one line: replace by a line with a comment",
        "go func() { a(); b() }()",
        lambda t: replace(statement(t, "b()"), "c() // why"),
        "go func() {\n\ta()\n\tc() // why\n}()",
    ),
    case(
        "one line: replace on the line",
        "go func() { a(); b() }()",
        lambda t: replace(statement(t, "a()"), "z()"),
        "go func() { z(); b() }()",
    ),
    case(
        "one line on a continuation line",
        "g(a,\n\tfunc() { b() })",
        lambda t: insert_at_end(node(t, "{ b", "block"), "c()"),
        "g(a,\n\tfunc() {\n\t\tb()\n\t\tc()\n\t})",
    ),
]
DELETE = [
    case("delete", "a()\nb()\nc()", lambda t: delete(statement(t, "b()")), "a()\nc()"),
    case("delete first", "a()\n\nb()", lambda t: delete(statement(t, "a()")), "b()"),
    case("delete last", "a()\n\nb()", lambda t: delete(statement(t, "b()")), "a()"),
    case(
        "delete between", "a()\n\nb()\n\nc()", lambda t: delete(statement(t, "b()")), "a()\n\nc()"
    ),
    case(
        "delete above blank", "a()\nb()\n\nc()", lambda t: delete(statement(t, "b()")), "a()\n\nc()"
    ),
    case(
        "delete below blank", "a()\n\nb()\nc()", lambda t: delete(statement(t, "b()")), "a()\n\nc()"
    ),
    case(
        "delete, comment of its line kept",
        "a()\nb() // why\nc()",
        lambda t: delete(statement(t, "b()")),
        "a()\n// why\nc()",
    ),
    case(
        "delete, inner comments kept",
        "a()\nb(func() {\n\t// in\n\tx() // out\n})\nc()",
        lambda t: delete(statement(t, "b(")),
        "a()\n// in\n// out\nc()",
    ),
    case(
        "delete, comments above kept",
        "a()\n\n// why\nb()\nc()",
        lambda t: delete(statement(t, "b()")),
        "a()\n\n// why\nc()",
    ),
    case(
        "delete with comments",
        "a()\n\n// why\n// so\nb() // too\n\nc()",
        lambda t: delete(statement(t, "b()"), comments="drop"),
        "a()\n\nc()",
    ),
    case(
        "delete at the end of a case",
        "switch x {\ncase 1:\n\ta()\n\n\tb()\ncase 2:\n}",
        lambda t: delete(statement(t, "b()")),
        "switch x {\ncase 1:\n\ta()\ncase 2:\n}",
    ),
    case(
        "delete the only one of a case",
        "switch x {\ncase 1:\n\ta()\n\ncase 2:\n}",
        lambda t: delete(statement(t, "a()")),
        "switch x {\ncase 1:\n\ncase 2:\n}",
    ),
    case(
        "delete the last of a case above a blank line",
        "switch x {\ncase 1:\n\ta()\n\n\tb()\n\ncase 2:\n}",
        lambda t: delete(statement(t, "b()")),
        "switch x {\ncase 1:\n\ta()\n\ncase 2:\n}",
    ),
    case(
        "delete the only one",
        "if x {\n\ta()\n}",
        lambda t: delete(statement(t, "a()")),
        "if x {\n}",
    ),
    case(
        "delete above a last comment",
        "a()\nb()\n// end",
        lambda t: delete(statement(t, "b()")),
        "a()\n// end",
    ),
]
CHANGE = [
    case("replace", "a()", lambda t: replace(statement(t, "a()"), "b()"), "b()"),
    case(
        "replace by lines, its comment stays",
        "a() // why",
        lambda t: replace(statement(t, "a()"), "if x {\n\ta()\n}"),
        "if x {\n\ta()\n} // why",
    ),
    case(
        "replace an expression",
        "if x(1) {\n\ty()\n}",
        lambda t: replace(node(t, "x(1)"), "z(2)"),
        "if z(2) {\n\ty()\n}",
    ),
    case(
        "replace an expression by lines",
        "g(a)",
        lambda t: replace(node(t, "a", "identifier"), "func() {\n\tx()\n}"),
        "g(func() {\n\tx()\n})",
    ),
    case(
        "replace with its comment",
        "a(func() {\n\t// in\n\tx()\n})",
        lambda t: replace(statement(t, "a("), "b(func() {\n\t// in\n\tx()\n})"),
        "b(func() {\n\t// in\n\tx()\n})",
    ),
    case(
        "move up",
        "a()\n\n// about b\nb() // b\nc()",
        lambda t: move_before(statement(t, "b()"), statement(t, "a()")),
        "// about b\nb() // b\na()\n\nc()",
    ),
    case(
        "move down",
        "a()\nb()\nc()",
        lambda t: move_before(statement(t, "a()"), statement(t, "c()")),
        "b()\na()\nc()",
    ),
    case(
        "move to where it is",
        "a()\nb()",
        lambda t: move_before(statement(t, "a()"), statement(t, "b()")),
        "a()\nb()",
    ),
    case(
        "move out, raw string untouched",
        "go func() {\n\twg.Add(len(`\n\tx`))\n\n\tg()\n}()".replace("\n\tx", "\n\0\tx"),
        lambda t: move_before(statement(t, "wg.Add"), statement(t, "go")),
        "wg.Add(len(`\n\tx`))\ngo func() {\n\tg()\n}()".replace("\n\tx", "\n\0\tx"),
    ),
    case(
        "move in",
        "a(func() {\n\tb()\n})\nif x {\n\ty()\n}",
        lambda t: move_before(statement(t, "a("), statement(t, "y()")),
        "if x {\n\ta(func() {\n\t\tb()\n\t})\n\ty()\n}",
    ),
    case(
        "wrap",
        "a()\n// b\nb() // b\n\nc()\nd()",
        lambda t: wrap([statement(t, "b()"), statement(t, "c()")], "for x {"),
        "a()\nfor x {\n\t// b\n\tb() // b\n\n\tc()\n}\nd()",
    ),
    case(
        "wrap in lines, raw string untouched",
        "a(`\nx`)".replace("\nx", "\n\0x"),
        lambda t: wrap([statement(t, "a(")], "go func() {\n\tdefer g()", "}()"),
        "go func() {\n\tdefer g()\n\ta(`\nx`)\n}()".replace("\nx", "\n\0x"),
    ),
    case(
        "wrap a case's statements",
        "switch {\ncase x:\n\ta()\n\tb()\n\ncase y:\n}",
        lambda t: wrap([statement(t, "a()"), statement(t, "b()")], "if z {"),
        "switch {\ncase x:\n\tif z {\n\t\ta()\n\t\tb()\n\t}\n\ncase y:\n}",
    ),
]
CASES = [
    Case(c.name, c.before.replace("\t\0", ""), c.build, c.after.replace("\t\0", ""))
    for c in [*INSERT, *LABELS, *ONE_LINE, *DELETE, *CHANGE]
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_edit(case: Case) -> None:
    assert result(case) == case.after
    assert not tree_of(case.after).errors


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_gofmt_is_silent(tmp_path: Path) -> None:
    assert not_gofmt({c.name: result(c).encode() for c in CASES}, tmp_path) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_crlf(case: Case) -> None:
    crlf = case._replace(before=case.before.replace("\n", "\r\n"))
    if "`" in case.before or "`" in case.after:
        return
    tree = tree_of(crlf.before)
    try:
        text = applied(tree.data, case.build(tree)).decode()
    except AssertionError:  # the case looks for a text with a line break
        return
    assert text == case.after.replace("\n", "\r\n")


@pytest.mark.parametrize(
    "build",
    [
        lambda t: insert_before(node(t, "err := g()"), "x()"),
        lambda t: delete(node(t, "i := 0", "short_var_declaration")),
        lambda t: insert_after(node(t, "v := <-ch", "receive_statement"), "x()"),
        lambda t: delete(node(t, "if b", "if_statement")),
        lambda t: insert_before(node(t, "i++", "inc_statement"), "x()"),
        lambda t: replace(statement(t, "h("), "i()"),
        lambda t: delete(statement(t, "j()")),
        lambda t: move_before(statement(t, "for"), statement(t, "k()")),
        lambda t: wrap([statement(t, "k()"), statement(t, "h(")], "if x {"),
        lambda t: insert_at_start(node(t, "h(1", "call_expression"), "x()"),
    ],
)
def test_refused(build: Build) -> None:
    tree = tree_of(
        body(
            "if err := g(); a {\n} else if b {\n}\nfor i := 0; ; i++ {\n\tk()\n}\n"
            "select {\ncase v := <-ch:\n}\nh(1, // one\n\t2)\ngo func() { j() /* j */ }()"
        )
    )
    with pytest.raises(BuilderError):
        build(tree)
