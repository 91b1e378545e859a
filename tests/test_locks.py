"""Which locks are held: helpers that take and give, and types whose package is not at hand."""

from __future__ import annotations

import pytest

from threadmend.golang.locks import held_at
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

HEADER = """package p

import (
	"context"
	"sync"

	far "example.org/far/sync"
)

var (
	_ sync.Mutex
	_ context.Context
)

type state struct {
	mu  sync.Mutex
	far far.RWMutex
	n   int
}

func (s *state) lock()        { s.mu.Lock() }
func (s *state) unlock()      { s.mu.Unlock() }
func (s *state) enter()       { s.lock() }
func (s *state) hold() func() { s.mu.Lock(); return s.mu.Unlock }

"""


def held(body: str) -> set[str]:
    """Return the classes and modes of the locks that are held where `s.n` is counted."""
    code = f"{HEADER}func (s *state) f(ctx context.Context, other *state) {{\n{body}\n}}\n"
    files = {"go.mod": b"module example.com/m\n\ngo 1.25\n", "p/p.go": code.encode()}
    workspace = Workspace(files, lambda path: SourceFile(path, files[path]))
    file = next(f for package in workspace.packages for f in package.files)
    (count,) = file.find("inc_statement")
    return {f"{(h.lock_class or '').rpartition('.')[2]} {h.mode}" for h in held_at(file, count)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s.lock()\ns.n++\ns.unlock()", {"mu write"}),
        ("s.enter()\ndefer s.unlock()\ns.n++", {"mu write"}),
        ("s.lock()\ns.unlock()\ns.n++", set()),
        ("other.lock()\ns.n++\nother.unlock()", {"mu write"}),
        ("defer s.hold()()\ns.n++", {"mu write"}),
        ("leave := s.hold()\ns.n++\nleave()", {"mu write"}),
        ("if ctx != nil {\n\ts.lock()\n}\ns.n++", set()),
        ("s.n++\ns.mu.Unlock()", {"mu write"}),
        ("defer s.mu.Unlock()\ns.n++", {"mu write"}),
        ("s.n++\nif ctx != nil {\n\ts.mu.Unlock()\n}", set()),
        ("s.mu.Unlock()\ns.n++\ns.mu.Lock()", set()),
        ("s.far.Lock()\ns.n++\ns.far.Unlock()", {"far write"}),
        ("s.far.RLock()\ndefer s.far.RUnlock()\ns.n++", {"far read"}),
        ("if err := s.far.Lock(); err != nil {\n\treturn\n}\ns.n++", set()),
        ("s.far.Lock(ctx)\ns.n++", set()),
    ],
)
def test_held(body: str, expected: set[str]) -> None:
    assert held(body) == expected
