"""Syntax that is newer than the Python that runs the tests: read as its older sibling."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest
from python_cases import file_of

from threadmend.python.newer import covered, parsed, parsed_covered
from threadmend.source import UnreadableError

SAME = {
    "type X = int\nx = X\n": "X = int\nx = X\n",
    "type  Rows[T: int = str] = list[T]\n": "Rows = list[T]\n",
    "def f[T, *Ts, **P](x: T): pass\n": "def f(x: T): pass\n",
    "class A[\n    T,\n    U = int,\n](B[T]):\n    y = 1\n": "class A(B[T]):\n    y = 1\n",
    "async def f[T: (int, str)](x): pass\n": "async def f(x): pass\n",
    "try: x\nexcept A, b.C: 0\nexcept (D, E): 1\n": (
        "try: x\nexcept (A, b.C): 0\nexcept (D, E): 1\n"
    ),
    "try: x\nexcept* A, B: y\n": "try: x\nexcept* (A, B): y\n",
    "x = [*a for a in b]\n": "x = [a for a in b]\n",
    "x = {**a for a in b}\n": "x = {a for a in b}\n",
    "lazy import a.b\nlazy from c import d\n": "lazy\nimport a.b\nlazy\nfrom c import d\n",
    'x = t"a{b}"\n': 'x = f"a{b}"\n',
    'x = f"{d["k"]} {y!r:>{w["n"]}}"\n': 'x = f"{d[___]} {y!r:>{w[___]}}"\n',
    'x = f"{", ".join(y)}"\n': 'x = f"{____.join(y)}"\n',
    'x = f"{f"{y}"} {z}"\n': 'x = f"{______} {z}"\n',
    'x = f"{\n  y  # why\n}" "z"\n': "x = '''\n      ''' \"z\"\n",
}


@pytest.mark.parametrize("text", SAME)
def test_newer_syntax_is_read_as_older(text: str) -> None:
    data = text.encode()
    older, module = covered(data), parsed_covered(data)
    assert older is not None
    assert len(older) == len(data)
    assert module is not None
    assert ast.dump(module) == ast.dump(ast.parse(SAME[text]))


@pytest.mark.parametrize(
    "text",
    [
        "type = type(x)\nlazy = type\nmatch = [type]\n",
        "x = '{y[\"k\"]}', r'\\n', b'{', f'{{\"', f'{y!r:>{w}}', \"\"\"f'{x[\"\"]}'\"\"\"\n",
        "x = [*a, *b]\nf(*a, **{k: v for k, v in c})\n",
        "try: x\nexcept (A, B) as e: y\nexcept C: f(a, b)\n",
        "x = 'a  # no string ends here\n",
    ],
)
def test_older_syntax_is_left_alone(text: str) -> None:
    assert covered(text.encode()) is None


def test_the_standard_library_is_left_alone() -> None:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::4]:
        data = path.read_bytes()
        module = parsed_covered(data)  # a later Python's library may be written in later syntax
        assert module is None or ast.dump(module) == ast.dump(parsed(data)), path


def test_places_are_those_of_the_text() -> None:
    file = file_of(
        "type Key = str\ndef get[T](d, key):\n    try:\n        return d[key]\n"
        '    except A, B:\n        return f"{d["x"]}", key\n'
    )
    names = {file.text(node) for node in file.nodes(ast.Name)}
    assert {"Key", "str", "d", "key", "A", "B"} <= names
    handler = file.nodes(ast.ExceptHandler)[0]
    assert isinstance(handler.type, ast.Tuple)
    assert file.text(handler.type) == "A, B"
    assert file.text(handler.body[0]) == 'return f"{d["x"]}", key'


@pytest.mark.parametrize("text", ["def f(:\n", "type X = = 1\n", 'x = f"{y"\n', "class A[T:\n"])
def test_what_no_python_reads_stays_unreadable(text: str) -> None:
    with pytest.raises(UnreadableError, match=r"does not parse at 1:"):
        file_of(text)
