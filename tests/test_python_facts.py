"""Facts about Python: names, kinds, classes, locks, threads, queues."""

from __future__ import annotations

import ast

import pytest
from python_cases import expression, file_of, project_of

from threadmend.python import api
from threadmend.python.flow import always_leaves, can_raise, leaves
from threadmend.python.held import held_here
from threadmend.python.implied import runs
from threadmend.python.queues import queues_of
from threadmend.python.sharing import shared_names
from threadmend.python.threads import reached, spawns_reaching
from threadmend.source import UnreadableError

# -- names and kinds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "import threading\nx = threading.Lock()\n",
        "import threading as t\nx = t.Lock()\n",
        "from threading import Lock as L\nx = L()\n",
        "from _thread import allocate_lock\nx = allocate_lock()\n",
        "try:\n    from threading import Lock\nexcept ImportError:\n    Lock = None\nx = Lock()\n",
        "import threading\nL = threading.Lock\nx = L()\n",
        "import threading\nx = None\nx = threading.Lock()\n",
        "import threading\ndef make():\n    return threading.Lock()\nx = make()\n",
        "import threading\ngiven = input()\nx = given or threading.Lock()\n",
        "from threading import Lock\nfrom typing import Optional\nx: Optional[Lock] = given()\n",
        "from threading import Lock\nx: 'Lock | None' = given()\n",
        "import threading\nfor x in [threading.Lock() for _ in y]:\n    x\n",
        "import threading\nlocks = []\nlocks.append(threading.Lock())\nx = locks[0]\n",
        "import threading\nfrom collections import defaultdict\n"
        "locks = defaultdict(threading.Lock)\nx = locks['a']\n",
        "import threading\nlocks = {}\nlocks['a'] = threading.Lock()\nx = locks.get('a')\n",
        "import threading\nlocks = dict()\nx = locks.setdefault('a', threading.Lock())\n",
        "import threading\nl = {n: threading.Lock() for n in y}\nfor x in l.values():\n    x\n",
        "import threading\nl = {1: threading.Lock()}\nfor k, x in list(l.items()):\n    x\n",
        "import threading\nl = [threading.Lock()]\nfor n, x in enumerate(l):\n    x\n",
        "from threading import Lock\nlocks: dict[str, 'Lock'] = read()\nx = locks['a']\n",
        "from threading import Lock\nfrom typing import List\nl: List[Lock] = read()\nx = l[0]\n",
    ],
)
def test_a_kind_is_told_by_its_constructor(text: str) -> None:
    file = file_of(f"{text}print(x)\n")
    value = file.value(expression(file, "x", -1))
    assert value is not None
    assert value.type == "threading.Lock"


@pytest.mark.parametrize(
    "text",
    [
        "from redis.lock import Lock\nx = Lock('a')\n",
        "import threading\nx = threading.Lock()\nx = object()\n",
        "class Lock:\n    pass\nx = Lock()\n",
        "def f(lock):\n    x = lock\n",
        "import threading\nx = threading.Lock\n",
        "import threading\nl = {}\nl['a'] = threading.Lock()\nl.update(more())\nx = l['b']\n",
        "import threading\nl = {1: threading.Lock()}\nl[2] = object()\nx = l[2]\n",
        "import threading\nl = {1: threading.Lock(), **more()}\nx = l[2]\n",
        "import threading\nl = {1: threading.Lock()}\nx = l.get(2, 3)\n",
        "import threading\nl = {1: threading.Lock()}\nfor x in l:\n    x\n",
    ],
)
def test_what_is_no_lock(text: str) -> None:
    file = file_of(f"{text}print(x)\n")
    assert not file.is_a(expression(file, "x", -1), api.LOCKS)


