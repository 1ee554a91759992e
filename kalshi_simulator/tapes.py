"""The tape of one market, as every world offers it, and the tape cut from a template."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from typing import Protocol

from kalshi_simulator.fragments import Fragments, Gaps
from kalshi_simulator.lifecycle import TIME_PREFIXED_IDS
from kalshi_simulator.plan import MarketPlan
from kalshi_simulator.seeds import digest
from kalshi_simulator.sizes import LENGTH, size_roll
from kalshi_simulator.templates import TemplateTape
from kalshi_simulator.wire import DAY, day_start

Key = tuple[int, str]
"""Where a walk stands: created time in Unix microseconds, then trade id; both descending."""

_FIRST_DAY_CODE = date(2021, 9, 5).toordinal()


class Tape(Protocol):
    """One market's trades in listing order, newest first. Indexes count from the newest."""

    @property
    def raw(self) -> bool:
        """Whether the rows are served as given, without times to part or filter them by."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> Key:
        """The keyset of one row."""

    def since(self, moment: int) -> int:
        """How many rows were created at or after `moment` (Unix microseconds)."""

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas, without brackets; empty for an empty range."""

    def blocks(self) -> Sequence[int]:
        """Indexes of the block trades, ascending."""


def day_code(day: date) -> str:
    """Four hex digits that grow with the day: the beginning of a time-prefixed trade id."""
    return f"{(day.toordinal() - _FIRST_DAY_CODE) & 0xFFFF:04x}"


class CutTape:
    """The part of a template tape that one market shows at one moment.

    Trades at or after the close, before the open or not yet made are left out, and the oldest ones too,
    since the plan keeps only a share. The counts and the last digits of the times are the market's own, so
    that no two markets list the same trades though they share a template.
    """

    def __init__(self, plan: MarketPlan, template: TemplateTape, seed: int, now: int) -> None:
        self._plan = plan
        self._template = template
        self._seed = seed
        event = plan.event
        self._base = day_start(event.day) - DAY
        salt = int(digest(12, seed, "counts", plan.ticker), 16)
        self._enters = salt % LENGTH
        self._below = _below_the_millisecond(salt // LENGTH % 810)
        newest = self._count_since(event.closes)
        oldest = self._count_since(event.opens)
        if plan.quiet:
            oldest = newest
        elif plan.exactly_1000 and oldest - newest >= 1000:
            oldest = newest + 1000
        else:
            oldest = newest + math.ceil((oldest - newest) * plan.keep)
        self._stop = oldest
        self._start = min(max(newest, self._count_since(now)), oldest)
        self.raw = False

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def volume(self) -> int:
        """Sum of all counts, hundredths of a contract."""
        return size_roll().volume(self._enters + self._start, self._enters + self._stop)

    def volume_since(self, moment: int) -> int:
        """Sum of the counts of trades at or after `moment`."""
        first = self._enters + self._start
        return size_roll().volume(first, first + self.since(moment))

    def last_price(self, index: int = 0) -> int | None:
        """Yes price (tenths of a cent) of the latest execution among rows `index` and older.

        Inside a tie the last execution has the highest price if yes was taken, else the lowest.
        """
        if index >= len(self):
            return None
        newest = self._template.stroke(self._start + index)
        prices = []
        for place in range(self._start + index, self._stop):
            stroke = self._template.stroke(place)
            if stroke.offset != newest.offset:
                break
            prices.append(stroke.price)
        return max(prices) if newest.takes_yes else min(prices)

    def since(self, moment: int) -> int:
        """How many rows were created at or after `moment` (Unix microseconds)."""
        return min(max(self._count_since(moment), self._start), self._stop) - self._start

    def key(self, index: int) -> Key:
        """The keyset of one row."""
        place = self._start + index
        offset = -self._template.falling[place]
        prefix = day_code(self._day(offset)) if self._timed else ""
        return self._moment(place), f"{prefix}{self._rows.middle_id(place)}{self._tail}"

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""
        place = max(self._count_since(key[0] + 1), self._start)
        while place < self._stop and self.key(place - self._start) >= key:
            place += 1
        return min(place, self._stop) - self._start

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas; each UTC date in between is filled on its own."""
        place, end = self._start + start, self._start + stop
        parts = []
        while place < end:
            day_number = -self._template.falling[place] // DAY
            border = min(end, bisect_right(self._template.falling, -day_number * DAY))
            counts = size_roll().texts(self._enters + place, self._enters + border)
            parts.append(self._rows.fill(place, border, counts, self._gaps(day_number)))
            place = border
        return b",".join(parts)

    def blocks(self) -> Sequence[int]:
        """Indexes of the block trades, ascending."""
        return [place - self._start for place in self._template.blocks if self._start <= place < self._stop]

    @cached_property
    def _timed(self) -> bool:
        return self._plan.event.day >= TIME_PREFIXED_IDS

    @cached_property
    def _rows(self) -> Fragments:
        return self._template.timed_ids if self._timed else self._template.random_ids

    @cached_property
    def _tail(self) -> str:
        return digest(12, self._seed, "trades", self._plan.ticker)

    def _day(self, offset: int) -> date:
        return self._plan.event.day + timedelta(days=offset // DAY - 1)

    def _gaps(self, day_number: int) -> Gaps:
        day = self._day(day_number * DAY)
        digits = self._below[0].text, self._below[1].text, self._below[2].text
        return Gaps.of(day.isoformat(), digits, self._plan.ticker, day_code(day) if self._timed else "", self._tail)

    def _moment(self, place: int) -> int:
        """When a trade of the template happened here, Unix microseconds."""
        return self._base - self._template.falling[place] + self._below[self._template.stroke(place).digits].micros

    def _count_since(self, moment: int) -> int:
        falling = self._template.falling
        count = bisect_right(falling, self._base - moment)
        if count < len(falling) and self._moment(count) >= moment:  # the trades of one millisecond share their time
            count = bisect_right(falling, falling[count])
        return count


@dataclass(frozen=True, slots=True)
class _Below:
    """What follows the millisecond of a time: the digits, and the microseconds that they mean."""

    text: bytes
    micros: int


@cache
def _below_the_millisecond(salt: int) -> tuple[_Below, _Below, _Below]:
    """A market's digits below the millisecond, by `Digits`. The last one written is never 0, as on the exchange."""
    tens, units = 10 * (salt % 10) + salt // 10 % 9 + 1, salt // 90 % 9 + 1
    return _Below(b"", 0), _Below(b"%02d" % tens, 10 * tens), _Below(b"%02d%d" % (tens, units), 10 * tens + units)
