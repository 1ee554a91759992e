"""The candle chart of one market, which the template draws as SVG; its axes are text, legible at any width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from kalshi_ingest.domain.words import counted
from kalshi_ingest.web.formatting import cents, plain, weekday
from kalshi_ingest.web.queries import HeldCandle
from kalshi_ingest.web.scales import PriceScale, TimeScale

_WIDTH, _HEIGHT = 1000, 400
_PRICES_TO = 300
"""Prices above this, volume below."""
_VOLUME_FROM = 325
_EDGE = Decimal("0.025")
"""Left free above the highest and below the lowest price named."""
_ROWS = 10
_LEAST_WIDE, _LEAST_HIGH = Decimal("1.2"), Decimal(3)
"""Of a body, so that a candle with one price, as most are, and one of a minute among days are seen."""
_WIDE, _FIELD = Decimal(6), Decimal(12)
"""Of a body and of its field, where the neighbours leave room."""
_TAG = 24
"""As high as the last price's tag on the smallest screen: no other price is named under it."""


@dataclass(frozen=True, slots=True)
class Label:
    """A price or a time beside the drawing."""

    kind: str
    place: str
    """Its place as CSS."""
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One candle: wick, body and volume, and over them a field as high as the chart with the numbers."""

    kind: str
    title: str
    field_x: Decimal
    field_width: Decimal
    wick: str
    """As SVG path."""
    x: Decimal
    """Of the body and the volume, as the width is."""
    width: Decimal
    body_y: Decimal
    body_height: Decimal
    volume_y: Decimal
    volume_height: Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn and written about at least one candle. Lines are SVG paths."""

    drawn: Sequence[Drawn]
    labels: Sequence[Label]
    grid: str
    last: str
    """The last price; empty where it is not within the prices shown."""
    span: str
    """`Sat 21 Nov 07:05 to Sun 22 Nov 12:15 PST`."""
    summary: str
    newest: Sequence[tuple[str, Sequence[Decimal]]]
    """Start, then open, high, low and close in cents and the contracts; the newest first."""
    width: int = _WIDTH
    height: int = _HEIGHT


def chart(candles: Sequence[HeldCandle], last_price: Decimal | None, zone: ZoneInfo) -> Chart:
    """The drawing. Needs at least one candle."""
    prices, times = PriceScale.of(candles), TimeScale.of(candles)
    named = times.ticks(zone)
    most = max(each.volume for each in candles)
    shown = last_price if last_price is not None and prices.low <= last_price * 100 <= prices.high else None
    span = _span(candles, zone)
    return Chart(
        [_drawn(each, place, prices, zone, most) for each, place in zip(candles, _places(candles, times), strict=True)],
        [*_price_labels(prices, shown), *_time_labels(times, named)],
        _grid(prices, times, [when for when, _ in named]),
        "" if shown is None else f"M0 {_y(prices, shown):.1f}H{_WIDTH}",
        span,
        f"{counted(len(candles), 'candle')}, {span}, {_extent(candles, last_price)}",
        [_row(each, zone) for each in reversed(candles[-_ROWS:])],
    )


def _y(prices: PriceScale, dollars: Decimal) -> Decimal:
    return (_EDGE + prices.share(dollars) * (1 - 2 * _EDGE)) * _PRICES_TO


def _grid(prices: PriceScale, times: TimeScale, moments: Sequence[datetime]) -> str:
    across = "".join(f"M0 {_y(prices, price / 100):.1f}H{_WIDTH}" for price in prices.ticks())
    down = "".join(f"M{times.share(each) * _WIDTH:.1f} 0V{_HEIGHT}" for each in moments)
    return f"{across}{down}M0 {_HEIGHT}H{_WIDTH}"


_Place = tuple[Decimal, Decimal, Decimal]
"""Where a candle stands on the chart from left to right: its middle, how wide its body and its field are."""


