"""The map of concurrent operations: what is found, with which type and class."""

from __future__ import annotations

from threadmend.golang.operations import Operation, operations
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

HEADER = 'package p\n\nimport (\n\t"context"\n\t"sync"\n\n\t"example.org/far"\n)\n\n'


def found(code: str, header: str = HEADER) -> list[Operation]:
    """Return the operations of one file of the module example.com/m."""
    files = {
        "go.mod": b"module example.com/m\n\ngo 1.25\n",
        "p/p.go": (header + code).encode(),
    }
    return list(operations(Workspace(files, lambda path: SourceFile(path, files[path]))))


def brief(code: str) -> list[tuple[str, str | None, str | None]]:
    """Return operation, type and class of each operation."""
    return [(o.operation, o.type, o.class_) for o in found(code)]


def test_fields_and_promoted_methods() -> None:
    code = """
type Store struct {
	sync.Mutex
	mu sync.RWMutex
}

func (s *Store) F() {
	s.Lock()
	defer s.mu.RUnlock()
}
"""
    assert brief(code) == [
        ("Lock", "sync.Mutex", "example.com/m/p.Store.Mutex"),
        ("RUnlock", "sync.RWMutex", "example.com/m/p.Store.mu"),
    ]


def test_variables_of_functions_and_packages() -> None:
    code = """
var mu sync.Mutex

func F(wg *sync.WaitGroup) {
	mu.Lock()
	go func() { wg.Done() }()
}
"""
    assert brief(code) == [
        ("Lock", "sync.Mutex", "example.com/m/p.mu"),
        ("go", "func", None),
        ("Done", "sync.WaitGroup", "example.com/m/p.F.wg"),
    ]


def test_channels() -> None:
    code = """
func F(ctx context.Context, in <-chan int) {
	out := make(chan struct{}, 1)
	for range in {
		out <- struct{}{}
	}
	<-ctx.Done()
	close(out)
}
"""
    assert brief(code) == [
        ("make", "chan struct{}", None),
        ("range", "<-chan int", "example.com/m/p.F.in"),
        ("send", "chan struct{}", "example.com/m/p.F.out"),
        ("receive", "<-chan struct{}", "context.Context.Done()"),
        ("Done", "context.Context", "example.com/m/p.F.ctx"),
        ("close", "chan struct{}", "example.com/m/p.F.out"),
    ]


def test_position_and_instance_are_as_written() -> None:
    code = "func F(m map[string]*sync.Mutex) {\n\t(m[ `a` ]).Lock()\n}\n"
    operation = found(code)[0]
    assert (operation.line, operation.column) == (11, 2)
    assert operation.instance == "(m[ `a` ])"
    assert operation.class_ == "example.com/m/p.F.m[]"


def test_own_lock_types_count_and_other_types_do_not() -> None:
    code = """
type spin struct{}

func (*spin) Lock()   {}
func (*spin) Unlock() {}

type sum int

func (s *sum) Add(n int) {}

func F(l *spin, s *sum) {
	l.Lock()
	s.Add(1)
}
"""
    assert brief(code) == [("Lock", "example.com/m/p.spin", "example.com/m/p.F.l")]


def test_unknown_receivers_are_kept_without_a_type() -> None:
    code = "func F(x far.T, n int) {\n\tx.Mu.Lock()\n\tx.Lock(n)\n\tx.Sum.Add(1, 2)\n}\n"
    assert [(o.operation, o.type) for o in found(code)] == [("Lock", None)]


def test_a_lock_embedded_by_a_type_that_is_not_here_stays_unknown() -> None:
    code = "type T struct{ far.Base }\n\nfunc F(t *T) {\n\tt.Lock()\n}\n"
    assert [(o.operation, o.type) for o in found(code)] == [("Lock", None)]


def test_launches_name_what_they_run() -> None:
    code = "type T struct{}\n\nfunc (T) run() {}\n\nfunc F(t T) {\n\tgo t.run()\n}\n"
    assert brief(code) == [("go", "func", "example.com/m/p.T.run")]


def test_derived_contexts() -> None:
    code = "func F(ctx context.Context) {\n\t_, stop := context.WithCancel(ctx)\n\tstop()\n}\n"
    assert brief(code) == [("WithCancel", "context.Context", None)]


def test_two_packages_of_one_directory_are_told_apart() -> None:
    files = {
        "go.mod": b"module example.com/m\n",
        "p/a.go": b'package p\n\nimport "sync"\n\ntype T struct{ mu sync.Mutex }\n\n'
        b"func (t *T) F() { t.mu.Lock() }\n",
        "p/tool.go": b"//go:build ignore\n\npackage main\n\nfunc main() {}\n",
    }
    both = operations(Workspace(files, lambda path: SourceFile(path, files[path])))
    assert [o.type for o in both] == ["sync.Mutex"]
