"""Series and events. Events never move to the historical tier; only their nested markets vanish."""

from __future__ import annotations

from kalshi_simulator.exchange import Call, Exchange
from kalshi_simulator.paging import page
from kalshi_simulator.refusals import not_found
from kalshi_simulator.routes_markets import STATUS_WORDS, read_status
from kalshi_simulator.wire import Row, dump
from kalshi_simulator.world import EventEntry, Tier


def get_series(exchange: Exchange, call: Call) -> bytes:
    """`GET /series/{series_ticker}`: an unknown one is 404, although the specification lists none."""
    for row in exchange.world.series_rows():
        if row.get("ticker") == call.path["ticker"]:
            return dump({"series": row})
    raise not_found()


def list_series(exchange: Exchange, call: Call) -> bytes:
    """`GET /series`: all at once; `category` matches any of a series' categories, case-sensitive."""
    category = call.text("category")
    tags = set(call.listed("tags") or ())
    rows = [
        row
        for row in exchange.world.series_rows()
        if (category is None or category in (row.get("categories") or [row.get("category")]))
        and (not tags or tags & set(row.get("tags") or ()))
    ]
    return dump({"series": rows})


def list_events(exchange: Exchange, call: Call) -> bytes:
    """`GET /events`: an event matches a status if any of its markets does."""
    limit = call.limit(200, 200, lowest=1)
    status = read_status(call)
    words = STATUS_WORDS[status] if status is not None else None
    tickers = set(call.listed("tickers") or ())
    min_close, min_updated = call.moment("min_close_ts"), call.moment("min_updated_ts")

    def wanted(event: EventEntry) -> bool:
        return (
            (not tickers or event.ticker in tickers)
            and (words is None or any(market.status in words for market in event.markets))
            and (min_close is None or any(market.closes >= min_close for market in event.markets))
            and (min_updated is None or any(market.updated > min_updated for market in event.markets))
        )

    found = exchange.world.events(call.text("series_ticker"))
    entries, cursor = page(found, call.text("cursor"), limit, wanted)
    nested = call.flag("with_nested_markets") or False
    rows = [event.row() | (_markets_of(exchange, event) if nested else {}) for event in entries]
    return dump({"cursor": cursor, "events": rows})


def get_event(exchange: Exchange, call: Call) -> bytes:
    """`GET /events/{event_ticker}`: its markets beside it (deprecated, yet required), and inside it on request."""
    event = exchange.world.event(call.path["ticker"])
    if event is None:
        raise not_found()
    if call.flag("exclude_markets"):
        return dump({"event": event.row()})
    nested = _markets_of(exchange, event)
    inside = nested if call.flag("with_nested_markets") else {}
    return dump({"event": event.row() | inside, "markets": nested.get("markets", [])})


def _markets_of(exchange: Exchange, event: EventEntry) -> Row:
    """The live markets as they are nested: past the cutoff the key is absent, not an empty list."""
    rows = [market.row() for market in event.markets if exchange.serves(market, Tier.LIVE)]
    return {"markets": rows} if rows else {}
