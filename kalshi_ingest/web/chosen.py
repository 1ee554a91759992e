"""The part of the status page about one chosen market: what to choose from, its name, its chart."""

from collections.abc import Iterator
from itertools import groupby

from kalshi_ingest.store.page import HeldBin
from kalshi_ingest.web.chart import chart, span
from kalshi_ingest.web.view import MOST_CANDLES, PERIODS, Held, View, name_of, zone_of
from kalshi_ingest.web.words import bin_name, cents, contracts, count, moment, outcome, text, weekday


def market_section(view: View) -> str:
    """The whole section; the form stays apart from what renews itself, so that nobody's choosing is disturbed."""
    if view.held is None:
        nothing = '<form id="choose" data-live hidden></form><div id="market" data-live><p class="empty">'
        return _section(f"{nothing}No chart without the database.</p></div>")
    return _section(f"{_form(view, view.held)}{''.join(_market(view, view.held))}")


def _section(inner: str) -> str:
    return f'<section id="chart"><h2>One market</h2><div class="panel">{inner}</div></section>'


def _form(view: View, held: Held) -> str:
    chosen = held.market.ticker if held.market else ""
    listed = list(held.bins)
    if held.market is not None and all(each.ticker != chosen for each in listed):
        listed.insert(0, held.market)
    listed.sort(key=lambda each: name_of(each.series_ticker))
    groups = "".join(
        f'<optgroup label="{text(f"{name_of(series)}, {weekday(day)}")}">'
        + "".join(
            f'<option value="{text(each.ticker)}"{" selected" if each.ticker == chosen else ""}>'
            f"{text(name_of(series))} {weekday(day)}: {text(bin_name(each))}</option>"
            for each in bins
        )
        + "</optgroup>"
        for (series, day, _), bins in groupby(
            listed, lambda each: (each.series_ticker, each.event_date, each.event_ticker)
        )
    )
    periods = "".join(
        f'<option value="{each}"{" selected" if each == view.choice.period else ""}>{each} min</option>'
        for each in PERIODS
    )
    return (
        '<form id="choose" method="get" action="/#chart" data-live>'
        f'<label>Market <select name="ticker">{groups}</select></label>'
        f'<label>Candles <select name="period">{periods}</select></label><button>Show</button></form>'
    )


def _market(view: View, held: Held) -> Iterator[str]:
    yield '<div id="market" data-live>'
    market = held.market
    if market is None:
        asked = view.choice.ticker
        said = f"No market called {asked} is held." if asked else "No market is held yet."
        yield f'<p class="empty">{text(said)}</p></div>'
        return
    zone = zone_of(market.series_ticker)
    yield _title(market)
    last = "No trade yet" if market.last_price is None else f"Last {cents(market.last_price)}"
    when = f" at {moment(market.last_trade_at, zone, view.now)}" if market.last_trade_at else ""
    traded = "" if market.contracts is None else f"{contracts(market.contracts)} contracts traded"
    said = f"settled: {outcome(market)}" if market.result else market.status
    yield f'<p class="gist">{text(" · ".join(each for each in (last + when, traded, said) if each))}</p>'
    if not held.candles:
        yield '<p class="empty">No candle is held: nothing has traded in this market yet, or it waits for its turn.</p>'
    else:
        yield chart(held.candles, market.last_price, zone)
        more = f", the newest {MOST_CANDLES}" if len(held.candles) == MOST_CANDLES else ""
        yield (
            f'<p class="note">{count(len(held.candles), "candle")} of {count(view.choice.period, "minute")}{more}, '
            f"{text(span(held.candles, zone))}. "
            '<span class="key up">■</span> up <span class="key down">■</span> down '
            '<span class="key same">■</span> unchanged. Price of yes, in cents; '
            "bars below: contracts. No candle: no trade in that time. "
            f"Times in {text(zone.key)} ({view.now.astimezone(zone):%Z}).</p>"
        )
    yield "</div>"


def _title(market: HeldBin) -> str:
    name = f"{name_of(market.series_ticker)}, {weekday(market.event_date)}: {bin_name(market)}"
    return f'<h3>{text(name)} <span class="ticker">{text(market.ticker)}</span></h3>'
