"""Text on its way to a terminal, a pipe or a file: what may be written there, in which colours, and to which stream.

Texts of the exchange, of the weather services and of archives are foreign: an escape sequence among them could
retitle a terminal, hide lines or put words into the user's clipboard.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Mapping
from typing import Protocol, TextIO

# Control characters but for line feed and tab, the bidirectional controls, separators that some readers take for a
# line's end, and halves of surrogate pairs.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PAINTED = re.compile(r"(\x1b\[(?:0|1;31|3[236])m)")
"""The colours that this program paints with itself."""


class Stream(Protocol):
    """What text is written to: any text file."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def isatty(self) -> bool: ...


def safe(text: str, *, painted: bool = False) -> str:
    r"""`text` without characters that a terminal obeys: each becomes its escape, such as \u001b.

    That is also how JSON escapes them, so JSON stays the same JSON. `painted`: this program's own colours stay.
    """
    if painted:
        return "".join(part if at % 2 else safe(part) for at, part in enumerate(_PAINTED.split(text)))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def safe_line(text: str) -> str:
    """The same in one line."""
    return safe(text).replace("\n", "\\n")


def colours(stream: Stream, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` is a terminal whose user wants colours: see no-color.org; a dumb terminal has none."""
    return obeys(stream, environment) and not environment.get("NO_COLOR")


def obeys(stream: Stream, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` is a terminal that understands escape sequences."""
    return stream.isatty() and environment.get("TERM", "").lower() not in ("dumb", "unknown")


def prepare() -> None:
    """Make sure that the standard streams are there and take any text; call it before anything else is opened.

    A stream that the caller has closed leads nowhere. Were its number left free, the next file or socket would get
    it, and what a child process says would end up there.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(stream: TextIO, text: str) -> None:
    """Write `text` at once. When nobody reads any more, this and whatever follows is dropped.

    Whether the work succeeded does not depend on somebody reading all that is said about it: `| head -1` is not an
    error.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO, errno.EBADF):
            raise
        _lead_nowhere(stream)


def complain(text: str) -> None:
    """Write `text` to standard error. Where that fails, on a full disk for example, the exit code has to do."""
    try:
        write(sys.stderr, text)
    except OSError:
        _lead_nowhere(sys.stderr)


def finish() -> None:
    """Write out what is left in the standard streams, or drop it: call it last, for Python would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _lead_nowhere(stream)


def _lead_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
