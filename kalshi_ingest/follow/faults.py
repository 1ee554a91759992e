"""Unexpected exceptions: logged with their traceback, counted, and survived."""

from collections import Counter

import structlog

from kalshi_ingest.errors import IngestError
from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.logs import redact
from kalshi_ingest.postgres.sqlstate import is_of_database

MOST_IN_A_ROW = 10
"""Faults in a row that end the service; a supervisor may restart it in another version."""
_MOST_OF_A_MARKET = 2
"""Faults at the same market after which it fails alone: one market must not end the service."""

log = structlog.get_logger()


def is_fault(error: BaseException) -> bool:
    """Whether `error` is a mistake of this program, and neither the exchange's, the database's nor the user's."""
    return isinstance(error, Exception) and not isinstance(error, IngestError) and not is_of_database(error)


def describe(error: BaseException) -> str:
    """The fault in words for the user, without secrets."""
    said = str(error).strip().splitlines()[:1]
    return redact(": ".join(["a fault of the program itself", type(error).__name__, *said]))


class Faults:
    """Keeps count of them for as long as the process lives."""

    def __init__(self, state: FollowState) -> None:
        self._state = state
        self._in_a_row = 0
        self._of_market: Counter[str] = Counter()
        self._alone: set[str] = set()
        """Markets that failed alone since a walk of any market succeeded."""

    def record(self, where: str, error: BaseException) -> None:
        """Log one and count it."""
        self._state.faults += 1
        log.error("program_fault", where=where, reason=describe(error), exc_info=error)

    def count(self) -> int:
        """Count one that ended a session: how many there were in a row."""
        self._in_a_row += 1
        return self._in_a_row

    def end_row(self) -> None:
        """A session worked for a while: what comes now begins another row."""
        self._in_a_row = 0

    def isolates(self, ticker: str, error: Exception) -> bool:
        """Whether this market fails alone; else the error concerns the whole session, and names the market."""
        if not is_fault(error):
            return False
        self._of_market[ticker] += 1
        if self._of_market[ticker] <= _MOST_OF_A_MARKET or len(self._alone | {ticker}) >= MOST_IN_A_ROW:
            error.add_note(f"at work on {ticker}")
            return False
        self._alone.add(ticker)
        self.record(ticker, error)
        return True

    def clear(self, ticker: str) -> None:
        """A walk of this market succeeded."""
        self._of_market.pop(ticker, None)
        self._alone.clear()
