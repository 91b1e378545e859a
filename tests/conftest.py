"""What every test may ask for."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update`, which rewrites the cases' findings and results."""
    parser.addoption(
        "--update", action="store_true", help="write findings and after/ into the cases"
    )


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Return whether the cases are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update"))
