"""The probes of the Python cases: wrong before the fix, right after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import FIXTURES, Case, Files, case_paths

PROBES = [path for path in case_paths("python/*") if b"\n-- probe/" in path.read_bytes()]
HELPER = Path(__file__).parent / "stubs" / "probing.py"
SECONDS = 6
ATTEMPTS = 10
"""How many turns of the threads are tried: on a busy machine they are not quite as drawn."""
PATIENCE = 5
"""How many times longer a right program may take than a wrong one is waited for."""


def _name(path: Path) -> str:
    return path.relative_to(FIXTURES).with_suffix("").as_posix()


@pytest.mark.parametrize("path", PROBES, ids=_name)
def test_probe(path: Path, tmp_path: Path) -> None:
    """A probe fails on the code before the fix and ends well on the code after it."""
    case = Case.read(path)
    for seed in range(ATTEMPTS):
        before = _run(case, case.before, tmp_path / "before", seed=seed)
        if before.returncode != 0:
            break
    assert before.returncode != 0, "the probe finds nothing wrong before the fix"
    assert "ImportError" not in before.stderr, before.stderr
    assert "SyntaxError" not in before.stderr, before.stderr
    after = _run(case, case.after, tmp_path / "after", seed=seed, patience=PATIENCE)
    assert after.returncode == 0, f"the probe fails after the fix\n{after.stderr}"


def _interpreter(case: Case) -> str:
    """Return a Python that is new enough for a case: this one, or one of the machine's."""
    wanted = case.option("python", "")
    if not wanted or tuple(map(int, wanted.split("."))) <= sys.version_info[:2]:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = next(map(str, sorted(root.glob(f"versions/{wanted}*/bin/python"))), None)
    found = found or shutil.which(f"python{wanted}")
    if found is None:
        pytest.skip(f"there is no Python {wanted}")
    return found


def _run(
    case: Case, files: Files, folder: Path, *, seed: int, patience: int = 1
) -> subprocess.CompletedProcess[str]:
    for name, data in {**files, **case.part("probe")}.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    command = [_interpreter(case), "-I", "-S", str(HELPER), str(folder / "probe.py")]
    return subprocess.run(
        [*command, str(SECONDS * patience), str(seed), str(patience)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS * patience * 2,
        check=False,
    )
