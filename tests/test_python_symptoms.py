"""From what a Python program showed to its fix: dumps of stacks and exceptions of threads."""

from __future__ import annotations

from pathlib import Path

from cases import project_of

from threadmend.engine import Options
from threadmend.prove.answer import Answer, answer
from threadmend.prove.reports import read
from threadmend.registry import load_rules

ACCOUNT = b"""import threading


class Account:
    def __init__(self):
        self._lock = threading.Lock()
        self._n = 0

    def add(self, n):
        with self._lock:
            self._n += n
            print(self.total())

    def total(self):
        with self._lock:
            return self._n


Account().add(1)
"""
DUMP = """Timeout (0:00:00.300000)!
Thread 0x00007f4e41001b80 (most recent call first):
  File "/srv/app/account.py", line 15 in total
  File "/srv/app/account.py", line 12 in add
  File "/srv/app/account.py", line 19 in <module>
"""
POLLER = b"""import threading


class Poller(threading.Thread):
    def __init__(self, source):
        super().__init__()
        self.source = source
        self.start()
        self.results = []

    def run(self):
        for item in self.source:
            self.results.append(item)
"""
RAISED = """Exception in thread Thread-1:
Traceback (most recent call last):
  File "/usr/lib/python3.11/threading.py", line 1045, in _bootstrap_inner
    self.run()
  File "/srv/app/poller.py", line 13, in run
    self.results.append(item)
    ^^^^^^^^^^^^
AttributeError: 'Poller' object has no attribute 'results'
"""


def answered(root: Path, path: str, text: bytes, report: str) -> Answer:
    rules = tuple(rule for rule in load_rules() if rule.default and not rule.codemod)
    symptoms = read(report.encode(), "report")
    return answer(project_of({path: text}, root), symptoms, Options(rules, jobs=1))


def test_a_thread_that_waits_for_its_own_lock(tmp_path: Path) -> None:
    found = answered(tmp_path, "account.py", ACCOUNT, DUMP)
    assert found.patch.after == {
        "account.py": ACCOUNT.replace(b"threading.Lock()", b"threading.RLock()")
    }


def test_an_attribute_that_is_set_after_the_start(tmp_path: Path) -> None:
    found = answered(tmp_path, "poller.py", POLLER, RAISED)
    lines = POLLER.splitlines(keepends=True)
    lines[7:9] = [lines[8], lines[7]]
    assert found.patch.after == {"poller.py": b"".join(lines)}


def test_another_attribute_explains_nothing(tmp_path: Path) -> None:
    report = RAISED.replace("'results'", "'source'")
    found = answered(tmp_path, "poller.py", POLLER, report)
    assert not found.patch.after
    assert [reply.fixed for reply in found.replies] == [False]
