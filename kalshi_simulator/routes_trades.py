"""Trades of both tiers: one market's tape or the whole exchange's, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kalshi_simulator.bad_pages import TradePage, spoil
from kalshi_simulator.cursors import read_trade_cursor, trade_cursor
from kalshi_simulator.exchange import Call, Exchange
from kalshi_simulator.merged_tape import merged_rows
from kalshi_simulator.tapes import Key, Tape
from kalshi_simulator.world import Tier, tier_range

_REPEATED = 3
"""Rows that a page repeats of the one before, where that fault is on."""


@dataclass(frozen=True, slots=True)
class TradeQuery:
    """The parameters of a trades request; moments in Unix microseconds."""

    ticker: str | None
    limit: int
    behind: Key | None
    earliest: int | None
    before: int | None
    block: bool | None


def list_trades(exchange: Exchange, call: Call) -> bytes:
    """`GET /markets/trades`."""
    return _answer(exchange, call, Tier.LIVE)


def list_historical_trades(exchange: Exchange, call: Call) -> bytes:
    """`GET /historical/trades`."""
    return _answer(exchange, call, Tier.HISTORICAL)


def _answer(exchange: Exchange, call: Call, tier: Tier) -> bytes:
    cursor = call.text("cursor")
    query = TradeQuery(
        ticker=call.text("ticker"),
        limit=call.limit(100, 1000),
        behind=None if cursor is None else read_trade_cursor(cursor),
        earliest=call.moment("min_ts"),
        before=call.moment("max_ts"),
        block=call.flag("is_block_trade"),
    )
    if query.ticker is None:
        return _whole_exchange(exchange, tier, query).body()
    tape = exchange.world.tape(query.ticker)
    if tape is None:
        return TradePage(b"", "", 0).body()
    kind = exchange.faults.targeted(query.ticker)
    if kind == "duplicate_seam":
        return _page(exchange, tape, tier, query, repeat=True).body()
    page = _page(exchange, tape, tier, query)
    if kind is not None:
        spoilt = spoil(kind, page, query.ticker, cursor, query.limit)
        if spoilt is not None:
            exchange.faults.commit(kind, query.ticker)
            page = spoilt
    return page.body()


def _page(exchange: Exchange, tape: Tape, tier: Tier, query: TradeQuery, *, repeat: bool = False) -> TradePage:
    """One keyset page. A full page always carries a cursor, so an exact multiple ends with an empty page.

    With `repeat` a page begins with the last rows of the one before it.
    """
    first, stop = _bounds(exchange, tape, tier, query)
    start = first
    if query.behind is not None:
        start = max(start, tape.after(query.behind))
    if repeat and start > first and query.limit > 1:
        start = max(first, start - min(_REPEATED, query.limit - 1))
        exchange.faults.commit("duplicate_seam", query.ticker)
    if query.block is not None:
        return _filtered_page(tape, start, stop, query)
    end = max(start, min(stop, start + query.limit))
    full = end - start == query.limit
    return TradePage(
        rows=tape.rows(start, end) if end > start else b"",
        cursor=trade_cursor(tape.key(end - 1)) if full else "",
        left=stop - end,
    )


def _bounds(exchange: Exchange, tape: Tape, tier: Tier, query: TradeQuery) -> tuple[int, int]:
    if tape.raw:
        # Rows without trustworthy times go with their market; an unknown market counts as live.
        entry = exchange.world.entry(query.ticker or "")
        served = exchange.serves(entry, tier) if entry is not None else tier is Tier.LIVE
        return 0, len(tape) if served else 0
    start, stop = tier_range(tape, tier, exchange.world.cutoff, exchange.limits.overlap)
    if query.before is not None:
        start = max(start, tape.since(query.before))
    if query.earliest is not None:
        stop = min(stop, tape.since(query.earliest))
    return start, max(start, stop)


def _filtered_page(tape: Tape, start: int, stop: int, query: TradeQuery) -> TradePage:
    blocks = set(tape.blocks())
    wanted = [index for index in range(start, stop) if (index in blocks) == query.block]
    chosen = wanted[: query.limit]
    return TradePage(
        rows=b",".join(tape.rows(index, index + 1) for index in chosen),
        cursor=trade_cursor(tape.key(chosen[-1])) if len(chosen) == query.limit else "",
        left=len(wanted) - len(chosen),
    )


def _whole_exchange(exchange: Exchange, tier: Tier, query: TradeQuery) -> TradePage:
    def ranges() -> Iterable[tuple[Tape, int, int]]:
        for entry in exchange.world.entries(None):
            tape = exchange.world.tape(entry.ticker)
            if tape is not None and not tape.raw:
                yield tape, *_bounds(exchange, tape, tier, query)

    rows, last = merged_rows(ranges(), query.behind, query.limit, query.block)
    return TradePage(b",".join(rows), trade_cursor(last) if last is not None else "", 0)