def test_names_are_followed_through_the_project() -> None:
    project = project_of(
        pkg__init="",
        pkg__compat="from concurrent.futures import ThreadPoolExecutor as Pool\n",
        pkg__names="from .compat import *\nfrom .compat import Pool\n",
        pkg__use="from .names import Pool\nfrom pkg import compat\n"
        "a = Pool(2)\nb = compat.Pool(3)\n",
    )
    file = project.file("pkg/use.py")
    for call in file.calls("Pool"):
        assert file.is_a(call, api.EXECUTORS)
    assert file.module == "pkg.use"


def test_scopes_follow_the_language() -> None:
    file = file_of(
        "x = 1\nclass A:\n    x = 2\n    y = [x for _ in (x,)]\n    def m(self):\n"
        "        return x\ndef f():\n    global x\n    x = 3\ndef g():\n    n = 1\n    def h():\n"
        "        nonlocal n\n        n = 2\n    return n\n"
    )
    kinds = {}
    for node in file.tree.names["x"]:
        binding = file.binding(node)
        assert binding is not None
        kinds[node.lineno, node.col_offset] = binding.scope.kind
    assert kinds == {
        (1, 0): "module",
        (3, 4): "class",
        (4, 9): "module",
        (4, 21): "class",
        (6, 15): "module",
        (9, 4): "module",
    }
    assert len({id(file.binding(node)) for node in file.tree.names["n"]}) == 1


def test_what_does_not_parse_says_where() -> None:
    with pytest.raises(UnreadableError, match="does not parse at 2:"):
        file_of("import threading\nprint 'x'\n")


def test_the_version_comes_from_the_nearest_settings() -> None:
    project = project_of(a="import threading\n")
    assert project.python_version("a.py") == (3, 10)


@pytest.mark.parametrize(
    ("use", "known"),
    [
        ("work(q, 1)", True),
        ("threading.Thread(target=work, args=(q, 1))", True),
        ("pool.submit(work, q, n=1)", True),
        ("work(q, 1)\nwork(other(), 2)", False),
        ("work(q, 1)\nregister(work)", False),
        ("work(*q)", False),
    ],
)
def test_a_parameter_is_what_all_calls_hand_in(use: str, known: bool) -> None:
    file = file_of(
        f"import queue, threading\nq = queue.Queue()\ndef work(jobs, n):\n    jobs.get()\n{use}\n"
    )
    call = file.calls("get")[0]
    assert isinstance(call.func, ast.Attribute)
    assert file.is_a(call.func.value, api.QUEUES) is known


# -- classes --------------------------------------------------------------------------------

BASE = """
import threading

class Base:
    def __init__(self):
        self.lock = threading.Lock()
        self.items = []
        self._prepare()

    def _prepare(self):
        self.ready = True
"""
USER = """
from base import Base

class User(Base):
    def add(self, x):
        with self.lock:
            self._append(x)

    def _append(self, x):
        self.items.append(x)
        self.items[0] = x
        self.items += [x]
        del self.items[0]
        return self.items

    def other(self, other):
        with other.lock:
            return self.items
"""


def test_attributes_of_a_base_in_another_module() -> None:
    project = project_of(base=BASE, user=USER)
    file = project.file("user.py")
    (cls,) = file.classes
    modes = [use.mode for use in cls.uses if use.name == "items"]
    assert modes == ["mutate", "mutate", "augment", "mutate", "read", "read"]
    first, second = file.sections[0], None
    assert first.lock.place.owner == "base.Base"
    assert first.lock.type == "threading.Lock"
    assert len(file.sections) == 1, second  # what `other` is, nobody says
    assert {f.name for f in cls.bases[0].init_only} == {"__init__", "_prepare"}


def test_private_helpers_that_are_always_called_locked() -> None:
    file = project_of(base=BASE, user=USER).file("user.py")
    (cls,) = file.classes
    append = next(use for use in cls.uses if use.mode == "mutate")
    assert [place.name for place in file.held(append.node).locks] == ["lock"]
    assert not held_here(file, append.node)
    read = cls.uses[-1]
    held = file.held(read.node)
    assert held.unknown
    assert not held.locks


