"""Which types contain a lock, where such values are copied, and what fixes a signature."""

from __future__ import annotations

import pytest

from threadmend.golang.conversions import interface_value
from threadmend.golang.copies import copies
from threadmend.golang.file import GoFile
from threadmend.golang.nocopy import nocopy
from threadmend.golang.package import Decl
from threadmend.golang.types import Named
from threadmend.golang.uses import addressable, field_uses, fixing_interface, is_api, variants
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile


def workspace(**files: str) -> Workspace:
    """Return the module example.com/m; `a__b` is the file a/b.go."""
    data = {f"{name.replace('__', '/')}.go": text.encode() for name, text in files.items()}
    data["go.mod"] = b"module example.com/m\n\ngo 1.25\n"
    return Workspace(data, lambda path: SourceFile(path, data[path]))


TYPES = """package p

import (
	"net/http"
	"sync"
	"sync/atomic"
	"google.golang.org/protobuf/runtime/protoimpl"
)

type direct struct{ mu sync.Mutex }
type embedded struct{ direct }
type array struct{ all [2][3]direct }
type named [2]sync.Once
type value struct{ v atomic.Value }
type counter struct{ n atomic.Int64 }
type generic[T any] struct { item T; list []T }
type message struct{ state protoimpl.MessageState }
type server struct{ http http.Server }
type marker struct{}
func (*marker) Lock() {}
func (*marker) Unlock() {}
type marked struct{ _ marker }

type pointer struct{ mu *sync.Mutex }
type embeddedPointer struct{ *direct }
type slice struct{ all []direct }
type channel struct{ all chan direct }
type mapped map[string]direct
type locker struct{ sync.Locker }
type function struct{ f func(direct) direct }
type byValue struct{}
func (byValue) Lock() {}
func (byValue) Unlock() {}
type half struct{}
func (*half) Lock() {}
"""


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("direct", ("direct", "sync.Mutex")),
        ("embedded", ("embedded", "direct", "sync.Mutex")),
        ("array", ("array", "direct", "sync.Mutex")),
        ("named", ("named", "sync.Once")),
        ("value", ("value", "atomic.Value")),
        ("counter", ("counter", "atomic.Int64")),
        ("message", ("message", "protoimpl.MessageState", "sync.Mutex")),
        ("server", ("server", "http.Server", "atomic.Bool")),
        ("marked", ("marked", "marker")),
        *((name, ()) for name in ("pointer", "embeddedPointer", "slice", "channel", "mapped")),
        *((name, ()) for name in ("locker", "function", "byValue", "half", "generic")),
    ],
)
def test_the_way_to_a_lock(name: str, path: tuple[str, ...]) -> None:
    facts = nocopy(workspace(p__p=TYPES))
    found = facts.path(Named("example.com/m/p", name))
    assert found[: len(path) - 1] == path[:-1] if name == "server" else found == path


def test_generic_types_by_their_arguments() -> None:
    facts = nocopy(workspace(p__p=TYPES))
    mutex = Named("sync", "Mutex")
    assert facts.path(Named("example.com/m/p", "generic", (mutex,))) == ("generic", "sync.Mutex")
    assert not facts.path(Named("example.com/m/p", "generic", (Named("", "int"),)))


def _copied(code: str, **others: str) -> list[tuple[str, str]]:
    files = workspace(p__p=code, **others)
    return [(c.kind, c.node.name) for c in copies(files.file("p/p.go"))]


def test_every_kind_of_copy() -> None:
    code = """package p

import "sync"

type t struct{ mu sync.Mutex }

func (r t) m(p t, q *t, list []t, out chan t) any {
	a := *q
	var b = list[0]
	for _, e := range list {
		out <- e
	}
	keep(a, []t{b}, t{})
	go func(c t) {}(b)
	return b
}

func keep(values ...any) {}
"""
    assert _copied(code) == [
        ("receiver", "t"),
        ("parameter", "t"),
        ("assignment", "*q"),
        ("assignment", "list[0]"),
        ("range", "e"),
        ("send", "e"),
        ("argument", "a"),
        ("element", "b"),
        ("parameter", "t"),
        ("argument", "b"),
        ("result", "b"),
    ]


