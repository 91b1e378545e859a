"""Signatures, calls, and values that become pointers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from builders_cases import Case, body, node, not_gofmt, result, tree_of

from threadmend.golang.builders import (
    BuilderError,
    add_argument,
    add_parameter,
    address,
    parameters,
    realign,
    remove_argument,
    remove_parameter,
)
from threadmend.golang.syntax import Node
from threadmend.model import Edit


def signature(
    name: str, before: str, build: Callable[[Node], Iterable[Edit]], after: str, rest: str = " {\n}"
) -> Case:
    return Case(
        f"{before}: {name}",
        f"package p\n\nfunc f{before}{rest}\n",
        lambda t: realign(t, build(t.declarations[1].node)),
        f"package p\n\nfunc f{after}{rest}\n",
    )


def call(name: str, before: str, build: Callable[[Node], Iterable[Edit]], after: str) -> Case:
    return Case(
        f"{before}: {name}",
        body(before),
        lambda t: realign(
            t,
            build(node(t, before.split("\n")[0], "call_expression", "type_conversion_expression")),
        ),
        body(after),
    )


def method(name: str, before: str, build: Callable[[Node], Iterable[Edit]], after: str) -> Case:
    return Case(
        f"{before}: {name}",
        f"package p\n\ntype I interface {{\n\tm{before}\n}}\n",
        lambda t: build(node(t, "m(", "method_elem")),
        f"package p\n\ntype I interface {{\n\tm{after}\n}}\n",
    )


def addressed(before: str, after: str) -> Case:
    return Case(
        f"address: {before}",
        body(f"f({before})"),
        lambda t: address(node(t, f"({before})", "argument_list").children[0]),
        body(f"f({after})"),
    )


OPERATORS = [
    ("a + b", "a+b"),
    ("a*b + c", "a*b+c"),
    ("a == b+c", "a == b+c"),
    ("a + b + c", "a+b+c"),
    ("(a + b) * c", "(a+b)*c"),
    ("h(a + b)", "h(a+b)"),
    ("x[a+b]", "x[a+b]"),
    ("a / *b", "a / *b"),
    ("-(a + b)", "-(a + b)"),
    ("func() { x = a + b }", "func() { x = a + b }"),
    ("T{a + b}", "T{a + b}"),
    ("a || b && c+d > e", "a || b && c+d > e"),
    ("string(a + b)", "string(a+b)"),
    ("(a + b).c", "(a + b).c"),
    ("1<<a - 1", "1<<a-1"),
]
CTX = ("ctx", "context.Context")
LINES = "(\n\ta int,\n\tb string,\n)"
CASES = [
    signature("add", "()", lambda f: add_parameter(f, *CTX), "(ctx context.Context)"),
    signature("add last", "(a int)", lambda f: add_parameter(f, "b", "T"), "(a int, b T)"),
    signature(
        "add first",
        "(a int)",
        lambda f: add_parameter(f, *CTX, index=0),
        "(ctx context.Context, a int)",
    ),
    signature(
        "add first of a group",
        "(a, b int)",
        lambda f: add_parameter(f, "x", "T", index=0),
        "(x T, a, b int)",
    ),
    signature(
        "add into a group",
        "(a, b int)",
        lambda f: add_parameter(f, "x", "T", index=1),
        "(a int, x T, b int)",
    ),
    signature(
        "add before variadic", "(a ...int)", lambda f: add_parameter(f, "x", "T"), "(x T, a ...int)"
    ),
    signature(
        "add to unnamed",
        "(int, ...T)",
        lambda f: add_parameter(f, "x", "U", index=0),
        "(x U, _ int, _ ...T)",
    ),
    signature(
        "add to lines",
        LINES,
        lambda f: add_parameter(f, "x", "T"),
        "(\n\ta int,\n\tb string,\n\tx T,\n)",
    ),
    signature(
        "add first to lines",
        LINES,
        lambda f: add_parameter(f, "x", "T", index=0),
        "(\n\tx T,\n\ta int,\n\tb string,\n)",
    ),
    signature(
        "add to two lines",
        "(a int,\n\tb string)",
        lambda f: add_parameter(f, "x", "T"),
        "(a int,\n\tb string, x T)",
    ),
    signature(
        "add among comments",
        "(\n\t// of a\n\ta int, // a\n)",
        lambda f: add_parameter(f, "x", "T"),
        "(\n\t// of a\n\ta int, // a\n\tx T,\n)",
    ),
    method("add", "()", lambda f: add_parameter(f, *CTX), "(ctx context.Context)"),
    method("add unnamed", "(int)", lambda f: add_parameter(f, *CTX), "(int, context.Context)"),
    signature("remove", "(a T)", lambda f: remove_parameter(f, 0), "()"),
    signature("remove first", "(a T, b U)", lambda f: remove_parameter(f, 0), "(b U)"),
    signature("remove last", "(a T, b U)", lambda f: remove_parameter(f, 1), "(a T)"),
    signature("remove of group", "(a, b, c T)", lambda f: remove_parameter(f, 1), "(a T, c T)"),
    signature("remove a line", LINES, lambda f: remove_parameter(f, 0), "(\n\tb string,\n)"),
    signature("remove last line", LINES, lambda f: remove_parameter(f, 1), "(\n\ta int,\n)"),
    call("add", "g()", lambda c: add_argument(c, "ctx"), "g(ctx)"),
    call("add first", "g(a, b...)", lambda c: add_argument(c, "ctx"), "g(ctx, a, b...)"),
    call("add last", "g(a)", lambda c: add_argument(c, "b", index=1), "g(a, b)"),
    call(
        "add to lines",
        "g(\n\ta,\n\tb,\n)",
        lambda c: add_argument(c, "ctx"),
        "g(\n\tctx,\n\ta,\n\tb,\n)",
    ),
    call(
        "add last to lines",
        "g(\n\ta,\n\tb, // b\n)",
        lambda c: add_argument(c, "c", index=2),
        "g(\n\ta,\n\tb, // b\n\tc,\n)",
    ),
    call(
        "add before a literal",
        "g(func() {\n\tx()\n})",
        lambda c: add_argument(c, "a"),
        "g(a, func() {\n\tx()\n})",
    ),
    call("add to a generic", "g[int](a)", lambda c: add_argument(c, "ctx"), "g[int](ctx, a)"),
    *(
        call("operators", f"g({one})", lambda c: add_argument(c, "x"), f"g(x, {two})")
        for one, two in OPERATORS
    ),
    *(
        call("operators back", f"g(x, {two})", lambda c: remove_argument(c, 0), f"g({one})")
        for one, two in OPERATORS
    ),
    Case(
        "operators below another call of two",
        body("h(1, g(a+b))"),
        lambda t: add_argument(node(t, "g(", "call_expression"), "x"),
        body("h(1, g(x, a+b))"),
    ),
    Case(
        "operators in two values",
        body("a, b = g(a+b), c"),
        lambda t: add_argument(node(t, "g(", "call_expression"), "x"),
        body("a, b = g(x, a+b), c"),
    ),
    Case(
        "operators in the receiver",
        body("g(a + b).h(c)"),
        lambda t: add_argument(node(t, "g(a", "call_expression"), "x"),
        body("g(a+b).h(x, c)"),
    ),
    call("remove", "g(a)", lambda c: remove_argument(c, 0), "g()"),
    call("remove first", "g(a, b)", lambda c: remove_argument(c, 0), "g(b)"),
    call("remove last", "g(a, b)", lambda c: remove_argument(c, 1), "g(a)"),
    call(
        "remove a line",
        "g(\n\ta,\n\tb, // b\n)",
        lambda c: remove_argument(c, 0),
        "g(\n\tb, // b\n)",
    ),
    call("remove the only line", "g(\n\ta,\n)", lambda c: remove_argument(c, 0), "g()"),
    addressed("x", "&x"),
    addressed("*p", "p"),
    addressed("(*p)", "p"),
    addressed("*p.q", "p.q"),
    addressed("x.y", "&x.y"),
    addressed("x[1]", "&x[1]"),
    addressed("T{1}", "&T{1}"),
    addressed("*f()", "f()"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_edit(case: Case) -> None:
    assert result(case) == case.after
    assert not tree_of(case.after).errors


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_gofmt_is_silent(tmp_path: Path) -> None:
    assert not_gofmt({c.name: result(c).encode() for c in CASES}, tmp_path) == {}


def test_parameters() -> None:
    tree = tree_of("package p\n\nfunc f(a, b int, _ string, c ...T) {\n}\n")
    listed = parameters(tree.declarations[1].node)
    assert [p.name.name if p.name else None for p in listed] == ["a", "b", "_", "c"]
    assert [p.type.name for p in listed] == ["int", "int", "string", "T"]
    assert [p.variadic for p in listed] == [False, False, False, True]


@pytest.mark.parametrize(
    "build",
    [
        lambda n: address(n("g()", "call_expression")),
        lambda n: address(n("a + b", "binary_expression")),
        lambda n: add_argument(n("h(", "call_expression"), "x", index=1),
        lambda n: add_argument(n("g()", "call_expression"), "x", index=1),
        lambda n: add_argument(n("a + b", "binary_expression"), "x"),
        lambda n: remove_argument(n("i(", "call_expression"), 1),
    ],
)
def test_refused(build: Callable[[Callable[..., Node]], object]) -> None:
    tree = tree_of(body("g()\nx = a + b\nh(c...)\ni(a, d(1 /* one */))"))
    with pytest.raises(BuilderError):
        build(lambda text, *kinds: node(tree, text, *kinds))
