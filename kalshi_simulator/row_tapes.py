"""Tapes of explicit rows: put into the exchange's order, or served exactly as given."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from uuid import UUID

from kalshi_simulator.tapes import Key
from kalshi_simulator.wire import Row, dump, parse_time


class SortedTape:
    """Rows sorted by (created_time, trade_id) descending."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.raw = False
        keyed = sorted(((_key(row), row) for row in rows), key=lambda pair: pair[0], reverse=True)
        self._keys = [key for key, _ in keyed]
        self._rows = [row for _, row in keyed]
        self._falling = [-created for created, _ in self._keys]

    def __len__(self) -> int:
        return len(self._rows)

    def given(self) -> list[Row]:
        """All rows in listing order."""
        return list(self._rows)

    def key(self, index: int) -> Key:
        """The keyset of one row."""
        return self._keys[index]

    def since(self, moment: int) -> int:
        """How many rows were created at or after `moment` (Unix microseconds)."""
        return bisect_right(self._falling, -moment)

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""
        index = self.since(key[0] + 1)
        while index < len(self._keys) and self._keys[index] >= key:
            index += 1
        return index

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas."""
        return b",".join(dump(row) for row in self._rows[start:stop])

    def blocks(self) -> Sequence[int]:
        """Indexes of the block trades, ascending."""
        return [index for index, row in enumerate(self._rows) if row.get("is_block_trade")]


class RawTape:
    """Rows exactly as given. The keyset of a row is its place, since the rows themselves may be wrong."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.raw = True
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def given(self) -> list[Row]:
        """All rows in the given order."""
        return list(self._rows)

    def key(self, index: int) -> Key:
        """The row's place, in the shape of a keyset."""
        return index, str(UUID(int=index))

    def since(self, moment: int) -> int:
        """A raw tape has no times; `tier_range` does not ask it."""
        raise NotImplementedError

    def after(self, key: Key) -> int:
        """The place behind the one in `key`."""
        return min(key[0] + 1, len(self._rows))

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas."""
        return b",".join(dump(row) for row in self._rows[start:stop])

    def blocks(self) -> Sequence[int]:
        """Block trades are not told apart."""
        return ()


def _key(row: Row) -> Key:
    return parse_time(row["created_time"]), row["trade_id"]
