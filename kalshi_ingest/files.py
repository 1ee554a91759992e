"""Files that replace others: what has their name is removed, never written to and never followed."""

import os
from pathlib import Path
from typing import BinaryIO


def created(path: Path) -> BinaryIO:
    """A new, empty file at `path`, to write to.

    A temporary file has a name that others can guess. Where they may write to the folder too, they could put a link
    there, to a file that this program's user may overwrite and they may not. Raises `OSError`; `FileExistsError` when
    another process creates a file there at the same moment.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "w+b")
