"""The tape of one market, as every world offers it, and the tape cut from a template."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import Protocol

from kalshi_ingest.simulator.fragments import Fragments, Gaps
from kalshi_ingest.simulator.lifecycle import TIME_PREFIXED_IDS
from kalshi_ingest.simulator.plan import MarketPlan
from kalshi_ingest.simulator.seeds import digest
from kalshi_ingest.simulator.templates import TemplateTape
from kalshi_ingest.simulator.wire import DAY, day_start

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

    Trades at or after the close, before the open or not yet made are left out, and the oldest ones too
    where the plan keeps only a share; so markets that share a template still differ.
    """

    def __init__(self, plan: MarketPlan, template: TemplateTape, seed: int, now: int) -> None:
        self._plan = plan
        self._template = template
        self._seed = seed
        event = plan.event
        self._base = day_start(event.day) - DAY
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
        return self._template.volumes[self._stop] - self._template.volumes[self._start]

    def volume_since(self, moment: int) -> int:
        """Sum of the counts of trades at or after `moment`."""
        stop = self._start + self.since(moment)
        return self._template.volumes[stop] - self._template.volumes[self._start]

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
        return self._base + offset, f"{prefix}{self._rows.middle_id(place)}{self._tail}"

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""
        moment, trade_id = key
        target = self._base - moment
        place = bisect_left(self._template.falling, target)
        stop = bisect_right(self._template.falling, target)
        place = min(max(place, self._start), self._stop)
        while place < min(stop, self._stop) and self.key(place - self._start)[1] >= trade_id:
            place += 1
        return place - self._start

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas; each UTC date in between is filled on its own."""
        place, end = self._start + start, self._start + stop
        parts = []
        while place < end:
            day_number = -self._template.falling[place] // DAY
            border = min(end, bisect_right(self._template.falling, -day_number * DAY))
            parts.append(self._rows.fill(place, border, self._gaps(day_number)))
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
        return Gaps.of(day.isoformat(), self._plan.ticker, day_code(day) if self._timed else "", self._tail)

    def _count_since(self, moment: int) -> int:
        return bisect_right(self._template.falling, self._base - moment)
