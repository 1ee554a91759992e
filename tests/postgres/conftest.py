"""Fixtures of the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.embedded_users import Users


@pytest.fixture
def users(home: Path) -> Iterator[Users]:
    """Processes that use the embedded server in `home`, to be started; none of them outlives the test."""
    processes = Users(home)
    try:
        yield processes
    finally:
        processes.end()
