"""Trade rows as pre-written JSON with three gaps, so that a page costs a join instead of a serialisation.

A row is alphabetical JSON. Its gaps are the time's beginning, the ticker with the id's beginning, and the
id's end:

    {"count_fp":"3.12","created_time":"<stamp>T20:51:07.84776Z", … "ticker":"<name>…-9900-70df-<tail>", …}

One template serves every market and date that uses it; only the gaps differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalshi_ingest.simulator.wire import count_text, price_text


@dataclass(frozen=True, slots=True)
class Blank:
    """One trade of a template. Prices in tenths of a cent, count in hundredths, `clock` follows the stamp."""

    clock: str
    count: int
    price: int
    takes_yes: bool
    block: bool
    middle_id: str
    """The id between its first gap and its last twelve digits, with dashes."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What fills a template: the time's beginning, ticker plus id beginning, the id's last twelve digits."""

    stamp: bytes
    name: bytes
    tail: bytes

    @classmethod
    def of(cls, stamp: str, ticker: str, id_prefix: str, tail: str) -> Gaps:
        """Gaps for one market and one date."""
        return cls(stamp.encode(), f'{ticker}","trade_id":"{id_prefix}'.encode(), tail.encode())


class Fragments:
    """The rows of one template, newest first."""

    __slots__ = ("_clocks", "_first", "_ids", "_seams")

    def __init__(self, blanks: Sequence[Blank]) -> None:
        heads = [f'{{"count_fp":"{count_text(blank.count)}","created_time":"' for blank in blanks]
        self._first = heads[0].encode() if heads else b""
        self._clocks = [_clock_to_ticker(blank) for blank in blanks]
        self._ids = [blank.middle_id.encode() for blank in blanks]
        self._seams = [
            f'","yes_price_dollars":"{price_text(blank.price)}"}},{head}'.encode()
            for blank, head in zip(blanks, [*heads[1:], ""], strict=True)
        ]

    def fill(self, start: int, stop: int, gaps: Gaps) -> bytes:
        """Rows `start` to `stop` (exclusive, not empty) as JSON joined by commas, without brackets."""
        count = stop - start
        pieces: list[bytes] = [b""] * (6 * count + 1)
        pieces[0] = self._head(start)
        pieces[1::6] = [gaps.stamp] * count
        pieces[2::6] = self._clocks[start:stop]
        pieces[3::6] = [gaps.name] * count
        pieces[4::6] = self._ids[start:stop]
        pieces[5::6] = [gaps.tail] * count
        pieces[6::6] = self._seams[start:stop]
        last = pieces[-1]
        pieces[-1] = last[: last.index(b"}") + 1]
        return b"".join(pieces)

    def middle_id(self, index: int) -> str:
        """The fixed part of one row's trade id."""
        return self._ids[index].decode()

    def _head(self, start: int) -> bytes:
        if start == 0:
            return self._first
        seam = self._seams[start - 1]
        return seam[seam.index(b"}") + 2 :]


def _clock_to_ticker(blank: Blank) -> bytes:
    side, book = ("yes", "bid") if blank.takes_yes else ("no", "ask")
    return (
        f'{blank.clock}Z","is_block_trade":{"true" if blank.block else "false"},'
        f'"no_price_dollars":"{price_text(1000 - blank.price)}","taker_book_side":"{book}",'
        f'"taker_outcome_side":"{side}","taker_side":"{side}","ticker":"'
    ).encode()
