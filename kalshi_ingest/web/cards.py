"""One city on the status page: how fresh it is, what fails, its events with their bins, its calendar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from kalshi_ingest.domain.words import counted
from kalshi_ingest.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.web.days import Cell, weeks
from kalshi_ingest.web.formatting import age, bin_name, cents, moment, weekday
from kalshi_ingest.web.queries import HeldBin
from kalshi_ingest.web.view import Held, View, today_of, zone_of


@dataclass(frozen=True, slots=True)
class Event:
    """One event; others than today's are folded up, with what matters in the line that stays."""

    ticker: str
    bins: Sequence[HeldBin]
    when: str
    gist: str
    opened: bool


@dataclass(frozen=True, slots=True)
class Card:
    ticker: str
    today: date
    badge: tuple[str, str, str]
    """How fresh the data is: good or bad, a sign, and words."""
    figures: Sequence[tuple[str, str, str]]
    """Name, value, and what is said below it."""
    failed: Sequence[tuple[str, str]]
    """What fails, and why."""
    events: Sequence[Event]
    weeks: Sequence[Sequence[Cell]] | None
    """None: too many markets to be judged for a page, or the database did not answer."""


def card(view: View, series: SeriesState) -> Card:
    ticker = series.wanted.series_ticker
    today = today_of(ticker, view.now)
    calendar = None
    if view.held is not None and ticker not in view.held.crowded:
        calendar = weeks({day: each for (of, day), each in view.held.days.items() if of == ticker}, today)
    return Card(
        ticker,
        today,
        _badge(view.state, series),
        list(_figures(view, series)),
        sorted(series.failed.items()),
        list(_events(view.held, ticker, today)) if view.held is not None else [],
        calendar,
    )


def _badge(state: FollowState, series: SeriesState) -> tuple[str, str, str]:
    known = state.age(series)
    if known is None:
        return "bad", "○", "not up to date yet"
    if known > state.stale_seconds and state.phase is not Phase.MAINTENANCE:
        return "bad", "✕", "stale"
    return "good", "✓", "fresh"


def _figures(view: View, series: SeriesState) -> Iterator[tuple[str, str, str]]:
    known, last = view.state.age(series), series.last_trade_at
    trade, when = "none yet", ""
    if last is not None:
        trade = f"{age((view.now - last).total_seconds())} ago"
        when = moment(last, zone_of(series.wanted.series_ticker), view.now)
    yield "Last trade", trade, when
    yield "Known to be complete", f"up to {age(known)} ago" if known is not None else "not yet", ""
    yield "Open markets", f"{series.open_markets:,}", f"{series.unsettled_markets:,} not settled"
    yield "Waiting", counted(series.backlog, "market") if series.backlog else "none", ""


def _events(held: Held, ticker: str, today: date) -> Iterator[Event]:
    mine = [each for each in held.bins if each.series_ticker == ticker]
    shown = [(event, list(bins)) for event, bins in groupby(mine, key=lambda each: each.event_ticker)]
    dates = {bins[0].event_date for _, bins in shown}
    opened = today if today in dates else max(dates, default=today)
    for event, bins in shown:
        day = bins[0].event_date
        yield Event(event, bins, _named(day, today), _gist(bins), opened=day == opened)


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
