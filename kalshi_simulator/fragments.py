"""Trade rows as pre-written JSON with gaps, so that a page costs a join instead of a serialisation.

A row is alphabetical JSON. Its gaps are the count, the time's beginning and end, the ticker with the id's beginning,
and the id's end:

    {"count_fp":"<count>","created_time":"<stamp>T20:51:07.847<digits>Z", … "ticker":"<name>…-9900-70df-<tail>", …}

One template serves every market and date that uses it; only the gaps differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern

from kalshi_simulator.sweeps import Digits
from kalshi_simulator.wire import price_text

_FIRST = b'{"count_fp":"'
_NEXT = ',{"count_fp":"'


@dataclass(frozen=True, slots=True)
class Blank:
    """One trade of a template. Prices in tenths of a cent; `clock` follows the stamp."""

    clock: str
    digits: Digits
    price: int
    takes_yes: bool
    block: bool
    middle_id: str
    """The id between its first gap and its last twelve digits, with dashes."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What fills a template: times' beginning and ends (by `Digits`), ticker plus id beginning, end of the id."""

    stamp: bytes
    digits: tuple[bytes, bytes, bytes]
    name: bytes
    tail: bytes

    @classmethod
    def of(cls, stamp: str, digits: tuple[bytes, bytes, bytes], ticker: str, id_prefix: str, tail: str) -> Gaps:
        """Gaps for one market and one date."""
        return cls(
            f'","created_time":"{stamp}'.encode(), digits, f'{ticker}","trade_id":"{id_prefix}'.encode(), tail.encode()
        )


class Fragments:
    """The rows of one template, newest first."""

    __slots__ = ("_clocks", "_digits", "_ids", "_prices", "_sides")

    def __init__(self, blanks: Sequence[Blank]) -> None:
        self._clocks = [blank.clock.encode() for blank in blanks]
        self._digits = bytes(blank.digits for blank in blanks)
        self._sides = [intern(_time_to_ticker(blank)).encode() for blank in blanks]
        self._ids = [blank.middle_id.encode() for blank in blanks]
        self._prices = [f'","yes_price_dollars":"{price_text(blank.price)}"}}{_NEXT}'.encode() for blank in blanks]

    def fill(self, start: int, stop: int, counts: Sequence[bytes], gaps: Gaps) -> bytes:
        """Rows `start` to `stop` (exclusive, not empty) as JSON joined by commas, without brackets."""
        number = stop - start
        pieces: list[bytes] = [b""] * (9 * number)
        pieces[0::9] = counts
        pieces[1::9] = [gaps.stamp] * number
        pieces[2::9] = self._clocks[start:stop]
        pieces[3::9] = map(gaps.digits.__getitem__, self._digits[start:stop])
        pieces[4::9] = self._sides[start:stop]
        pieces[5::9] = [gaps.name] * number
        pieces[6::9] = self._ids[start:stop]
        pieces[7::9] = [gaps.tail] * number
        pieces[8::9] = self._prices[start:stop]
        pieces[-1] = pieces[-1].removesuffix(_NEXT.encode())
        return _FIRST + b"".join(pieces)

    def middle_id(self, index: int) -> str:
        """The fixed part of one row's trade id."""
        return self._ids[index].decode()


def _time_to_ticker(blank: Blank) -> str:
    side, book = ("yes", "bid") if blank.takes_yes else ("no", "ask")
    return (
        f'Z","is_block_trade":{"true" if blank.block else "false"},'
        f'"no_price_dollars":"{price_text(1000 - blank.price)}","taker_book_side":"{book}",'
        f'"taker_outcome_side":"{side}","taker_side":"{side}","ticker":"'
    )
