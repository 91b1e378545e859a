"""Struct fields and columns: what gofmt aligns stays aligned."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from builders_cases import Case, body, node, not_gofmt, result, statement, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st

from threadmend.golang.builders import (
    BuilderError,
    add_field,
    applied,
    change_field_type,
    composed,
    delete,
    fields,
    insert_after,
    insert_before,
    realign,
    remove_element,
    remove_field,
    replace,
)
from threadmend.golang.builders.tabwriter import Cell, column_widths
from threadmend.golang.syntax import Node, SyntaxTree
from threadmend.model import Edit

needs_gofmt = pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")


def struct(t: SyntaxTree) -> Node:
    return node(t, "struct", "struct_type")


def add(name: str, old: str, new: str, field: str, type_: str, **more: Any) -> Case:
    """A case of add_field; `before=0` and `after=0` are indexes of fields."""

    def build(t: SyntaxTree) -> tuple[Edit, ...]:
        places = {
            k: fields(struct(t))[v] if isinstance(v, int) and k != "blank_line" else v
            for k, v in more.items()
        }
        return realign(t, add_field(struct(t), field, type_, **places))

    return Case(name, f"package p\n\ntype S {old}\n", build, f"package p\n\ntype S {new}\n")


def retype(name: str, before: str, after: str, index: int, type_: str) -> Case:
    return Case(
        name,
        f"package p\n\ntype S {before}\n",
        lambda t: realign(t, change_field_type(fields(struct(t))[index], type_)),
        f"package p\n\ntype S {after}\n",
    )


def lines(name: str, before: str, build: Any, after: str) -> Case:
    return Case(name, body(before), lambda t: realign(t, build(t)), body(after))


FIELDS = [
    add("empty", "struct{}", "struct {\n\tmu sync.Mutex\n}", "mu", "sync.Mutex"),
    add("empty on lines", "struct {\n}", "struct {\n\tmu sync.Mutex\n}", "mu", "sync.Mutex"),
    add(
        "empty with a comment",
        "struct {\n\t// none\n}",
        "struct {\n\t// none\n\ta int\n}",
        "a",
        "int",
    ),
    add("one line", "struct{ n int }", "struct {\n\tn   int\n\tabc T\n}", "abc", "T"),
    add(
        "one line, before",
        "struct{ n int }",
        "struct {\n\tabc T\n\tn   int\n}",
        "abc",
        "T",
        before=0,
    ),
    add("one field", "struct {\n\tn int\n}", "struct {\n\tn   int\n\tabc T\n}", "abc", "T"),
    add(
        "longer than the others",
        "struct {\n\ta int\n\tb string // b\n}",
        "struct {\n\ta    int\n\tb    string // b\n\tlong sync.RWMutex\n}",
        "long",
        "sync.RWMutex",
    ),
    add(
        "shorter than the others",
        "struct {\n\tcount int\n}",
        "struct {\n\tcount int\n\tmu    sync.Mutex\n}",
        "mu",
        "sync.Mutex",
    ),
    add(
        "before, above its comment",
        "struct {\n\t// counts\n\tcount int // n\n}",
        "struct {\n\tmu sync.Mutex\n\t// counts\n\tcount int // n\n}",
        "mu",
        "sync.Mutex",
        before=0,
    ),
    add(
        "before with doc and blank line",
        "struct {\n\ta     int\n\tcount int\n}",
        "struct {\n\ta int\n\t// mu guards\n\t// count.\n\tmu sync.Mutex\n\n\tcount int\n}",
        "mu",
        "sync.Mutex",
        before=1,
        doc="mu guards\ncount.",
        blank_line=True,
    ),
    add(
        "after with comment",
        "struct {\n\ta   int // a\n\tbcd int // b\n}",
        "struct {\n\ta   int // a\n\tx   *T[int]\n\tbcd int // b\n}",
        "x",
        "*T[int]",
        after=0,
    ),
    add(
        "own section",
        "struct {\n\tabcdef int\n\n\tb T\n}",
        "struct {\n\tabcdef int\n\n\tb  T\n\tcd U\n}",
        "cd",
        "U",
    ),
    add(
        "with tags",
        'struct {\n\ta int    `json:"a"`\n\tb string `json:"b"` // b\n}',
        'struct {\n\ta  int    `json:"a"`\n\tb  string `json:"b"` // b\n\tmu sync.Mutex\n}',
        "mu",
        "sync.Mutex",
    ),
    add(
        "a tag",
        "struct {\n\ta int // a\n}",
        'struct {\n\ta  int        // a\n\tmu sync.Mutex `json:"-"`\n}',
        "mu",
        "sync.Mutex",
        tag='`json:"-"`',
    ),
    add("embedded", "struct {\n\ta int\n}", "struct {\n\ta int\n\tsync.Mutex\n}", "", "sync.Mutex"),
    add(
        "next to embedded with comments",
        "struct {\n\tT // t\n\ta int // a\n}".replace("T // t", "T     // t"),
        "struct {\n\tT            // t\n\ta     int    // a\n\tcount Number\n}".replace(
            "    // t", "      // t"
        )
        .replace("int    // a", "int // a")
        .replace("T              // t", "T         // t"),
        "count",
        "Number",
    ),
    add(
        "several names",
        "struct {\n\ta, b int\n}",
        "struct {\n\ta, b int\n\tc    T\n}",
        "c",
        "T",
    ),
    add(
        "a field of many lines",
        "struct {\n\ta struct {\n\t\tx int\n\t}\n\tbcd int\n}",
        "struct {\n\tmu T\n\ta  struct {\n\t\tx int\n\t}\n\tbcd int\n}",
        "mu",
        "T",
        before=0,
    ),
    retype(
        "pointer",
        "struct {\n\ta  int            // a\n\twg sync.WaitGroup // w\n}",
        "struct {\n\ta  int             // a\n\twg *sync.WaitGroup // w\n}",
        1,
        "*sync.WaitGroup",
    ),
    retype(
        "back from a pointer",
        "struct {\n\ta  int             // a\n\twg *sync.WaitGroup // w\n}",
        "struct {\n\ta  int            // a\n\twg sync.WaitGroup // w\n}",
        1,
        "sync.WaitGroup",
    ),
    retype(
        "embedded type", "struct {\n\tsync.Mutex\n}", "struct {\n\t*sync.Mutex\n}", 0, "*sync.Mutex"
    ),
    retype("embedded pointer", "struct {\n\t*sync.Mutex\n}", "struct {\n\tT\n}", 0, "T"),
    retype(
        "one line, still short",
        "struct{ n int }",
        "struct{ n sync.Mutex }",
        0,
        "sync.Mutex",
    ),
    retype(
        "one line, too long",
        "struct{ n int }",
        "struct {\n\tn map[string]func(context.Context)\n}",
        0,
        "map[string]func(context.Context)",
    ),
    retype(
        "one line in one line, lines",
        "struct{ n struct{ m int } }",
        "struct {\n\tn struct {\n\t\tx int\n\t\ty int\n\t}\n}",
        0,
        "struct {\n\tx int\n\ty int\n}",
    ),
    retype(
        "with a tag",
        "struct {\n\ta int `x`\n\tb T   `y`\n}",
        "struct {\n\ta int64 `x`\n\tb T     `y`\n}",
        0,
        "int64",
    ),
]
COLUMNS = [
    lines(
        "comments: a longer line",
        "a() // a\nbc() // bc".replace("a() // a", "a()  // a"),
        lambda t: insert_after(statement(t, "a()"), "long() // x"),
        "a()    // a\nlong() // x\nbc()   // bc",
    ),
    lines(
        "comments: the longest goes",
        "a()    // a\nlong() // x\nbc()   // bc",
        lambda t: delete(statement(t, "long"), comments="drop"),
        "a()  // a\nbc() // bc",
    ),
    lines(
        "comments: a line without one divides",
        "a()   // a\nbcd() // b",
        lambda t: insert_after(statement(t, "a()"), "x()"),
        "a() // a\nx()\nbcd() // b",
    ),
    lines(
        "comments: the dividing line goes",
        "a() // a\nx()\nbcd() // b",
        lambda t: delete(statement(t, "x()")),
        "a()   // a\nbcd() // b",
    ),
    lines(
        "comments: a kept comment divides",
        "a()  // a\nb()  // b\ncd() // c",
        lambda t: delete(statement(t, "b()")),
        "a() // a\n// b\ncd() // c",
    ),
    lines(
        "comments: many lines divide",
        "a()   // a\nbcd() // b",
        lambda t: replace(statement(t, "a()"), "a(func() {\n\tx()\n})"),
        "a(func() {\n\tx()\n}) // a\nbcd() // b",
    ),
    lines(
        "keys",
        "x := T{\n\ta:  1,\n\tbc: 2,\n}",
        lambda t: [Edit("a.go", n.start, n.end, b"bcdef") for n in [node(t, "bc", "identifier")]],
        "x := T{\n\ta:     1,\n\tbcdef: 2,\n}",
    ),
    lines(
        "keys and comments",
        "x := T{\n\ta:  1,  // a\n\tbc: 22, // b\n}",
        lambda t: [Edit("a.go", n.start, n.end, b"three") for n in [node(t, "22")]],
        "x := T{\n\ta:  1,     // a\n\tbc: three, // b\n}",
    ),
    lines(
        "a value of many lines divides keys",
        "x := T{\n\ta:   1,\n\tbcd: 22,\n\tc:   3,\n}",
        lambda t: replace(node(t, "22", "literal_element"), "func() {\n\tx()\n}"),
        "x := T{\n\ta: 1,\n\tbcd: func() {\n\t\tx()\n\t},\n\tc: 3,\n}",
    ),
    lines(
        "var group",
        "var (\n\ta int = 1\n\tb     = 2 // b\n)",
        lambda t: [Edit("a.go", n.start, n.end, b"string") for n in [node(t, "int")]],
        "var (\n\ta string = 1\n\tb        = 2 // b\n)",
    ),
    lines(
        "a comment of a body that opens",
        "a()   // a\ngo func() { b() }() // b\nc()   // c".replace(
            "()   //", "()" + " " * 17 + "//"
        ),
        lambda t: insert_before(statement(t, "b()"), "x()"),
        "a() // a\ngo func() {\n\tx()\n\tb()\n}() // b\nc() // c",
    ),
    Case(
        "one-line functions",
        "package p\n\nfunc (s T) Len() int      { return 1 }\nfunc (s T) Swap(i, j int) { x() }\n",
        lambda t: realign(
            t,
            [Edit("a.go", n.start, n.end, b"*T") for n in [node(t, "T", "type_identifier")]],
        ),
        "package p\n\nfunc (s *T) Len() int     { return 1 }\nfunc (s T) Swap(i, j int) { x() }\n",
    ),
    Case(
        "a one-line function opens",
        "package p\n\nfunc (s T) Len() int      { return 1 }\nfunc (s T) Swap(i, j int) { x() }\n",
        lambda t: realign(t, insert_before(statement(t, "x()"), "y()")),
        "package p\n\nfunc (s T) Len() int { return 1 }\n"
        "func (s T) Swap(i, j int) {\n\ty()\n\tx()\n}\n",
    ),
    Case(
        "a one-line function becomes too long",
        "package p\n\nfunc f(x int) { g(1) }\n",
        lambda t: realign(t, [Edit("a.go", n.start, n.end, b"2" * 90) for n in [node(t, "1")]]),
        "package p\n\nfunc f(x int) {\n\tg(" + "2" * 90 + ")\n}\n",
    ),
    Case(
        "a one-line function gets lines",
        "package p\n\nfunc f(x int) { g(T{1}) }\nfunc abc()    {}\n",
        lambda t: realign(t, replace(node(t, "T{1}"), "func() {\n\th()\n}")),
        "package p\n\nfunc f(x int) {\n\tg(func() {\n\t\th()\n\t})\n}\nfunc abc() {}\n",
    ),
    Case(
        "a one-line function gets lines by an added field",
        "package p\n\nfunc f() { g(struct{}{}) }\n",
        lambda t: realign(t, add_field(struct(t), "a", "int")),
        "package p\n\nfunc f() {\n\tg(struct {\n\t\ta int\n\t}{})\n}\n",
    ),
    Case(
        "an empty one-line function becomes too long",
        "package p\n\nfunc f() {}\nfunc g() {}\n",
        lambda t: realign(
            t, [Edit("a.go", n.start, n.end, b"f" * 99) for n in [t.declarations[1].node["name"]]]
        ),
        "package p\n\nfunc " + "f" * 99 + "() {\n}\nfunc g() {}\n",
    ),
    Case(
        "not gofmt's before: left alone",
        "package p\n\ntype S struct {\n\ta int\n\tbcd int\n}\n",
        lambda t: realign(t, add_field(struct(t), "x", "T")),
        "package p\n\ntype S struct {\n\ta int\n\tbcd int\n\tx   T\n}\n",
    ),
]
CASES = [*FIELDS, *COLUMNS]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_edit(case: Case) -> None:
    assert result(case) == case.after
    assert not tree_of(case.after).errors
    crlf = case._replace(before=case.before.replace("\n", "\r\n"))
    assert result(crlf) == case.after.replace("\n", "\r\n")


@needs_gofmt
def test_gofmt_is_silent(tmp_path: Path) -> None:
    files = {c.name: result(c).encode() for c in CASES if not c.name.startswith("not gofmt")}
    assert not_gofmt(files, tmp_path) == {}


def test_refused() -> None:
    tree = tree_of("package p\n\ntype S struct { /* a */ b int }\n\ntype T int\n")
    with pytest.raises(BuilderError):
        add_field(struct(tree), "x", "T")
    with pytest.raises(BuilderError):
        add_field(node(tree, "int", "type_identifier"), "x", "T")


def test_column_widths() -> None:
    lines_ = [[Cell(0, True), Cell(3, False)], [Cell(0, True), Cell(1, False), Cell(0, False)], []]
    assert column_widths(lines_) == [[1, 4], [1, 4, 0], []]


@given(st.data())
def test_composed(data: st.DataObject) -> None:
    def edits(text: bytes) -> list[Edit]:
        size = len(text)
        cuts = data.draw(st.lists(st.integers(0, size), max_size=6, unique=True).map(sorted))
        pairs = zip(cuts[::2], cuts[1::2], strict=False)
        return [Edit("a", a, b, data.draw(st.binary(max_size=3))) for a, b in pairs]

    text = b"0123456789"
    first = edits(text)
    middle = applied(text, first)
    later = edits(middle)
    assert applied(text, composed(text, first, later)) == applied(middle, later)


NAMES = st.sampled_from(["a", "bc", "def", "counter", "veryLongNameIndeed", "é"])
COMMENT = st.sampled_from(["", "", " // c", " // other", " /* d */"])
TYPES = st.sampled_from(
    ["int", "*T", "map[string]int", "struct {\n\tx int\n\tlong T\n}", "func(a int)"]
)
LINE_BEFORE = st.sampled_from(["", "", "", "\n", "// lead\n"])


@st.composite
def struct_source(draw: st.DrawFn) -> str:
    fields_ = draw(
        st.lists(
            st.tuples(LINE_BEFORE, NAMES, TYPES, st.sampled_from(["", "", " `t`"]), COMMENT),
            max_size=6,
        )
    )
    embedded = draw(st.booleans())
    parts = [f"{b}{n}{i} {t}{tag}{c}\n" for i, (b, n, t, tag, c) in enumerate(fields_)]
    if embedded:
        parts.insert(len(parts) // 2, "sync.Mutex" + draw(COMMENT) + "\n")
    return "package p\n\ntype S struct {\n" + "".join(parts) + "}\n"


EXPRESSIONS = st.sampled_from(
    [
        "1",
        "x",
        "g(1, 2)",
        '"text"',
        "func() { h() }",
        "func() {\nh()\n}",
        "T{\na: 1,\nbcd: 2, // q\n}",
        "`r\n\ts`",
    ]
)


@st.composite
def body_source(draw: st.DrawFn) -> str:
    simple = st.one_of(
        st.builds(lambda n, e: f"{n} := {e}", NAMES, EXPRESSIONS),
        st.builds(lambda e, d: f"f({e}, {d})", EXPRESSIONS, EXPRESSIONS),
        st.builds(lambda n: f"go func() {{ {n}(); h() }}()", NAMES),
        st.builds(
            lambda items: (
                "x = T{\n"
                + "".join(f"{n}{i}: {e},{c}\n" for i, (n, e, c) in enumerate(items))
                + "}"
            ),
            st.lists(st.tuples(NAMES, EXPRESSIONS, COMMENT), max_size=4),
        ),
        st.builds(
            lambda items: (
                "var (\n" + "".join(f"{n}{i} {t} {c}\n" for i, (n, t, c) in enumerate(items)) + ")"
            ),
            st.lists(
                st.tuples(NAMES, st.sampled_from(["int", "int = 1", "= 2", "*T"]), COMMENT),
                max_size=4,
            ),
        ),
        st.just("if a {\nb() // b\ncde() // c\n} // end"),
        st.just("switch x {\ncase 1: // one\na() // a\ncase 22: // two\n}"),
    )
    items = draw(st.lists(st.tuples(LINE_BEFORE, simple, COMMENT), min_size=1, max_size=6))
    return "package p\n\nfunc f() {\n" + "".join(f"{b}{s}{c}\n" for b, s, c in items) + "}\n"


def gofmt(text: str) -> str:
    done = subprocess.run(["gofmt"], input=text.encode(), capture_output=True, check=True)
    return done.stdout.decode()


@needs_gofmt
@settings(max_examples=80, deadline=None)
@given(struct_source(), NAMES, TYPES, st.data())
def test_fields_hypothesis(source: str, name: str, type_: str, data: st.DataObject) -> None:
    tree = tree_of(gofmt(source))
    type_ = gofmt(f"package p\n\ntype S {type_}\n")[len("package p\n\ntype S ") :].rstrip()
    declared = fields(struct(tree))
    at = data.draw(st.integers(0, len(declared)))
    if data.draw(st.booleans()) and at < len(declared):
        edits = change_field_type(declared[at], type_) if declared[at].all("name") else ()
    else:
        anchor = declared[at] if at < len(declared) else None
        edits = add_field(
            struct(tree),
            "new" + name,
            type_,
            before=anchor,
            doc=data.draw(st.sampled_from([None, "d"])),
        )
    text = applied(tree.data, realign(tree, edits)).decode()
    assert gofmt(text) == text


@needs_gofmt
@settings(max_examples=150, deadline=None)
@given(body_source(), body_source(), st.data())
def test_statements_hypothesis(source: str, other: str, data: st.DataObject) -> None:
    tree = tree_of(gofmt(source))
    code = gofmt(other).split("func f() {\n")[1].removesuffix("}\n")
    lines_ = code.split("\n")
    if "`" in code:
        return
    code = "\n".join(line.removeprefix("\t") for line in lines_).strip("\n")
    block = node(tree, "{", "block")
    chosen = data.draw(st.sampled_from(block.statements))
    build = data.draw(st.sampled_from(["before", "after", "delete", "drop", "replace"]))
    if build == "before":
        edits = insert_before(chosen, code)
    elif build == "after":
        edits = insert_after(chosen, code)
    elif build == "delete":
        edits = delete(chosen)
    elif build == "drop":
        edits = delete(chosen, comments="drop")
    else:
        edits = replace(chosen, "replaced()", comments="drop")
    text = applied(tree.data, realign(tree, edits)).decode()
    assert gofmt(text) == text


@needs_gofmt
@pytest.mark.parametrize(
    ("old", "index", "new"),
    [
        ("struct {\n\ta    int\n\tlong T\n}", 1, "struct {\n\ta int\n}"),
        ("struct {\n\t// a\n\ta int // b\n\n\tc T\n}", 0, "struct {\n\tc T\n}"),
        ("struct {\n\ta int\n\n\tb T\n\n\tc T\n}", 1, "struct {\n\ta int\n\n\tc T\n}"),
        ("struct {\n\ta int\n\n\tb T\n}", 1, "struct {\n\ta int\n}"),
        ("struct {\n\t// a\n\ta int\n}", 0, "struct{}"),
        ("struct {\n\ta int\n\t// more\n}", 0, "struct {\n\t// more\n}"),
    ],
)
def test_remove_field(old: str, index: int, new: str) -> None:
    """A field goes with its comments, and with a blank line that would be left over."""
    tree = tree_of(f"package p\n\ntype S {old}\n")
    edits = realign(tree, remove_field(fields(struct(tree))[index]))
    text = applied(tree.data, edits).decode()
    assert text == gofmt(text) == f"package p\n\ntype S {new}\n"


def test_remove_field_on_a_line_with_others() -> None:
    """Fields that share a line are refused."""
    tree = tree_of("package p\n\ntype S struct{ a, b int; c T }\n")
    with pytest.raises(BuilderError, match="shares its line"):
        remove_field(fields(struct(tree))[1])


@needs_gofmt
@pytest.mark.parametrize(
    ("old", "index", "new"),
    [
        ("S{a: 1, bc: 2}", 0, "S{bc: 2}"),
        ("S{a: 1}", 0, "S{}"),
        ("S{\n\ta:  1,\n\tbc: 2, // two\n}", 1, "S{\n\ta: 1,\n}"),
        ("S{1, 2, 3}", 1, "S{1, 3}"),
    ],
)
def test_remove_element(old: str, index: int, new: str) -> None:
    """An element of a literal goes with its comma, and its line."""
    tree = tree_of(f"package p\n\nvar x = {old}\n")
    literal = next(tree.declarations[-1].node.find("literal_value"))
    text = applied(tree.data, realign(tree, remove_element(literal.children[index]))).decode()
    assert text == gofmt(text) == f"package p\n\nvar x = {new}\n"


@needs_gofmt
@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("func f() int", "\n"),
        ("func (s T) f()", "\n"),
        ("var x = func()", "\n"),
        ("func f(\n)", "\n"),
    ],
)
def test_length_of_one_line_functions(head: str, tail: str) -> None:
    """A function opens up at the length where gofmt opens it."""
    for size in range(75, 105):
        text = f"package p\n\n{head} {{ g(1) }}{tail}"
        tree = tree_of(gofmt(text))
        one = node(tree, "1", "int_literal")
        text = applied(tree.data, realign(tree, [Edit("a.go", one.start, one.end, b"2" * size)]))
        assert gofmt(text.decode()) == text.decode()


@needs_gofmt
@pytest.mark.parametrize("name", ["a ", "abc ", ""])
def test_length_of_one_line_structs(name: str) -> None:
    """A struct opens up at the length where gofmt opens it."""
    for size in range(25, 35):
        tree = tree_of(f"package p\n\ntype S struct{{ {name}T }}\n")
        kind = fields(struct(tree))[0]["type"]
        edit = Edit("a.go", kind.start, kind.end, b"U" * size)
        text = applied(tree.data, realign(tree, [edit])).decode()
        assert gofmt(text) == text
