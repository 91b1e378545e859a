"""For which platform and tags a file is built."""

from __future__ import annotations

import pytest

from threadmend.prove.constraints import context_for


@pytest.mark.parametrize(
    ("name", "constraint", "expected"),
    [
        ("a.go", "", "linux/amd64"),
        ("a_windows.go", "", "windows/amd64"),
        ("a_windows_test.go", "", "windows/amd64"),
        ("a_darwin_arm64.go", "", "darwin/arm64"),
        ("a_arm64.go", "", "linux/arm64"),
        ("windows.go", "", "linux/amd64"),
        ("a_js.go", "", "js/wasm"),
        ("a.go", "integration", "linux/amd64 with integration"),
        ("a.go", "!linux", "windows/amd64"),
        ("a.go", "unix && !linux", "darwin/amd64"),
        ("a.go", "(a || b) && !c && go1.18", "linux/amd64 with a"),
        ("a.go", "a && b && c && d", "linux/amd64 with a,b,c,d"),
        ("a.go", "android", "android/amd64"),
        ("a.go", "wasip1", "wasip1/wasm"),
        ("a_windows.go", "linux", None),
        ("a.go", "a && !a", None),
    ],
)
def test_the_nearest_platform_that_builds_a_file(
    name: str, constraint: str, expected: str | None
) -> None:
    line = f"//go:build {constraint}\n\n" if constraint else ""
    found = context_for(name, f"// A file.\n\n{line}package a\n".encode(), "linux", "amd64")
    assert (None if found is None else str(found)) == expected


def test_a_program_of_its_own() -> None:
    found = context_for("run.go", b"//go:build ignore\n\npackage main\n", "linux", "amd64")
    assert found is not None
    assert found.alone


def test_a_constraint_after_the_package_clause_is_none() -> None:
    found = context_for("a.go", b"package a\n\n//go:build windows\n", "linux", "amd64")
    assert str(found) == "linux/amd64"