@pytest.mark.parametrize(
    "function",
    [
        "def add_locked(x):\n    use(x)\n",
        'def add(x):\n    """Add; the caller holds the lock."""\n    use(x)\n',
        "@synchronized\ndef add(x):\n    use(x)\n",
        "def add(x):\n    if not lock.acquire(timeout=1):\n        return\n    use(x)\n",
        "def add(x):\n    lock.acquire()\n    try:\n        use(x)\n"
        "    finally:\n        lock.release()\n",
        "def add(x):\n    if lock.acquire(False):\n        use(x)\n",
        "def add(x):\n    lock.acquire()\n    if x:\n        lock.release()\n"
        "        return\n    use(x)\n    lock.release()\n",
        "def add(x):\n    with guarded():\n        use(x)\n",
        "def wrap(f):\n    def inner(*a):\n        with lock:\n"
        "            return f(*a)\n    return inner\n"
        "@wrap\ndef add(x):\n    use(x)\n",
    ],
)
def test_what_counts_as_held(function: str) -> None:
    file = file_of(
        "import contextlib, threading\nlock = threading.Lock()\n@contextlib.contextmanager\n"
        f"def guarded():\n    with lock:\n        yield\n{function}"
    )
    assert file.held(file.calls("use")[0])


@pytest.mark.parametrize(
    "function",
    [
        "def add(x):\n    use(x)\n",
        "def add(x):\n    lock.acquire()\n    lock.release()\n    use(x)\n",
        "def add(x):\n    with lock:\n        pass\n    use(x)\n",
        "def add(x):\n    lock.acquire()\n    if x:\n        lock.release()\n        use(x)\n",
        "def add(x):\n    lock.acquire()\n    if x:\n        lock.release()\n    use(x)\n",
        "def add(x):\n    with lock:\n        def later():\n            use(x)\n"
        "        spawn(later)\n",
        "def add(x):\n    with open(x):\n        use(x)\n",
    ],
)
def test_what_does_not_count_as_held(function: str) -> None:
    file = file_of(f"import threading\nlock = threading.Lock()\n{function}")
    assert not file.held(file.calls("use")[0])


def test_a_condition_is_its_lock() -> None:
    file = file_of(
        "import threading\nclass A:\n    def __init__(self):\n"
        "        self.lock = threading.Lock()\n"
        "        self.full = threading.Condition(self.lock)\n"
        "        self.own = threading.Condition()\n"
        "    def m(self):\n        with self.full:\n            pass\n        with self.own:\n"
        "            pass\n"
    )
    full, own = (section.lock for section in file.sections)
    assert (full.place.name, full.own.name, full.reentrant) == ("lock", "full", False)
    assert (own.place.name, own.reentrant, own.is_condition) == ("own", True, True)


# -- threads --------------------------------------------------------------------------------

THREADS = """
import asyncio, signal, threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

class Worker(threading.Thread):
    def run(self):
        self.step()
    def step(self):
        pass

class Owner:
    def __init__(self):
        self.count = 0
        self.done = threading.Event()
        self.pool = ThreadPoolExecutor(4)
    def start(self):
        threading.Thread(target=self._loop, args=(1, 2), daemon=True).start()
        threading.Timer(3, partial(self._tick, 1)).start()
        for i in range(3):
            self.pool.submit(lambda: self._tick(i))
    def _loop(self, a, b):
        self.count += 1
        self.done.set()
    def _tick(self, i):
        pass
    def total(self):
        return self.count

async def main(loop):
    await loop.run_in_executor(None, helper, 1)
    await asyncio.to_thread(helper)
    asyncio.create_task(other())

async def other(): pass
def helper(*a): pass
signal.signal(signal.SIGTERM, helper)
"""


