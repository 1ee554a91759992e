"""Parts of this program that run as programs of their own."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
"""The folder that holds the package."""


def command_of(module: str, *arguments: str) -> list[str]:
    """Run a module of this package, with the environment of `environment`.

    Nothing is imported from the working folder: a user's `types.py` or `signal.py` would be taken for Python's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> Mapping[str, str]:
    """This process's own, with this very package to be found first, wherever it was imported from."""
    if Path(sysconfig.get_path("purelib")).resolve() == _HERE:
        return os.environ  # It is found anyway, and nothing else in that folder may hide Python's own modules.
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_HERE), os.environ.get("PYTHONPATH")]))}
