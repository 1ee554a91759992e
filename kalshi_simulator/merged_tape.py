"""The tape of the whole exchange: every market's tape merged, newest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kalshi_simulator.tapes import Key, Tape


def merged_rows(
    ranges: Iterable[tuple[Tape, int, int]], behind: Key | None, limit: int, block: bool | None
) -> tuple[list[bytes], Key | None]:
    """Up to `limit` rows behind a keyset, and the last one's keyset if the page is full.

    Costs time in proportion to the number of markets: good for tests, not meant for backfills, which
    the exchange's own tape of millions of trades a day is not good for either.
    """
    heads: list[tuple[int, int, int, Tape, int, int]] = []
    for number, (tape, start, stop) in enumerate(ranges):
        first = start if behind is None else max(start, tape.after(behind))
        if first < stop:
            heads.append(_head(number, tape, first, stop))
    heapq.heapify(heads)
    rows: list[bytes] = []
    last: Key | None = None
    while heads and len(rows) < limit:
        _, _, number, tape, place, stop = heads[0]
        if block is None or (place in tape.blocks()) == block:
            rows.append(tape.rows(place, place + 1))
            last = tape.key(place)
        if place + 1 < stop:
            heapq.heapreplace(heads, _head(number, tape, place + 1, stop))
        else:
            heapq.heappop(heads)
    return rows, last if len(rows) == limit else None


def _head(number: int, tape: Tape, place: int, stop: int) -> tuple[int, int, int, Tape, int, int]:
    created, trade_id = tape.key(place)
    return -created, -int(trade_id.replace("-", ""), 16), number, tape, place, stop