def test_spawns_and_what_they_run() -> None:
    file = file_of(THREADS)
    found = [(s.kind, s.target.name if s.target else None, s.many) for s in file.spawns]
    assert found == [
        ("run", "run", False),
        ("thread", "_loop", False),
        ("timer", "_tick", False),
        ("submit", "<lambda>", True),
        ("executor", "helper", False),
        ("to_thread", "helper", False),
        ("task", "other", False),
        ("signal", "helper", False),
    ]
    names = {function.name for function in spawns_reaching(file)}
    assert names == {"run", "step", "_loop", "_tick", "<lambda>", "helper"}
    assert file.spawns[1].daemon is True
    assert {f.name for f in reached(file.classes[0].methods["run"])} == {"run", "step"}


def test_names_that_threads_share() -> None:
    file = file_of(
        "import threading\ntotal = 0\ndef add():\n    global total\n    total = total + 1\n"
        "def main():\n    seen = []\n    def note():\n        seen.append(1)\n"
        "    for _ in range(2):\n        threading.Thread(target=add).start()\n"
        "        threading.Thread(target=note).start()\n    return seen, total\n"
    )
    found = {s.binding.name: (s.many, len(s.inside), len(s.outside)) for s in shared_names(file)}
    assert found == {"total": (True, 2, 1), "seen": (True, 1, 1)}


def test_queues_are_followed_into_workers() -> None:
    file = file_of(
        "import queue, threading\ndef work(jobs):\n    while True:\n        jobs.get()\n"
        "        jobs.task_done()\ndef main():\n    q = queue.Queue(5)\n"
        "    threading.Thread(target=work, args=(q,)).start()\n    q.put(1)\n    q.join()\n"
    )
    (use,) = queues_of(file)
    assert use.is_bounded
    counts = [len(part) for part in (use.puts, use.gets, use.dones, use.joins, use.escapes)]
    assert counts == [1, 1, 1, 1, 0]


# -- flow -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("for x in y:\n    break\n", []),
        ("for x in y:\n    return\n", [ast.Return]),
        ("def f():\n    return\n", []),
        ("yield\n", [ast.Yield]),
        ("while x:\n    pass\nelse:\n    continue\n", [ast.Continue]),
    ],
)
def test_what_leaves_a_block(body: str, kinds: list[type[ast.AST]]) -> None:
    assert [type(node) for node in leaves(ast.parse(body).body)] == kinds


@pytest.mark.parametrize(
    ("body", "ends", "raises"),
    [
        ("x = 1", False, False),
        ("x = y.z", False, False),
        ("x = y[1]", False, True),
        ("f()", False, True),
        ("if x:\n    return\nelse:\n    raise y", True, True),
        ("while True:\n    f()", True, True),
        ("while True:\n    break", False, True),
        ("try:\n    return\nfinally:\n    pass", True, True),
        ("import sys\nsys.exit(1)", True, True),
    ],
)
def test_blocks_that_never_end_and_that_may_raise(body: str, ends: bool, raises: bool) -> None:
    block = ast.parse(body).body
    assert always_leaves(block) is ends
    assert can_raise(block) is raises


def test_what_runs_without_being_called() -> None:
    file = file_of(
        "class Box:\n"
        "    def __len__(self): return 1\n"
        "    def __getitem__(self, key): return key\n"
        "    def __contains__(self, key): return True\n"
        "    @property\n"
        "    def size(self): return 2\n"
        "    @size.setter\n"
        "    def size(self, value): pass\n"
        "    def plain(self): return 3\n"
        "    async def later(self): return 4\n"
        "    async def all(self, other):\n"
        "        print(len(self), self[1], 1 in self, self.size, self.plain, other.size)\n"
        "        self.later()\n"
        "        await self.later()\n"
    )
    found = {file.text(node): f.name for node, f in runs(file.functions[-1]).items()}
    assert found == {
        "len(self)": "__len__",
        "self[1]": "__getitem__",
        "1 in self": "__contains__",
        "self.size": "size",
        "self.later()": "later",
    }
