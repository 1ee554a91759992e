"""Programs that a few tests use and that nobody has to have: without one its tests are skipped, and say so.

Where `.ci/run` installs them, REQUIRED_PROGRAMS names those without which the tests fail instead.
"""

import os
import shutil

import pytest

_ADMINISTRATORS = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def find(*names: str) -> str | None:
    """The path of the first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name, path=_ADMINISTRATORS))), None)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip the test where none of these programs is installed, unless the first of them is required."""
    required = names[0] in os.environ.get("REQUIRED_PROGRAMS", "").split()
    return pytest.mark.skipif(not required and find(*names) is None, reason=f"{names[0]} is not installed")
