"""One city on the status page: how fresh it is, what fails, its events with their bins, its calendar."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

from kalshi_ingest.jobs.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.store.page import HeldBin
from kalshi_ingest.web.days import calendar
from kalshi_ingest.web.view import Held, View, name_of, today_of, zone_of
from kalshi_ingest.web.words import age, bin_name, cents, contracts, count, moment, outcome, text, weekday

_MOST_FAILURES = 5
_MOST_BINS = 40
_LONGEST_REASON = 400


def card(view: View, series: SeriesState) -> str:
    """The whole card."""
    ticker = series.wanted.series_ticker
    parts = [
        f'<article id="city-{text(ticker)}" data-live>',
        f'<h3>{text(name_of(ticker))} <span class="ticker">{text(ticker)}</span>{_freshness(view.state, series)}</h3>',
        *_figures(view, series),
        *_failures(series),
    ]
    if view.held is not None:
        parts += _events(view, view.held, ticker)
        if ticker in view.held.crowded:
            parts.append(
                '<p class="empty">Too many markets for a calendar here: <code>coverage</code> judges them.</p>'
            )
        else:
            known = {day: each for (of, day), each in view.held.days.items() if of == ticker}
            parts += calendar(known, today_of(ticker, view.now), name_of(ticker))
    return "".join([*parts, "</article>"])


def _freshness(state: FollowState, series: SeriesState) -> str:
    known = state.age(series)
    if known is None:
        return '<span class="badge bad"><span aria-hidden="true">○</span> not up to date yet</span>'
    if known > state.stale_seconds and state.phase is not Phase.MAINTENANCE:
        return '<span class="badge bad"><span aria-hidden="true">✕</span> stale</span>'
    return '<span class="badge good"><span aria-hidden="true">✓</span> fresh</span>'


def _figures(view: View, series: SeriesState) -> Iterator[str]:
    known, last = view.state.age(series), series.last_trade_at
    trade, when = "none yet", ""
    if last is not None:
        trade = f"{age((view.now - last).total_seconds())} ago"
        when = moment(last, zone_of(series.wanted.series_ticker), view.now)
    yield '<dl class="figures">'
    yield _figure("Last trade", trade, when)
    yield _figure("Vouched for", f"up to {age(known)} ago" if known is not None else "not yet")
    yield _figure("Open markets", f"{series.open_markets:,}", f"{series.unsettled_markets:,} not settled")
    yield _figure("Waiting", count(series.backlog, "market") if series.backlog else "none")
    yield "</dl>"


def _figure(name: str, value: str, more: str = "") -> str:
    after = f'<span class="more">{text(more)}</span>' if more else ""
    return f"<div><dt>{name}</dt><dd>{text(value)}{after}</dd></div>"


def _failures(series: SeriesState) -> Iterator[str]:
    if not series.failed:
        return
    yield f'<div class="failing"><p>{count(len(series.failed), "thing")} failing, tried again by itself:</p><ul>'
    for what, why in sorted(series.failed.items())[:_MOST_FAILURES]:
        reason = why if len(why) <= _LONGEST_REASON else f"{why[:_LONGEST_REASON]}…"
        yield f"<li><code>{text(what)}</code> {text(reason)}</li>"
    yield "</ul>"
    if len(series.failed) > _MOST_FAILURES:
        yield f"<p>and {len(series.failed) - _MOST_FAILURES:,} more</p>"
    yield "</div>"


def _events(view: View, held: Held, ticker: str) -> Iterator[str]:
    today = today_of(ticker, view.now)
    mine = [each for each in held.bins if each.series_ticker == ticker]
    if not mine:
        yield '<p class="empty">No market of this series is held yet.</p>'
    shown = [(event, list(bins)) for event, bins in groupby(mine, key=lambda each: each.event_ticker)]
    dates = {bins[0].event_date for _, bins in shown}
    opened = today if today in dates else max(dates, default=today)
    for event, bins in shown:
        yield _event(view, event, bins, opened=bins[0].event_date == opened)


def _event(view: View, event: str, bins: Sequence[HeldBin], *, opened: bool) -> str:
    """One event; others than today's are folded up, with what matters in the line that stays."""
    today = today_of(bins[0].series_ticker, view.now)
    chosen = view.held.market.ticker if view.held and view.held.market else ""
    rows = "".join(_bin(each, view, chosen) for each in bins[:_MOST_BINS])
    more = f'<p class="more">and {len(bins) - _MOST_BINS} more markets</p>' if len(bins) > _MOST_BINS else ""
    return (
        f'<details class="event" id="event-{text(event)}"{" open" if opened else ""}><summary>'
        f'<span class="when">{_named(bins[0].event_date, today)}</span>'
        f'<span class="gist">{text(_gist(bins))}</span></summary>'
        '<table class="bins"><thead><tr><th scope="col">°F</th><th scope="col" colspan="2">last, yes</th>'
        f'<th scope="col">contracts</th><th scope="col">status</th></tr></thead><tbody>{rows}</tbody></table>{more}'
        "</details>"
    )


def _named(day: date, today: date) -> str:
    words = {today: "Today", today + timedelta(days=1): "Tomorrow", today - timedelta(days=1): "Yesterday"}
    return f"{words[day]}, {weekday(day)}" if day in words else weekday(day)


def _gist(bins: Sequence[HeldBin]) -> str:
    """What an event is about in a few words: its winner, else what trades and the dearest bin."""
    winner = next((each for each in bins if each.result == "yes"), None)
    if winner is not None:
        return f"settled: {bin_name(winner)}"
    priced = [(each.last_price, bin_name(each)) for each in bins if each.last_price is not None]
    if not priced:
        return "no trade yet"
    price, name = max(priced)
    still = sum(each.status == "open" for each in bins)
    return f"{name} at {cents(price)}" if still else f"closed, {name} at {cents(price)}"


def _bin(held: HeldBin, view: View, chosen: str) -> str:
    said = outcome(held)
    kind = " ".join([f"s-{said}" if said in {"yes", "no"} else "", "chosen" if held.ticker == chosen else ""]).strip()
    bar = "" if held.last_price is None else f'<span style="width:{held.last_price * 100:.1f}%"></span>'
    price = "-" if held.last_price is None else cents(held.last_price)
    traded = "-" if held.contracts is None else contracts(held.contracts)
    address = f"?ticker={text(held.ticker)}&amp;period={view.choice.period}#chart"
    sign = {"yes": "✓ ", "no": "✕ "}.get(said, "")
    return (
        f'<tr class="{kind}"><th scope="row"><a id="bin-{text(held.ticker)}" href="{address}" '
        f'title="{text(held.title or held.ticker)}">{text(bin_name(held))}</a></th>'
        f'<td class="bar">{bar}</td>'
        f"<td>{price}</td><td>{traded}</td><td>{sign}{text(said)}</td></tr>"
    )
