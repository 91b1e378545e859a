"""Channels in fields and package variables: makes, operations, who runs a function."""

from __future__ import annotations

from threadmend.golang.channel_fields import (
    SharedChannel,
    arguments_of,
    literals_of,
    shared_channel_of,
)
from threadmend.golang.file import GoFile
from threadmend.golang.runners import runners_of
from threadmend.golang.scope import bindings_in
from threadmend.golang.syntax import Node
from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile

SOURCE = b"""package p

type feed struct {
	out  chan int
	quit chan struct{}
}

var wake = make(chan bool, 1)

func newFeed() *feed {
	f := &feed{out: make(chan int, 4)}
	f.quit = make(chan struct{})
	go f.run()
	return f
}

func (f *feed) run() {
	for {
		select {
		case f.out <- f.next():
		case <-f.quit:
			return
		}
	}
}

func (f *feed) next() int { return 1 }

func (f *feed) Stop() {
	quit := f.quit
	close(quit)
	f.quit = nil
}

func (f *feed) each(show func(int)) {
	drain(f.out, show)
}

func drain(in <-chan int, show func(int)) {
	for v := range in {
		show(v)
	}
}

func poke() { wake <- true }

func leak() chan bool { return wake }
"""


def _workspace() -> GoFile:
    files = {"go.mod": b"module example.com/p\n\ngo 1.24\n", "p.go": SOURCE}
    sources = {path: SourceFile(path, data) for path, data in files.items()}
    return Workspace(list(files), sources.__getitem__).file("p.go")


def _field(name: str) -> SharedChannel:
    decl = _workspace().package.lookup("feed")
    assert decl is not None
    return shared_channel_of(decl, name)


def _function(file: GoFile, name: str) -> Node:
    return next(d.node for d in file.package.functions() if d.name == name)


def test_a_field_knows_its_makes_and_operations_in_all_functions() -> None:
    out = _field("out")
    assert [(m.capacity.name if m.capacity else "", m.unbuffered) for m in out.makes] == [
        ("4", False)
    ]
    assert sorted(o.kind for o in out.operations) == ["range", "send"]
    assert len(out.of("range")[0].calls) == 1, "through the parameter of drain"
    assert not out.escapes
    assert not out.stores


def test_a_local_name_is_followed_and_nil_is_kept_apart() -> None:
    quit_ = _field("quit")
    assert sorted(o.kind for o in quit_.operations) == ["close", "receive"]
    assert len(quit_.nils) == 1
    assert len(quit_.makes) == 1
    assert quit_.makes[0].unbuffered


def test_a_package_variable_that_is_returned_escapes() -> None:
    decl = _workspace().package.lookup("wake")
    assert decl is not None
    wake = shared_channel_of(decl, "wake")
    assert [o.kind for o in wake.operations] == ["send"]
    assert len(wake.escapes) == 1
    assert len(wake.makes) == 1


def test_runners_are_the_goroutines_and_the_callers() -> None:
    file = _workspace()
    run = runners_of(file, _function(file, "run"))
    assert len(run.launches) == 1
    assert not run.called
    following = runners_of(file, _function(file, "next"))
    assert len(following.launches) == 1, "called by run only"
    assert not following.called
    assert runners_of(file, _function(file, "Stop")).called


def test_arguments_and_literals_are_found() -> None:
    file = _workspace()
    drain = _function(file, "drain")
    passed = arguments_of(file, bindings_in(drain)["in"][0])
    assert passed is not None
    assert [node.name for _, node in passed] == ["f.out"]
    decl = file.package.lookup("feed")
    assert decl is not None
    assert [literal.text for _, literal in literals_of(decl)] == [b"feed{out: make(chan int, 4)}"]
