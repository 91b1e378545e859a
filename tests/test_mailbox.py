"""mailbox(): what `git am` makes of it."""

from __future__ import annotations

import mailbox as mailboxes
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gitrepo import Repository

from threadmend.diff import FileMode
from threadmend.mailbox import mailbox
from threadmend.model import Finding, Patch, Rule, Subject


def rule(name: str, doc: str) -> Rule:
    def check(_: object) -> Iterable[Finding]:
        return ()

    return Rule(name, doc, check, Subject.GO_FILE, "mutex")


LOCK = rule("go/lock-not-released", "Release the lock on every path.\n\nWhoever waits, waits.")
LEAK = rule(
    "go/leaked-sender", "Give the sender a way out\n\nSee U+2028: é.\n\nNot reported: none."
)

BEFORE = {"a.go": b"one\r\ntwo\r\nthree\r\n", "b/ü.go": b"x\xff\nno newline", "gone.go": b"g\n"}
FIRST: Mapping[str, bytes | None] = {"a.go": b"one\r\nTWO\r\nthree\r\n"}
SECOND: Mapping[str, bytes | None] = {
    "a.go": b"one\r\nTWO\r\nTHREE\r\n",
    "b/ü.go": b"y\xfe\nno newline",
    "gone.go": None,
    "new.go": b"",
}
PATCH = Patch(
    before={**BEFORE, "new.go": None},
    after=SECOND,
    by_rule={LOCK.name: FIRST, LEAK.name: SECOND},
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "work", tmp_path)
    repository.write(BEFORE)
    repository.commit()
    return repository


def test_git_am_makes_one_commit_per_rule(repository: Repository) -> None:
    repository.git("am", "-q", data=mailbox(PATCH, (LEAK, LOCK)))
    assert {path: repository.read(path) for path in SECOND} == SECOND
    log = repository.git("log", "--format=%an <%ae>%n%B%x00", "main~2..main").decode()
    assert log.split("\0\n")[:-1] == [
        "threadmend <threadmend@localhost>\n"
        "go/leaked-sender: Give the sender a way out\n\n"
        "See U+2028: é.\n\nNot reported: none.\n",
        "threadmend <threadmend@localhost>\n"
        "go/lock-not-released: Release the lock on every path\n\nWhoever waits, waits.\n",
    ]
    assert repository.git("show", "main~1:a.go") == FIRST["a.go"]


def test_three_way_finds_the_blobs(repository: Repository) -> None:
    repository.write({"a.go": b"zero\r\n" * 9 + b"one\r\ntwo\r\nthree\r\n"})
    repository.commit()
    repository.git("am", "-q", "-3", data=mailbox(PATCH, (LEAK, LOCK)))
    assert repository.read("a.go") == b"zero\r\n" * 9 + b"one\r\nTWO\r\nTHREE\r\n"


def test_same_patch_same_bytes_and_ascii() -> None:
    mails = mailbox(PATCH, (LEAK, LOCK))
    assert mails == mailbox(PATCH, (LOCK, LEAK))
    assert mails.isascii()
    assert b"\r" not in mails
    assert b"Date:" not in mails
    assert max(map(len, mails.splitlines())) <= 78


def test_date_and_author_when_given(repository: Repository) -> None:
    mails = mailbox(
        PATCH,
        (),
        author=("Zoë, Q", "z@example.com"),
        date=datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC),
    )
    repository.git("am", "-q", data=mails)
    assert repository.git("log", "-1", "--format=%an|%ae|%ad|%s", "--date=iso").decode() == (
        "Zoë, Q|z@example.com|2020-02-03 04:05:06 +0000|go/leaked-sender: Apply fixes\n"
    )


def test_words_that_git_would_take_for_a_patch(repository: Repository) -> None:
    doc = (
        "Naïve title, so long that the subject must be folded over several lines of the mail\n\n"
        "From: somebody\n\nUnderlined\n----------\n\n--- a/x\n+++ b/x\n\n---\n\n"
        "diff --git a/x b/x\n\nIndex: x\n\nSubject: none"
    )
    patch = Patch(
        before={"gone.go": b"g\n"}, after={"gone.go": b"G\n"}, by_rule={"go/x": {"gone.go": b"G\n"}}
    )
    repository.git("am", "-q", data=mailbox(patch, (rule("go/x", doc),)))
    said = repository.git("log", "-1", "--format=%B").decode()
    assert [line.strip() for line in said.strip().splitlines()] == ("go/x: " + doc).splitlines()
    assert repository.read("gone.go") == b"G\n"
    assert b"threadmend@localhost" in repository.git("log", "-1", "--format=%ae")


def test_modes_are_kept_without_a_warning(repository: Repository) -> None:
    (repository.root / "a.go").chmod(0o755)
    repository.commit()
    patch = Patch(before={"a.go": BEFORE["a.go"]}, after=FIRST, by_rule={LOCK.name: FIRST})
    mails = mailbox(patch, (LOCK,), modes={"a.go": FileMode.EXECUTABLE})
    repository.git("am", "-q", data=mails)
    assert repository.git("ls-tree", "HEAD", "a.go").startswith(b"100755")


def test_steps_that_cancel_and_what_no_rule_accounts_for(repository: Repository) -> None:
    patch = Patch(
        before={"gone.go": b"g\n", "a.go": BEFORE["a.go"]},
        after={"gone.go": b"G\n", "a.go": FIRST["a.go"]},
        by_rule={"go/none": {"gone.go": b"g\n"}, "go/lock-not-released": FIRST},
    )
    repository.git("am", "-q", data=mailbox(patch, (LOCK,)))
    subjects = repository.git("log", "--format=%s", "-3").decode().splitlines()
    assert subjects == [
        "threadmend: Apply fixes",
        "go/lock-not-released: Release the lock on every path",
        "base",
    ]


def test_nothing_makes_no_mail() -> None:
    assert mailbox(Patch(), ()) == b""


def test_other_programs_read_the_mails(tmp_path: Path) -> None:
    (tmp_path / "mbox").write_bytes(mailbox(PATCH, (LEAK, LOCK)))
    mails = list(mailboxes.mbox(tmp_path / "mbox"))
    assert [mail["Subject"].partition(" go/")[0] for mail in mails] == [
        "[PATCH 1/2]",
        "[PATCH 2/2]",
    ]
    body = mails[0].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"+TWO\r\n" in body
