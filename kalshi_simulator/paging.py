"""Keyset pages over a list in descending (created, ticker) order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from zlib import crc32

from kalshi_simulator.cursors import list_cursor, read_list_cursor


class Listed(Protocol):
    """Anything with a place in a list."""

    @property
    def ticker(self) -> str: ...
    @property
    def created(self) -> int: ...


Entry = TypeVar("Entry", bound=Listed)


def page(
    found: Sequence[Entry], cursor: str | None, limit: int, wanted: Callable[[Entry], bool]
) -> tuple[list[Entry], str]:
    """Up to `limit` wanted entries behind `cursor`, and the cursor behind them (empty at the end).

    A keyset server that fills a page cannot always know that nothing follows; so now and then a full last
    page is followed by an empty one.
    """
    place = 0 if cursor is None else _behind(found, read_list_cursor(cursor))
    taken: list[Entry] = []
    while place < len(found):
        entry = found[place]
        if wanted(entry):
            if len(taken) == limit:
                return taken, list_cursor(taken[-1].created, taken[-1].ticker)
            taken.append(entry)
        place += 1
    if len(taken) == limit and crc32(taken[-1].ticker.encode()) % 3:
        return taken, list_cursor(taken[-1].created, taken[-1].ticker)
    return taken, ""


def _behind(found: Sequence[Entry], key: tuple[int, str]) -> int:
    low, high = 0, len(found)
    while low < high:
        middle = (low + high) // 2
        if (found[middle].created, found[middle].ticker) >= key:
            low = middle + 1
        else:
            high = middle
    return low
