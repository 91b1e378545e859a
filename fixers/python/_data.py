"""Shared data and its uses: which threads are at them, and whether they race."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from threadmend.python.classes import Class
from threadmend.python.file import PythonFile
from threadmend.python.flow import are_alternatives
from threadmend.python.functions import Function
from threadmend.python.scope import Binding
from threadmend.python.threads import Spawn

from ._crowds import is_many, take_turns
from ._one_place import are_of_one_place
from ._own_entry import are_of_two_keys, is_of_own_key
from ._start_order import is_out_of_time

__all__ = ["Data", "Use"]

_CHANGES = frozenset({"write", "augment", "mutate", "delete", "step"})


@dataclass(eq=False, slots=True)
class Use:
    """A use of shared data: `threads` are the spawns that run it, None for whoever calls. The mode
    is `step` for a call of a helper that reads and changes it.
    """

    node: ast.expr
    mode: str
    function: Function
    threads: frozenset[Spawn | None]

    @property
    def changes(self) -> bool:
        """Return whether the variable or what it holds is another afterwards."""
        return self.mode in _CHANGES


@dataclass(eq=False, slots=True)
class Data:
    """An attribute (`cls`) or a variable (`binding`), with its uses outside of initializers."""

    file: PythonFile
    name: str
    cls: Class | None = None
    binding: Binding | None = None
    of_class: bool = False
    uses: list[Use] = field(default_factory=list)
    single: set[Spawn] = field(default_factory=set)
    """Spawns that may start several threads, each with an object of its own."""
    home: PythonFile | None = None
    """The file that the variable belongs to, when that is another one than `file`."""

    @property
    def owner(self) -> PythonFile:
        """Return the file that the variable belongs to."""
        return self.home or self.file

    def races(self, use: Use) -> bool:
        """Return whether two threads may be at a use and a change at the same time."""
        return any(True for _ in self._meetings(use))

    def is_near(self, use: Use) -> bool:
        """Return whether what races with a use is in plain sight: several threads of one kind,
        or changes by what the threads run at once and not through a chain of calls.
        """
        return any(
            (mine is not None and self._is_many(mine))
            or (_is_direct(mine, use.function) and _is_direct(its, other.function))
            for other, mine, its in self._meetings(use)
        )

    def _meetings(self, use: Use) -> Iterator[tuple[Use, Spawn | None, Spawn | None]]:
        """Yield the changes that may happen at the same time as a use, with the thread of the use
        and that of the change.
        """
        for other in (one for one in self.uses if one.mode in _CHANGES):
            for mine in use.threads:
                for its in other.threads:
                    if mine is its and (mine is None or not self._is_many(mine)):
                        continue
                    if self._are_two_entries(use, other, mine, its):
                        continue
                    if not self._are_apart(mine, its) and not self._is_at_another_time(
                        use, other, mine, its
                    ):
                        yield other, mine, its

    def _is_at_another_time(
        self, use: Use, other: Use, mine: Spawn | None, its: Spawn | None
    ) -> bool:
        """Return whether one of two uses comes before the thread of the other is started, or when
        it has ended.
        """
        if self.cls is None or self.of_class:
            return False
        return (its is not None and is_out_of_time(use.function, use.node, mine, its)) or (
            mine is not None and is_out_of_time(other.function, other.node, its, mine)
        )

    def _are_two_entries(self, use: Use, other: Use, mine: Spawn | None, its: Spawn | None) -> bool:
        """Return whether two uses are of the entry whose key is what each thread is for."""
        if mine is None or its is None:
            return False
        if mine is its:
            return all(is_of_own_key(one.function.file, one.node, mine) for one in (use, other))
        file, nodes = use.function.file, (use.node, other.node)
        return other.function.file is file and are_of_two_keys(file, nodes, mine, its)

    def _are_apart(self, mine: Spawn | None, its: Spawn | None) -> bool:
        """Return whether the threads of two spawns take turns, or belong to objects of classes that
        have nothing to do with each other, and each has made its own.
        """
        if mine is None or its is None or mine is its:
            return False
        if take_turns(mine, its) or are_of_one_place(mine, its) or self._is_one_of_two(mine, its):
            return True
        if self._are_of_two_objects(mine, its):
            return True
        if not {mine, its} <= self.single:
            return False
        homes = [None if s.target is None else s.target.home for s in (mine, its)]
        first, second = homes
        if first is None or second is None:
            return False
        return first not in second.mro and second not in first.mro

    def _are_of_two_objects(self, mine: Spawn, its: Spawn) -> bool:
        """Return whether two functions, each in its place, make an object of the class and start a
        method of that: two programs around one class.
        """
        if self.cls is None or self.of_class:
            return False
        makers = [_maker(self.cls, spawn) for spawn in (mine, its)]
        return None not in makers and makers[0] is not makers[1]

    def _is_one_of_two(self, mine: Spawn, its: Spawn) -> bool:
        """Return whether two spawns are the branches of one test, and start the same: `if slow:
        Timer(9, self.poll)`, `else: Timer(1, self.poll)`.
        """
        if mine.target is None or mine.target is not its.target or mine.kind != its.kind:
            return False
        return are_alternatives(mine.node, its.node) and not self._is_many(mine)

    def _is_many(self, spawn: Spawn) -> bool:
        if spawn in self.single:
            return False
        return is_many(None if self.of_class else self.cls, spawn)


def _maker(cls: Class, spawn: Spawn) -> Function | None:
    """Return the function that makes the object of a class in a variable of its own whose method a
    thread runs: `client = Client()`, `Thread(target=client.receive)`.
    """
    method, target = spawn.method_node, spawn.target
    if method is None or target is None or target.home is None:
        return None
    if cls not in target.home.mro and target.home not in cls.mro:
        return None
    binding, value = spawn.file.binding(method.value), spawn.file.value(method.value)
    if binding is None or value is None or value.cls is None or len(binding.sites) != 1:
        return None
    if binding.scope.kind != "function" or value.made is not binding.sites[0].value:
        return None
    return spawn.file.function(binding.sites[0].node)


def _is_direct(thread: Spawn | None, function: Function) -> bool:
    """Return whether a thread starts with a function, or with one that calls it."""
    if thread is None:
        return not function.is_private
    target = thread.target
    if target is None or function is target:
        return target is not None
    named = {getattr(c.func, "attr", getattr(c.func, "id", "")) for c in target.calls}
    return function.name in named
