"""Our one-minute candles of one market against the exchange's own: each minute that either side calls traded.

The exchange's candles of minutes without trades have volume 0 and no price, and are left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from kalshi_ingest.domain.model import PRICE_UNITS, to_microseconds

FIELDS = ("open", "high", "low", "close", "mean", "volume")
"""What is compared; `Difference.field` is one of these, or `CANDLE`."""

CANDLE = "candle"
"""The field of a difference in which one side has no candle at all."""

_CENT = PRICE_UNITS // 100
_WIRE_DIGIT = PRICE_UNITS // 10_000
_DOLLAR_ERA_US = to_microseconds(datetime(2026, 3, 12, tzinfo=UTC))
"""When the exchange gave up integer cents."""


class MinuteCandle(NamedTuple):
    """One minute as one side states it. Prices are micro-dollars, None in a minute without trades."""

    start_us: int
    open: int | None
    high: int | None
    low: int | None
    close: int | None
    mean: int | None
    """Volume-weighted; cut to micro-dollars on our side, `mean_agrees` allows for the exchange's own rounding."""
    volume: int
    """Hundredths of a contract; 0: no trade in this minute."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one minute in which the two sides differ: prices in micro-dollars, volumes in hundredths.

    For `CANDLE` the side that has a candle states its volume, and None stands for the other.
    """

    start_us: int
    field: str
    ours: int | None
    theirs: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome for one market; `differences` are in order of time, then of `FIELDS`."""

    minutes: int
    """Minutes that either side calls traded."""
    equal: int
    """Those of them in which everything is the same."""
    differences: tuple[Difference, ...]


def compare(ours: Iterable[MinuteCandle], theirs: Iterable[MinuteCandle]) -> Comparison:
    """Compare the stored candles of a market with the exchange's, each minute at most once on each side.

    A stored candle claims a trade whatever its volume, because no row is what stands for no trade.
    """
    held = {candle.start_us: candle for candle in ours}
    stated = {candle.start_us: candle for candle in theirs if candle.volume}
    differences: list[Difference] = []
    equal = 0
    for start_us in sorted(held.keys() | stated.keys()):
        found = _differences(start_us, held.get(start_us), stated.get(start_us))
        differences += found
        equal += not found
    return Comparison(len(held.keys() | stated.keys()), equal, tuple(differences))


def mean_agrees(ours: int, theirs: int, start_us: int) -> bool:
    """Whether the exchange's mean price is ours, as it may have been shortened. All prices in micro-dollars.

    Ours is cut to 6 decimals; the exchange cuts or rounds to 4. Before 2026-03-12, when prices were integer cents, it
    cut to a whole cent (2,075 of 2,075 minutes); whether those means were recomputed since is not known.
    """
    cut = ours - ours % _WIRE_DIGIT
    rounded = (ours + _WIRE_DIGIT // 2) // _WIRE_DIGIT * _WIRE_DIGIT
    in_cents = start_us < _DOLLAR_ERA_US and theirs == ours - ours % _CENT
    return theirs in (ours, cut, rounded) or in_cents


def _differences(start_us: int, ours: MinuteCandle | None, theirs: MinuteCandle | None) -> list[Difference]:
    if ours is None or theirs is None:
        return [Difference(start_us, CANDLE, ours and ours.volume, theirs and theirs.volume)]
    return [
        Difference(start_us, field, one, other)
        for field, one, other in zip(FIELDS, ours[1:], theirs[1:], strict=True)
        if one != other
        and not (field == "mean" and one is not None and other is not None and mean_agrees(one, other, start_us))
    ]
