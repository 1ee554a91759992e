"""The part of the status page about one chosen market: what to choose from, what became of it, its chart."""

from collections.abc import Iterator
from datetime import date
from itertools import groupby

from kalshi_ingest.web.chart import chart
from kalshi_ingest.web.formatting import cents, moment, outcome, plain
from kalshi_ingest.web.queries import HeldBin
from kalshi_ingest.web.view import MOST_CANDLES, PERIODS, Held, View, name_of, zone_of


def market_section(view: View) -> dict[str, object]:
    """What the section shows, by its name in the template."""
    choice, held = view.choice, view.held
    shown: dict[str, object] = {"asked": choice.ticker, "period": choice.period, "periods": PERIODS, "chosen": ""}
    if held is None:
        return shown
    shown |= {"choices": list(_choices(held)), "market": held.market}
    if held.market is None:
        return shown
    zone = zone_of(held.market.series_ticker)
    return shown | {
        "chosen": held.market.ticker,
        "facts_of_market": _facts(held.market, view),
        "chart": chart(held.candles, held.market.last_price, zone) if held.candles else None,
        "most": MOST_CANDLES,
        "zone": f"{zone.key} ({view.now.astimezone(zone):%Z})",
    }


def _choices(held: Held) -> Iterator[tuple[str, date, list[HeldBin]]]:
    """Series, event date and markets of each event; the chosen market is always among them."""
    listed = list(held.bins)
    if held.market is not None and all(each.ticker != held.market.ticker for each in listed):
        listed.insert(0, held.market)
    listed.sort(key=lambda each: name_of(each.series_ticker))
    for (series, day, _), bins in groupby(
        listed, lambda each: (each.series_ticker, each.event_date, each.event_ticker)
    ):
        yield series, day, list(bins)


def _facts(market: HeldBin, view: View) -> list[str]:
    last = "No trade yet" if market.last_price is None else f"Last {cents(market.last_price)}"
    if market.last_trade_at:
        last += f" at {moment(market.last_trade_at, zone_of(market.series_ticker), view.now)}"
    traded = "" if market.contracts is None else f"{plain(market.contracts)} contracts traded"
    said = f"settled: {outcome(market)}" if market.result else market.status
    return [each for each in (last, traded, said) if each]
