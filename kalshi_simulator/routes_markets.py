"""Markets of both tiers: lists with their filter rules, and single markets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kalshi_simulator.exchange import Call, Exchange
from kalshi_simulator.paging import page
from kalshi_simulator.refusals import bad_request, market_not_archived, not_found
from kalshi_simulator.wire import Row, dump
from kalshi_simulator.world import MarketEntry, Tier

STATUS_WORDS: dict[str, tuple[str, ...]] = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}
"""Filter vocabulary → field vocabulary; the two differ."""

# Each family of time filters, and the status words it goes with. Families exclude one another.
_FAMILIES: dict[str, tuple[str | None, ...]] = {
    "created": (None, "unopened", "open"),
    "close": (None, "closed"),
    "settled": (None, "settled"),
    "updated": (None,),
}


def list_markets(exchange: Exchange, call: Call) -> bytes:
    """`GET /markets`: the live tier, newest created first."""
    limit = call.limit(100, 1000)
    status = read_status(call)
    in_time = _time_filter(call, status)
    only_multivariate = _read_mve(call) == "only"
    words = STATUS_WORDS[status] if status is not None else None
    found, keep = _chosen(exchange, call)

    def wanted(entry: MarketEntry) -> bool:
        return (
            keep(entry)
            and (words is None or entry.status in words)
            and in_time(entry)
            and exchange.serves(entry, Tier.LIVE)
        )

    entries, cursor = page(() if only_multivariate else found, call.text("cursor"), limit, wanted)
    return dump({"cursor": cursor, "markets": [entry.row() for entry in entries]})


def list_historical_markets(exchange: Exchange, call: Call) -> bytes:
    """`GET /historical/markets`: one filter at most; time filters are ignored in silence."""
    limit = call.limit(100, 1000)
    filters = [n for n in ("tickers", "event_ticker", "series_ticker", "mve_filter") if call.text(n)]
    if len(filters) > 1:
        raise bad_request(f"filters are mutually exclusive: {', '.join(filters)}")
    _read_mve(call)
    found, keep = _chosen(exchange, call)

    def wanted(entry: MarketEntry) -> bool:
        return keep(entry) and exchange.serves(entry, Tier.HISTORICAL)

    entries, cursor = page(found, call.text("cursor"), limit, wanted)
    return dump({"cursor": cursor, "markets": [archived_row(entry) for entry in entries]})


def get_market(exchange: Exchange, call: Call) -> bytes:
    """`GET /markets/{ticker}`: 404 for unknown and for historical-only markets alike."""
    entry = exchange.world.entry(call.path["ticker"])
    if entry is None or not exchange.serves(entry, Tier.LIVE):
        raise not_found()
    return dump({"market": entry.row()})


def get_historical_market(exchange: Exchange, call: Call) -> bytes:
    """`GET /historical/markets/{ticker}`."""
    entry = exchange.world.entry(call.path["ticker"])
    if entry is None or not exchange.serves(entry, Tier.HISTORICAL):
        raise market_not_archived()
    return dump({"market": archived_row(entry)})


def archived_row(entry: MarketEntry) -> Row:
    """A market as the historical tier shows it: finalized, without open interest and recent volume."""
    row = entry.row() | {"open_interest_fp": "0.00"}
    changes = {"status": "finalized", "volume_24h_fp": "0.00"}
    return row | {name: value for name, value in changes.items() if name in row}


def read_status(call: Call) -> str | None:
    """The status filter; exactly one word of the filter vocabulary, or none."""
    given = [word for text in call.query.getall("status", []) for word in text.split(",") if word]
    if len(given) > 1:
        raise bad_request("only one status filter is allowed")
    if given and given[0] not in STATUS_WORDS:
        raise bad_request(f"invalid status filter: {given[0]}")
    return given[0] if given else None


def _read_mve(call: Call) -> str | None:
    word = call.text("mve_filter")
    if word not in (None, "only", "exclude"):
        raise bad_request(f"invalid mve_filter: {word}")
    return word


def _chosen(exchange: Exchange, call: Call) -> tuple[Sequence[MarketEntry], Callable[[MarketEntry], bool]]:
    """The shortest list that holds all wanted markets, and the test for the other filters.

    `event_ticker` takes one ticker: a comma list names no event, and gives an empty answer.
    """
    series, event_ticker = call.text("series_ticker"), call.text("event_ticker")
    tickers = set(call.listed("tickers") or ())
    if event_ticker is not None:
        event = exchange.world.event(event_ticker)
        found: Sequence[MarketEntry] = () if event is None else event.markets
    elif tickers:
        known = (exchange.world.entry(ticker) for ticker in tickers)
        found = sorted(
            (entry for entry in known if entry is not None),
            key=lambda entry: (entry.created, entry.ticker),
            reverse=True,
        )
    else:
        found = exchange.world.entries(series)

    def keep(entry: MarketEntry) -> bool:
        return (series is None or entry.series_ticker == series) and (not tickers or entry.ticker in tickers)

    return found, keep


def _time_filter(call: Call, status: str | None) -> Callable[[MarketEntry], bool]:
    used = {
        family: (call.moment(f"min_{family}_ts"), call.moment(f"max_{family}_ts"))
        for family in _FAMILIES
        if call.text(f"min_{family}_ts") or call.text(f"max_{family}_ts")
    }
    if not used:
        return lambda _: True
    if len(used) > 1:
        raise bad_request("timestamp filters are mutually exclusive")
    family, (low, high) = used.popitem()
    if status not in _FAMILIES[family]:
        raise bad_request(f"{family} timestamp filters are not compatible with status {status}")
    if family == "updated":
        _check_updated(call)

    def in_time(entry: MarketEntry) -> bool:
        moment = {
            "created": entry.created,
            "close": entry.closes,
            "settled": entry.settled,
            "updated": entry.updated,
        }[family]
        if moment is None:
            return False
        # `min_updated_ts` means later than, the other lower bounds include their instant.
        above = low is None or (moment > low if family == "updated" else moment >= low)
        return above and (high is None or moment <= high)

    return in_time


def _check_updated(call: Call) -> None:
    if call.text("event_ticker") or call.text("tickers") or call.text("mve_filter") == "only":
        raise bad_request("min_updated_ts is compatible only with mve_filter=exclude and series_ticker")
    if call.text("series_ticker") and call.text("mve_filter") != "exclude":
        raise bad_request("min_updated_ts with series_ticker requires mve_filter=exclude")
