"""What time it is at the exchange, whatever this machine's clock says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_AGREES = timedelta(seconds=2)
"""A header holds whole seconds, and the answer it comes with may have been under way for some time."""
_HALF_A_SECOND = timedelta(seconds=0.5)
_NONE = timedelta(0)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ExchangeClock:
    """Calling it gives the time at the exchange as an aware UTC datetime.

    The local clock is used as it is while the `Date` header of the exchange's latest answer agrees with it within two
    seconds, and otherwise shifted by the difference. So a local clock that jumps, or runs wrong, is put right with the
    next answer, and an exchange with a time of its own is followed.
    """

    def __init__(self, local: Callable[[], datetime] = _utc_now) -> None:
        """`local` gives the local wall clock as an aware datetime."""
        self._local = local
        self._offset = _NONE

    def __call__(self) -> datetime:
        """Now, at the exchange."""
        return self._local() + self._offset

    def heard(self, date_header: str | None) -> None:
        """Take in the `Date` header of an answer that arrives now; none, or an unreadable one, changes nothing."""
        said = _moment(date_header)
        if said is not None:
            offset = said + _HALF_A_SECOND - self._local()
            self._offset = _NONE if abs(offset) <= _AGREES else offset


def _moment(date_header: str | None) -> datetime | None:
    try:
        said = None if date_header is None else parsedate_to_datetime(date_header)
        return None if said is None or said.tzinfo is None else said.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
