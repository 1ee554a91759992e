"""Makes the trades of one bin of a template event, as sweeps through the book.

Recorded tapes: 54 % of trades share their time with another trade of the same market; such a group never
mixes taker sides, about 69 % of groups hold several prices, and prices run along the sweep: upwards for
takers of yes, downwards for takers of no. Inside a group the exchange lists by trade id, so the listing
order says nothing about the execution order.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate

from kalshi_simulator.beliefs import STEPS
from kalshi_simulator.wire import DAY, HOUR, MILLISECOND, MINUTE, SECOND

TAPE_START = 14 * HOUR
"""First possible trade of a template, counted from UTC midnight of the day before the event date."""
TAPE_END = 2 * DAY + 8 * HOUR
"""Every close of every era lies before this; a market keeps what lies inside its own hours."""

# Share of groups by number of trades, from recorded tapes.
_GROUP_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 21)
_GROUP_SHARES = (19693, 4320, 1944, 922, 483, 241, 138, 87, 80, 50, 34, 8)
_CUMULATIVE_SHARES = tuple(accumulate(_GROUP_SHARES))
# Trading by hour since TAPE_START: a rush at the open, a quiet night, the hot afternoon, a tail.
_HOUR_WEIGHTS = (
    8, 5, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 2, 3,
    5, 7, 9, 11, 13, 15, 16, 15, 12, 9, 6, 4, 2, 1.5, 1, 0.6, 0.4, 0.3, 0.2, 0.2,
)  # fmt: skip
_CUMULATIVE_HOURS = tuple(accumulate(_HOUR_WEIGHTS))
_NEXT_LEVEL = 0.55
"""Chance that a sweep goes on to the next price with its next trade."""


class Digits(IntEnum):
    """How many digits of a time below the millisecond are the market's own."""

    NONE = 0
    TWO = 1
    THREE = 2


@dataclass(frozen=True, slots=True)
class Stroke:
    """One trade without its count. `offset` in microseconds from UTC midnight of the day before the event date.

    `offset` is a whole millisecond: what lies below it belongs to the market (see `Digits`).
    """

    offset: int
    digits: Digits
    price: int
    takes_yes: bool
    block: bool


def draw_strokes(total: int, path: list[list[float]], bin_index: int, rng: random.Random) -> list[Stroke]:
    """`total` trades in execution order, oldest first, following the bin's belief path."""
    sizes: list[int] = []
    left = total
    while left > 0:
        size = min(left, rng.choices(_GROUP_SIZES, cum_weights=_CUMULATIVE_SHARES)[0])
        sizes.append(size)
        left -= size
    strokes: list[Stroke] = []
    for (offset, digits), size in zip(_times(len(sizes), rng), sizes, strict=True):
        step = (offset - TAPE_START) * STEPS // (TAPE_END - TAPE_START)
        strokes += _sweep((offset, digits), size, path[step][bin_index], rng)
    return strokes


def _times(count: int, rng: random.Random) -> list[tuple[int, Digits]]:
    """Distinct offsets, ascending. None lies on a minute's first instant: no recorded trade does."""
    found: dict[int, Digits] = {}
    while len(found) < count:
        place = rng.random() * _CUMULATIVE_HOURS[-1]
        hour = bisect_left(_CUMULATIVE_HOURS, place)
        offset = TAPE_START + hour * HOUR + int(rng.random() * HOUR)
        grain, digits = MILLISECOND, Digits.TWO if rng.random() < 0.1 else Digits.THREE
        if rng.random() < 0.004:  # times with a short fraction, or none at all, are rare but real
            grain, digits = rng.choice((SECOND, SECOND // 10, SECOND // 100, MILLISECOND)), Digits.NONE
        offset -= offset % grain
        if offset % MINUTE:
            found.setdefault(offset, digits)
    return sorted(found.items())


def _sweep(moment: tuple[int, Digits], size: int, belief: float, rng: random.Random) -> list[Stroke]:
    takes_yes = rng.random() < 0.55
    climbs = [0]
    for _ in range(size - 1):
        climbs.append(climbs[-1] + (rng.random() < _NEXT_LEVEL))
    reach = min(climbs[-1], 40)
    cents = round(belief * 100) + rng.choice((0, 1, 1) if takes_yes else (0, -1, -1))
    first = min(max(cents, 1), 99 - reach) if takes_yes else max(min(cents, 99), 1 + reach)
    tenths = _sub_cent(belief, size, rng)
    block = size == 1 and rng.random() < 1 / 3000
    strokes = []
    for climb in climbs:
        level = min(climb, reach)
        price = tenths or 10 * (first + level if takes_yes else first - level)
        strokes.append(Stroke(*moment, price, takes_yes, block))
    return strokes


def _sub_cent(belief: float, size: int, rng: random.Random) -> int:
    """A price such as $0.0010 for a few lone trades near the ends, else nothing."""
    if size > 1 or 0.02 < belief < 0.98 or rng.random() > 0.02:
        return 0
    return rng.choice((1, 2, 5)) if belief < 0.5 else rng.choice((999, 998, 995))
