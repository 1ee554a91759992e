"""The candle chart of one market as SVG, with its axes as text beside it, so that it stays legible at any width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from kalshi_ingest.store.page import HeldCandle
from kalshi_ingest.web.scales import PriceScale, TimeScale
from kalshi_ingest.web.words import cents, contracts, count, plain, text, weekday

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


def chart(candles: Sequence[HeldCandle], last_price: Decimal | None, zone: ZoneInfo) -> str:
    """The drawing and, for those who do not see it, its newest candles as a table. Needs at least one candle."""
    prices, times = PriceScale.of(candles), TimeScale.of(candles)
    named = times.ticks(zone)
    most = max(each.volume for each in candles)
    drawing = "".join(
        [
            *_lines(prices, times, [when for when, _ in named]),
            *(
                _drawn(each, place, prices, zone, most)
                for each, place in zip(candles, _places(candles, times), strict=True)
            ),
            _last_line(prices, last_price),
        ]
    )
    return (
        f'<div class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(_summary(candles, last_price, zone))}">{drawing}</svg>'
        f"{''.join(_labels(prices, times, named, last_price))}</div>{_table(candles, zone)}"
    )


def _y(prices: PriceScale, dollars: Decimal) -> Decimal:
    return (_EDGE + prices.share(dollars) * (1 - 2 * _EDGE)) * _PRICES_TO


def _lines(prices: PriceScale, times: TimeScale, moments: Sequence[datetime]) -> Iterator[str]:
    across = "".join(f"M0 {_y(prices, price / 100):.1f}H{_WIDTH}" for price in prices.ticks())
    down = "".join(f"M{times.share(each) * _WIDTH:.1f} 0V{_HEIGHT}" for each in moments)
    yield f'<path class="grid" d="{across}{down}M0 {_HEIGHT}H{_WIDTH}"/>'


def _last_line(prices: PriceScale, last: Decimal | None) -> str:
    if last is None or not prices.low <= last * 100 <= prices.high:
        return ""
    return f'<path class="last" d="M0 {_y(prices, last):.1f}H{_WIDTH}"/>'


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a candle stands on the chart from left to right: its middle, how wide its body and its field are."""

    middle: Decimal
    wide: Decimal
    field: Decimal


def _places(candles: Sequence[HeldCandle], times: TimeScale) -> Iterator[_Place]:
    """As wide as the period; wider where nobody stands near."""
    edges = [(times.share(each.period_start) * _WIDTH, times.share(each.period_end) * _WIDTH) for each in candles]
    middles = [(left + right) / 2 for left, right in edges]
    apart = [Decimal(_WIDTH), *(later - earlier for earlier, later in pairwise(middles)), Decimal(_WIDTH)]
    for number, (left, right) in enumerate(edges):
        room, period = min(apart[number : number + 2]), right - left
        wide = max(period * Decimal("0.7"), min(_WIDE, room * Decimal("0.7")), _LEAST_WIDE)
        yield _Place(middles[number], wide, max(period, min(_FIELD, room)))


def _drawn(each: HeldCandle, place: _Place, prices: PriceScale, zone: ZoneInfo, most: Decimal) -> str:
    """Wick, body and volume, and over them a field as high as the chart that tells the numbers."""
    kind = "up" if each.close > each.open else "down" if each.close < each.open else "same"
    open_y, close_y = _y(prices, each.open), _y(prices, each.close)
    high = max(abs(open_y - close_y), _LEAST_HIGH)
    top = (open_y + close_y - high) / 2
    volume = max(each.volume / most * (_HEIGHT - _VOLUME_FROM), _LEAST_HIGH) if each.volume else Decimal(0)
    body = f'x="{place.middle - place.wide / 2:.2f}" width="{place.wide:.2f}"'
    return (
        f'<g class="{kind}"><title>{_told(each, zone)}</title>'
        f'<rect class="field" x="{place.middle - place.field / 2:.2f}" y="0" width="{place.field:.2f}" '
        f'height="{_HEIGHT}"/>'
        f'<path d="M{place.middle:.2f} {_y(prices, each.high):.1f}V{_y(prices, each.low):.1f}"/>'
        f'<rect class="body" {body} y="{top:.1f}" height="{high:.1f}"/>'
        f'<rect class="volume" {body} y="{_HEIGHT - volume:.1f}" height="{volume:.1f}"/></g>'
    )


def _told(each: HeldCandle, zone: ZoneInfo) -> str:
    start, end = each.period_start.astimezone(zone), each.period_end.astimezone(zone)
    return (
        f"{weekday(start.date())} {start:%H:%M} to {end:%H:%M %Z}: open {cents(each.open)}, "
        f"high {cents(each.high)}, low {cents(each.low)}, close {cents(each.close)}, "
        f"{contracts(each.volume)} contracts, {count(each.num_trades, 'trade')}"
    )


def span(candles: Sequence[HeldCandle], zone: ZoneInfo) -> str:
    """`Sat 21 Nov 07:05 to Sun 22 Nov 12:15 PST`."""
    start, end = candles[0].period_start.astimezone(zone), candles[-1].period_end.astimezone(zone)
    return f"{weekday(start.date())} {start:%H:%M} to {weekday(end.date())} {end:%H:%M %Z}"


def _summary(candles: Sequence[HeldCandle], last_price: Decimal | None, zone: ZoneInfo) -> str:
    low, high = min(each.low for each in candles), max(each.high for each in candles)
    last = f", last {cents(last_price)}" if last_price is not None else ""
    return f"{count(len(candles), 'candle')}, {span(candles, zone)}, prices from {cents(low)} to {cents(high)}{last}"


def _labels(
    prices: PriceScale, times: TimeScale, named: Sequence[tuple[datetime, str]], last: Decimal | None
) -> Iterator[str]:
    def height(dollars: Decimal) -> str:
        return f"{_y(prices, dollars) / _HEIGHT * 100:.2f}%"

    tag = last if last is not None and prices.low <= last * 100 <= prices.high else None
    for price in prices.ticks():
        if tag is None or abs(_y(prices, price / 100) - _y(prices, tag)) > _TAG:
            yield f'<span class="price" aria-hidden="true" style="top:{height(price / 100)}">{plain(price)} ¢</span>'
    if tag is not None:
        yield f'<span class="price tag" aria-hidden="true" style="top:{height(tag)}">{cents(tag)}</span>'
    dates = [number for number, (_, name) in enumerate(named) if ":" not in name]
    for number, (when, name) in enumerate(named):
        kind = "time minor" if (number - min(dates, default=0)) % 2 else "time"
        left = f"max(18px,(100% - 52px)*{times.share(when):.4f})"
        yield f'<span class="{kind}" aria-hidden="true" style="left:{left}">{name}</span>'


def _table(candles: Sequence[HeldCandle], zone: ZoneInfo) -> str:
    rows = "".join(
        f'<tr><th scope="row">{each.period_start.astimezone(zone):%a %H:%M}</th>'
        + "".join(f"<td>{plain(price * 100)}</td>" for price in (each.open, each.high, each.low, each.close))
        + f"<td>{contracts(each.volume)}</td></tr>"
        for each in reversed(candles[-_ROWS:])
    )
    names = ("start", "open", "high", "low", "close", "contracts")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f'<details id="newest"><summary>The newest {count(min(len(candles), _ROWS), "candle")} as a table, in cents'
        f'</summary><table class="newest"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>'
    )
