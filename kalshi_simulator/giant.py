"""A market with any wanted number of trades, however large, in constant memory.

The tape is made of blocks, each inside one second of the trading time. A dozen block templates, one per
stage of the price, are filled on request, so a page costs the same at its end as at its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from kalshi_simulator.fragments import Blank, Fragments, Gaps
from kalshi_simulator.lifecycle import TIME_PREFIXED_IDS
from kalshi_simulator.plan import MarketPlan
from kalshi_simulator.seeds import digest, stream
from kalshi_simulator.sizes import LENGTH, size_roll
from kalshi_simulator.sweeps import Digits, Stroke, draw_strokes
from kalshi_simulator.tapes import Key, day_code
from kalshi_simulator.templates import day_fraction
from kalshi_simulator.wire import DAY, SECOND, fraction_text, from_micros

_STAGES = 12
_BLOCK = 100


class _Stage:
    """One block of trades within a second, at one level of the price; newest first."""

    def __init__(self, plan: MarketPlan, seed: int, number: int, size: int) -> None:
        rng = stream(seed, "giant", plan.ticker, number)
        final = 0.985 if plan.wins else 0.012
        known = (number + 1) / _STAGES
        belief = 0.35 * (1 - known) + final * known
        made = draw_strokes(size, [[belief]] * 128, 0, rng)
        timed = plan.event.day >= TIME_PREFIXED_IDS
        self._micros: list[int] = []
        self._enters = rng.randrange(LENGTH)
        blanks: list[Blank] = []
        groups = [list(group) for _, group in groupby(made, key=lambda stroke: stroke.offset)]
        instants = sorted(rng.sample(range(1, SECOND), len(groups)), reverse=True)
        self.newest = groups[-1]
        for micros, group in zip(instants, reversed(groups), strict=True):
            rng.shuffle(group)
            ids = sorted((f"{rng.getrandbits(80):020x}" for _ in group), reverse=True)
            for stroke, digits in zip(group, ids, strict=True):
                self._micros.append(micros)
                blanks.append(_blank(stroke, micros, digits, timed=timed))
        self.rows = Fragments(blanks)

    def volume(self, trades: int) -> int:
        """Sum of the counts of the newest `trades`, hundredths of a contract."""
        return size_roll().volume(self._enters, self._enters + trades)

    def fill(self, start: int, stop: int, gaps: Gaps) -> bytes:
        """Some of its rows as JSON joined by commas."""
        return self.rows.fill(start, stop, size_roll().texts(self._enters + start, self._enters + stop), gaps)

    def micros(self, place: int) -> int:
        """Microseconds within the block's second."""
        return self._micros[place]


def _blank(stroke: Stroke, micros: int, digits: str, *, timed: bool) -> Blank:
    if timed:
        middle_id = f"-{digits[:4]}-{digits[4:8]}-{digits[8:12]}-"
    else:
        middle_id = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{'89ab'[int(digits[16], 16) % 4]}{digits[17:]}-"
    return Blank(fraction_text(micros), Digits.NONE, stroke.price, stroke.takes_yes, stroke.block, middle_id)


class GiantTape:
    """Exactly `total` trades between open and close, whatever the number."""

    def __init__(self, plan: MarketPlan, seed: int, total: int) -> None:
        self._plan = plan
        self._total = total
        self.raw = False
        self._seconds = (plan.event.closes - plan.event.opens) // SECOND
        self._size = max(_BLOCK, -(-total // self._seconds))
        self._blocks = -(-total // self._size)
        self._timed = plan.event.day >= TIME_PREFIXED_IDS
        self._owner = digest(5, seed, "trades", plan.ticker)
        self._stages = [_Stage(plan, seed, number, self._size) for number in range(_STAGES)]

    def __len__(self) -> int:
        return self._total

    @property
    def volume(self) -> int:
        """Sum of all counts, hundredths of a contract."""
        whole, rest = divmod(self._total, self._size)
        volume = self._stage(whole).volume(rest) if rest else 0
        for number, stage in enumerate(self._stages):
            volume += stage.volume(self._size) * self._blocks_in_stage(number, whole)
        return volume

    def volume_since(self, moment: int) -> int:
        """Sum of the counts of the trades at or after `moment`; blocks are counted whole."""
        return self.volume if moment <= self._plan.event.opens else 0

    def last_price(self, index: int = 0) -> int | None:
        """Yes price (tenths of a cent) of the latest execution in the block of row `index`."""
        if index >= self._total:
            return None
        return self._stage(index // self._size).newest[-1].price

    def since(self, moment: int) -> int:
        """How many rows were created at or after `moment` (Unix microseconds)."""
        low, high = 0, self._total
        while low < high:
            middle = (low + high) // 2
            if self._moment(middle) >= moment:
                low = middle + 1
            else:
                high = middle
        return low

    def key(self, index: int) -> Key:
        """The keyset of one row."""
        block, place = divmod(index, self._size)
        prefix = self._prefix(block)
        return self._moment(index), f"{prefix}{self._stage(block).rows.middle_id(place)}{self._tail(block)}"

    def after(self, key: Key) -> int:
        """Index of the first row that follows `key` in listing order."""
        index = self.since(key[0] + 1)
        while index < self._total and self.key(index) >= key:
            index += 1
        return index

    def rows(self, start: int, stop: int) -> bytes:
        """Rows as JSON joined by commas, block by block."""
        parts = []
        while start < stop:
            block, place = divmod(start, self._size)
            end = min(self._size, place + stop - start)
            stamp = from_micros(self._second(block) * SECOND).strftime("%Y-%m-%dT%H:%M:%S")
            gaps = Gaps.of(stamp, (b"", b"", b""), self._plan.ticker, self._prefix(block), self._tail(block))
            parts.append(self._stage(block).fill(place, end, gaps))
            start += end - place
        return b",".join(parts)

    def blocks(self) -> Sequence[int]:
        """No block trade is among them."""
        return ()

    def _moment(self, index: int) -> int:
        block, place = divmod(index, self._size)
        return self._second(block) * SECOND + self._stage(block).micros(place)

    def _second(self, block: int) -> int:
        """Unix second of a block; strictly falling, since there are no more blocks than seconds."""
        return self._plan.event.closes // SECOND - 1 - block * self._seconds // self._blocks

    def _stage(self, block: int) -> _Stage:
        return self._stages[_STAGES - 1 - min(block, self._blocks - 1) * _STAGES // self._blocks]

    def _blocks_in_stage(self, number: int, whole: int) -> int:
        """How many of the newest `whole` blocks are at this stage."""
        place = _STAGES - 1 - number
        first = -(-place * self._blocks // _STAGES)
        stop = -(-(place + 1) * self._blocks // _STAGES)
        return max(0, min(stop, whole) - min(first, whole))

    def _prefix(self, block: int) -> str:
        if not self._timed:
            return ""
        micros = self._second(block) * SECOND
        return f"{day_code(from_micros(micros).date())}{day_fraction(micros % DAY):04x}"

    def _tail(self, block: int) -> str:
        return f"{self._owner}{block:07x}"
