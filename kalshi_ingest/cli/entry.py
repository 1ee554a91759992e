"""Runs one command from its words to its exit code."""

import errno
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kalshi_ingest import logs, terminal
from kalshi_ingest.cli.parse import parse
from kalshi_ingest.cli.signals import handled
from kalshi_ingest.errors import IngestError, OutOfReach, Unusable
from kalshi_ingest.exit_codes import FAULT, INTERRUPTED, OUT_OF_REACH, UNUSABLE
from kalshi_ingest.postgres.sqlstate import translated

_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""What the machine may lack, or be ill with, wherever a file is opened or written. All else about a file that the user
named is explained where it is used; what arrives here raw was not expected."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every expected error is one line on stderr."""
    terminal.prepare()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    finally:
        terminal.finish()


def _run(words: Sequence[str]) -> int:
    with handled() as signals, _explained() as outcome:
        with signals.deferred():
            command = parse(words)
        outcome.append(command())
    return outcome[-1]


@contextmanager
def _explained() -> Iterator[list[int]]:
    """Turn expected errors into one clear line, others into their traceback, and choose the exit code."""
    outcome: list[int] = []
    try:
        yield outcome
    except KeyboardInterrupt:
        outcome.append(INTERRUPTED)
    except Exception as error:
        meaning = translated(error)
        if isinstance(meaning, OSError) and meaning.errno in _EXHAUSTED:
            meaning = OutOfReach(f"the machine does not let the program work: {meaning}; correct it, then run again")
        if isinstance(meaning, IngestError):
            outcome.append(UNUSABLE if isinstance(meaning, Unusable) else OUT_OF_REACH)
            _complain(str(meaning) or type(meaning).__name__)
        else:
            outcome.append(FAULT)
            terminal.complain(terminal.safe(logs.redact(traceback.format_exc())))
            _complain("a fault of the program itself: please report the lines above; what is committed stays")


def _complain(text: str) -> None:
    terminal.complain(terminal.safe(f"kalshi-ingest: {logs.redact(text)}") + "\n")