def _places(candles: Sequence[HeldCandle], times: TimeScale) -> Iterator[_Place]:
    """As wide as the period; wider where there is room."""
    edges = [(times.share(each.period_start) * _WIDTH, times.share(each.period_end) * _WIDTH) for each in candles]
    middles = [(left + right) / 2 for left, right in edges]
    apart = [Decimal(_WIDTH), *(later - earlier for earlier, later in pairwise(middles)), Decimal(_WIDTH)]
    for number, (left, right) in enumerate(edges):
        room, period = min(apart[number : number + 2]), right - left
        wide = max(period * Decimal("0.7"), min(_WIDE, room * Decimal("0.7")), _LEAST_WIDE)
        yield middles[number], wide, max(period, min(_FIELD, room))


def _drawn(each: HeldCandle, place: _Place, prices: PriceScale, zone: ZoneInfo, most: Decimal) -> Drawn:
    middle, wide, field = place
    open_y, close_y = _y(prices, each.open), _y(prices, each.close)
    high = max(abs(open_y - close_y), _LEAST_HIGH)
    volume = max(each.volume / most * (_HEIGHT - _VOLUME_FROM), _LEAST_HIGH) if each.volume else Decimal(0)
    return Drawn(
        "up" if each.close > each.open else "down" if each.close < each.open else "same",
        _title(each, zone),
        round(middle - field / 2, 2),
        round(field, 2),
        f"M{middle:.2f} {_y(prices, each.high):.1f}V{_y(prices, each.low):.1f}",
        round(middle - wide / 2, 2),
        round(wide, 2),
        round((open_y + close_y - high) / 2, 1),
        round(high, 1),
        round(_HEIGHT - volume, 1),
        round(volume, 1),
    )


def _title(each: HeldCandle, zone: ZoneInfo) -> str:
    start, end = each.period_start.astimezone(zone), each.period_end.astimezone(zone)
    return (
        f"{weekday(start.date())} {start:%H:%M} to {end:%H:%M %Z}: open {cents(each.open)}, "
        f"high {cents(each.high)}, low {cents(each.low)}, close {cents(each.close)}, "
        f"{plain(each.volume)} contracts, {counted(each.num_trades, 'trade')}"
    )


def _span(candles: Sequence[HeldCandle], zone: ZoneInfo) -> str:
    start, end = candles[0].period_start.astimezone(zone), candles[-1].period_end.astimezone(zone)
    return f"{weekday(start.date())} {start:%H:%M} to {weekday(end.date())} {end:%H:%M %Z}"


def _extent(candles: Sequence[HeldCandle], last_price: Decimal | None) -> str:
    low, high = min(each.low for each in candles), max(each.high for each in candles)
    last = f", last {cents(last_price)}" if last_price is not None else ""
    return f"prices from {cents(low)} to {cents(high)}{last}"


def _price_labels(prices: PriceScale, tag: Decimal | None) -> Iterator[Label]:
    def place(dollars: Decimal) -> str:
        return f"top:{_y(prices, dollars) / _HEIGHT * 100:.2f}%"

    for price in prices.ticks():
        if tag is None or abs(_y(prices, price / 100) - _y(prices, tag)) > _TAG:
            yield Label("price", place(price / 100), cents(price / 100))
    if tag is not None:
        yield Label("price tag", place(tag), cents(tag))


def _time_labels(times: TimeScale, named: Sequence[tuple[datetime, str]]) -> Iterator[Label]:
    dates = [number for number, (_, name) in enumerate(named) if ":" not in name]
    for number, (when, name) in enumerate(named):
        kind = "time minor" if (number - min(dates, default=0)) % 2 else "time"
        yield Label(kind, f"left:max(18px,(100% - 52px)*{times.share(when):.4f})", name)


def _row(each: HeldCandle, zone: ZoneInfo) -> tuple[str, Sequence[Decimal]]:
    prices = [price * 100 for price in (each.open, each.high, each.low, each.close)]
    return f"{each.period_start.astimezone(zone):%a %H:%M}", [*prices, each.volume]
