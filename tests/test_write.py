"""write(): whole or not at all, and never over what somebody else changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from threadmend.write import WriteError, write


def listing(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def refused(root: Path, before: dict[str, bytes | None], after: dict[str, bytes | None]) -> str:
    held = listing(root)
    with pytest.raises(WriteError) as caught:
        write(root, before, after)
    assert listing(root) == held
    return str(caught.value)


def test_files_change_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_bytes(b"a\n")
    (tmp_path / "b.go").write_bytes(b"b\n")
    after = {"a.go": b"A\n", "b.go": None, "new/c.go": b"c\n"}
    changed = write(tmp_path, {"a.go": b"a\n", "b.go": b"b\n", "new/c.go": None}, after)
    assert changed == ["a.go", "b.go", "new/c.go"]
    assert listing(tmp_path) == {"a.go": b"A\n", "new/c.go": b"c\n"}


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "gen.go"
    file.write_bytes(b"a")
    file.chmod(0o751)
    write(tmp_path, {"gen.go": b"a"}, {"gen.go": b"b"})
    assert file.stat().st_mode & 0o777 == 0o751


def test_a_file_that_changed_since_stops_the_whole_write(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_bytes(b"a")
    (tmp_path / "b.go").write_bytes(b"typed meanwhile")
    message = refused(tmp_path, {"a.go": b"a", "b.go": b"b"}, {"a.go": b"A", "b.go": b"B"})
    assert message == "b.go: changed since it was read; nothing was written"


def test_a_file_that_is_gone_or_new_stops_the_whole_write(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_bytes(b"a")
    assert "since it was read" in refused(
        tmp_path, {"a.go": b"a", "b.go": b"b"}, {"a.go": b"A", "b.go": b"B"}
    )
    assert "exists already" in refused(tmp_path, {"a.go": None}, {"a.go": b"A"})


def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_bytes(b"a")
    (tmp_path / "b.go").write_bytes(b"b")
    (tmp_path / "b.go").chmod(0o444)
    message = refused(tmp_path, {"a.go": b"a", "b.go": b"b"}, {"a.go": b"A", "b.go": b"B"})
    assert message == "b.go: is read-only; nothing was written"


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    outside = tmp_path / "outside.go"
    outside.write_bytes(b"a")
    (project / "a.go").symlink_to(outside)
    (project / "folder").symlink_to(tmp_path)
    assert "out" in refused(project, {"a.go": b"a"}, {"a.go": b"A"})
    assert "out" in refused(project, {"folder/outside.go": b"a"}, {"folder/outside.go": b"A"})
    assert "out" in refused(project, {"../x.go": None}, {"../x.go": b"A"})
    assert outside.read_bytes() == b"a"


def test_a_link_within_the_project_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.go").write_bytes(b"a")
    (tmp_path / "link.go").symlink_to("real.go")
    write(tmp_path, {"link.go": b"a"}, {"link.go": b"A"})
    assert (tmp_path / "link.go").is_symlink()
    assert (tmp_path / "real.go").read_bytes() == b"A"


def test_a_failure_half_way_puts_the_first_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.go", "b.go"):
        (tmp_path / name).write_bytes(b"old")
    replace = os.replace

    def failing(source: str, target: str) -> None:
        if os.fspath(target).endswith("b.go"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    old = {"a.go": b"old", "b.go": b"old"}
    message = refused(tmp_path, old, {"a.go": b"new", "b.go": b"new"})
    assert message.startswith("b.go: ")
    assert "o space left on device" in message


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_kill_at_any_moment_leaves_every_file_whole(tmp_path: Path) -> None:
    old, new = b"o" * 200_000, b"n" * 300_000
    names = [f"f{number}.go" for number in range(40)]
    program = (
        "import sys; from pathlib import Path; from threadmend.write import write\n"
        f"names = {names!r}; old, new = b'o' * 200_000, b'n' * 300_000\n"
        "print('go', flush=True)\n"
        "write(Path(sys.argv[1]), dict.fromkeys(names, old), dict.fromkeys(names, new))\n"
    )
    for delay in (0.0, 0.01, 0.03, 0.08):
        for name in names:
            (tmp_path / name).write_bytes(old)
        child = subprocess.Popen(
            [sys.executable, "-c", program, os.fspath(tmp_path)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.kill()
        child.wait()
        child.stdout.close()
        assert all((tmp_path / name).read_bytes() in {old, new} for name in names)


def test_a_file_that_changes_while_the_others_are_written_stops_the_whole_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.go", "b.go"):
        (tmp_path / name).write_bytes(b"old")
    replace = Path.replace

    def meddling(self: Path, target: Path) -> Path:
        (tmp_path / "b.go").write_bytes(b"typed meanwhile")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", meddling)
    old = {"a.go": b"old", "b.go": b"old"}
    with pytest.raises(WriteError, match=r"b\.go: changed since it was read"):
        write(tmp_path, old, {"a.go": b"new", "b.go": b"new"})
    assert listing(tmp_path) == {"a.go": b"old", "b.go": b"typed meanwhile"}
