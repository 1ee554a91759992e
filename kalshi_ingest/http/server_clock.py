"""The time at a server, as far as the `Date` headers of its answers prove it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from kalshi_ingest.clocks import steady, utc_now

AGREEING = 3
"""So many answers in a row have to contradict what is known before the clock follows them."""
OLDEST = 10 * 86_400.0
"""Seconds. An answer that claims a greater age counts as one of this age."""
_SLACK = 0.25
"""Seconds. A server may stamp with a second that it looked up a moment before, and its machines may differ a little."""
_DRIFT = 0.001
"""Seconds in a second by which the steady clock may run away from the server's."""
_TYPICAL = 0.5 + _SLACK
"""Seconds from the earliest moment that a fresh answer allows to the likeliest: the middle of its header's second."""
_LOCAL_SECONDS = 2.0
"""An answer that differs by no more from this machine's clock is believed at once: two clocks agree."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The server's time minus the steady clock lies between `low` and `high`, seconds, as of `at` (steady)."""

    low: float
    high: float
    at: float

    def later(self, now: float) -> "_Bounds":
        """The same after some time without an answer."""
        run_away = _DRIFT * max(0.0, now - self.at)
        return _Bounds(self.low - run_away, self.high + run_away, now)

    def meets(self, other: "_Bounds") -> bool:
        """Whether both can be true."""
        return self.low <= other.high and other.low <= self.high

    def within(self, other: "_Bounds") -> "_Bounds":
        """What both leave."""
        return _Bounds(max(self.low, other.low), min(self.high, other.high), max(self.at, other.at))


class ServerClock:
    """Calling it gives the time at a server as an aware UTC datetime.

    Each answer bounds it: its `Date` header names a second between sending and arrival. The bounds are intersected on a
    steady clock, so that a wrong local clock plays no part. Contradictions move nothing until `AGREEING` answers in a
    row agree; before the first answers agree the newest one counts alone.
    """

    def __init__(self, local: Callable[[], datetime] = utc_now, steady_clock: Callable[[], float] = steady) -> None:
        """`local` gives the local wall clock as an aware datetime, the time until a server has answered."""
        self.steady = steady_clock
        """The steady clock, seconds, on which the moments given to this one are counted."""
        self._local = local
        self._known: _Bounds | None = None
        self._fitting = 0
        """Answers in a row that fitted."""
        self._agreed = False
        self._doubts: list[_Bounds] = []
        """Answers in a row that contradicted what is known, all in the same direction."""

    @property
    def known(self) -> bool:
        """Whether any answer gave the time."""
        return self._known is not None

    @property
    def agreed(self) -> bool:
        """Whether several answers, or an answer and the local clock, tell the same time."""
        return self._agreed

    def __call__(self) -> datetime:
        """Now, at the server: the local clock while no answer contradicts it, else the likeliest moment."""
        local = self._local()
        if self._known is None:
            return local
        now = self.steady()
        known = self._known.later(now)
        if known.low <= local.timestamp() - now <= known.high:
            return local
        return _utc(now + known.low + min((known.high - known.low) / 2, _TYPICAL))

    def earliest(self, at: float | None = None) -> datetime:
        """The earliest that it can have been at the server at `at`, a moment on the steady clock; None: now."""
        at = self.steady() if at is None else at
        if self._known is None:
            return self._local()
        return _utc(at + self._known.later(at).low)

    def latest(self) -> datetime:
        """The latest that it can be at the server now, should answers be right that are not believed yet."""
        if self._known is None:
            return self._local()
        now = self.steady()
        return _utc(now + max(each.later(now).high for each in (self._known, *self._doubts)))

    def heard(self, date_header: str | None, sent_at: float, may_be_old: float = 0.0) -> float:
        """Take in the `Date` of an answer, which arrives now, to a request sent at `sent_at` (steady).

        `may_be_old`: seconds for which the answer may have lain in a cache. A header that cannot be read changes
        nothing. Returns the answer's greatest age, seconds: above 0 only where the header names a time that has passed
        and is not believed.
        """
        said = _moment(date_header)
        if said is None:
            return 0.0
        now = self.steady()
        told = _Bounds(said - now - _SLACK, said + 1 + _SLACK + may_be_old - sent_at, now)
        known = None if self._known is None else self._known.later(now)
        if known is None:
            self._take(told, 1)
        elif known.meets(told):
            self._doubts.clear()
            self._take(known.within(told), self._fitting + 1)
        elif not self._doubt(known, told):
            return max(0.0, known.high - told.low) if told.high < known.low else 0.0
        return 0.0

    def _take(self, bounds: _Bounds, fitting: int) -> None:
        self._known, self._fitting = bounds, fitting
        local = self._local().timestamp() - bounds.at
        near = bounds.low - _LOCAL_SECONDS <= local <= bounds.high + _LOCAL_SECONDS
        self._agreed = self._agreed or fitting >= AGREEING or near

    def _doubt(self, known: _Bounds, told: _Bounds) -> bool:
        """Note an answer that contradicts what is known; whether it is believed."""
        if self._doubts and (self._doubts[-1].low > known.high) != (told.low > known.high):
            self._doubts.clear()
        self._doubts.append(told)
        if self._agreed and len(self._doubts) < AGREEING:
            return False
        bounds, fitting = told, 1
        for each in reversed(self._doubts[:-1]):
            if not bounds.meets(each):
                break  # the server's time runs at another pace than ours, or its answers tell different times
            bounds, fitting = bounds.within(each), fitting + 1
        self._doubts.clear()
        self._agreed = False
        self._take(bounds, fitting)
        return True


def told_age(headers: Mapping[str, str]) -> float | None:
    """The age of a cached answer, seconds, by its `Age` (rounded up, `OLDEST` at most); None without a legible one."""
    told = headers.get("Age", "").strip()
    return min(OLDEST, float(told)) + 1 if told.isascii() and told.isdecimal() else None


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=8)  # the same second comes with a hundred answers
def _moment(date_header: str | None) -> float | None:
    """Unix seconds of a `Date` header; None for one that is missing, cannot be read or names a year far away."""
    try:
        said = None if date_header is None else parsedate_to_datetime(date_header)
        return None if said is None or said.tzinfo is None or not 2000 <= said.year < 2200 else said.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