def test_values_of_another_package() -> None:
    code = """package p

import "example.com/m/q"

func first(s *q.Store) int {
	c := s.Count
	return c.N
}

func second() int {
	d := q.Default
	return d.N
}
"""
    other = """package q

import "sync"

type (
	Count struct {
		sync.Mutex
		N int
	}
	Store struct{ Count }
)

var Default Count
"""
    assert _copied(code, q__q=other) == [("assignment", "s.Count"), ("assignment", "q.Default")]


# -- uses -------------------------------------------------------------------------------


def _decl(files: Workspace, package: str, name: str, receiver: str = "") -> Decl:
    found = files.package(package)
    assert found is not None
    decl = found.methods(receiver)[name][0] if receiver else found.lookup(name)
    assert decl is not None
    return decl


USES = """package p

import "fmt"

type runner interface{ run(n int) }

type one struct{ f int }

func (o *one) run(n int) {}
func (o *one) Stop(s string) {}
func (o one) String() string { return "" }

type two struct{}

func (t *two) run(n string) {}
func (t two) String() string { return "" }

func Exported() {}

func use(t two, m map[string]one, l []one, p *one) {
	fmt.Println(t, &t)
	var s fmt.Stringer = new(one)
	_, _ = s, p.f
	_ = [...]any{m["a"].f, l[0].f, p, one{}.f, (*p).f}
}
"""


def test_an_interface_fixes_a_signature_of_the_same_types() -> None:
    files = workspace(p__p=USES)
    package = "example.com/m/p"
    assert fixing_interface(_decl(files, package, "run", "one")) is not None
    assert fixing_interface(_decl(files, package, "run", "two")) is None
    assert fixing_interface(_decl(files, package, "Stop", "one")) is None


def test_a_value_that_becomes_an_interface() -> None:
    files = workspace(p__p=USES)
    found = interface_value(_decl(files, "example.com/m/p", "String", "two"))
    assert found is not None
    assert found.name == "t"
    assert interface_value(_decl(files, "example.com/m/p", "String", "one")) is None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [('m["a"].f', False), ("l[0].f", True), ("p", True), ("one{}.f", False), ("(*p).f", True)],
)
def test_what_has_an_address(expression: str, expected: bool) -> None:
    file: GoFile = workspace(p__p=USES).file("p/p.go")
    use = next(d for d in file.declarations() if b"func use" in d.node.text)
    node = next(n for n in use.node.walk() if n.name == expression and n.kind != "literal_element")
    assert addressable(file, node) is expected


def test_what_belongs_to_an_api() -> None:
    files = workspace(p__p=USES, internal__i="package i\n\nfunc Exported() {}\n")
    assert is_api(_decl(files, "example.com/m/p", "Exported"))
    assert not is_api(_decl(files, "example.com/m/p", "use"))
    assert not is_api(_decl(files, "example.com/m/p", "Stop", "one"))
    assert not is_api(_decl(files, "example.com/m/internal", "Exported"))


def test_variants_under_other_build_tags() -> None:
    files = workspace(
        p__a="//go:build linux\n\npackage p\n\nfunc f() {}\n",
        p__b="//go:build !linux\n\npackage p\n\nfunc f() {}\n",
    )
    assert len(variants(_decl(files, "example.com/m/p", "f"))) == 2


def test_field_uses_in_the_package() -> None:
    files = workspace(p__p=USES)
    decl = _decl(files, "example.com/m/p", "one")
    field = next(decl.node.find("field_declaration"))
    found = [(node.name, certain) for _, node, certain in field_uses(decl, field, "f")]
    assert found == [
        ("p.f", True),
        ('m["a"].f', True),
        ("l[0].f", True),
        ("one{}.f", True),
        ("(*p).f", True),
    ]
