"""A few dozen template events, from which every market of a synthetic world takes its tape.

A template belongs to a number of bins and a winner. It is built on first use and then only filled with
ticker, date, counts and digits, so that millions of different trades cost little memory and little time.
"""

from __future__ import annotations

import random
from array import array
from functools import cached_property
from itertools import groupby

from kalshi_simulator.beliefs import belief_path
from kalshi_simulator.fragments import Blank, Fragments
from kalshi_simulator.seeds import stream
from kalshi_simulator.sweeps import Digits, Stroke, draw_strokes
from kalshi_simulator.wire import DAY, MILLISECOND, SECOND, fraction_text

_VARIANTS = {0: 3, 1: 5, 2: 5, 3: 5, 4: 5, 5: 3}
"""Templates per winner of a six-bin day; end bins win seldom."""
_LONGEST = 2_650
"""The largest recorded market has 2,682 trades, where the mean is about 270; busier worlds have larger ones."""
_UNCUT = 0.78
"""Share of template trades an average market keeps, after quiet markets, cuts and early closes."""


class TemplateTape:
    """The trades of one bin of a template event, newest first, without their counts."""

    def __init__(self, strokes: list[Stroke], rng: random.Random) -> None:
        self._random_starts: list[str] = []
        self._middles: list[str] = []
        listed = _list_order(strokes, rng, self._random_starts, self._middles)
        self._listed = listed
        self.falling = array("q", (-stroke.offset for stroke in listed))
        """Negated offsets: ascending, so that bisection finds a moment in newest-first order."""
        self.blocks = [index for index, stroke in enumerate(listed) if stroke.block]

    def __len__(self) -> int:
        return len(self._listed)

    def stroke(self, index: int) -> Stroke:
        """The trade at one place."""
        return self._listed[index]

    @cached_property
    def random_ids(self) -> Fragments:
        """Rows whose ids are random version 4 UUIDs but for the last twelve digits."""
        return Fragments([self._blank(index, self._random_starts[index], "4") for index in range(len(self))])

    @cached_property
    def timed_ids(self) -> Fragments:
        """Rows whose ids begin with a day code (a gap) and the time within the day."""
        return Fragments(
            [self._blank(index, f"{day_fraction(self._listed[index].offset):04x}", "") for index in range(len(self))]
        )

    def _blank(self, index: int, start: str, version: str) -> Blank:
        stroke = self._listed[index]
        middle = self._middles[index]
        third = version + middle[5:8] if version else middle[4:8]
        fourth = middle[8:12] if not version else "89ab"[int(middle[8], 16) % 4] + middle[9:12]
        return Blank(
            clock=f"T{clock_text(stroke.offset, stroke.digits)}",
            digits=stroke.digits,
            price=stroke.price,
            takes_yes=stroke.takes_yes,
            block=stroke.block,
            middle_id=f"{start}-{middle[:4]}-{third}-{fourth}-",
        )


def day_fraction(offset: int) -> int:
    """The time of day in 65,536 parts of a day: the second half of a time-prefixed id's beginning."""
    return (offset % DAY) * 65_536 // DAY


def clock_text(offset: int, digits: Digits) -> str:
    """The time of day down to the millisecond, without `Z`; trimmed where no digits of the market's follow."""
    seconds, micros = divmod(offset % DAY, SECOND)
    fraction = fraction_text(micros) if digits is Digits.NONE else f".{micros // MILLISECOND:03d}"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _list_order(strokes: list[Stroke], rng: random.Random, starts: list[str], middles: list[str]) -> list[Stroke]:
    """Newest first, inside a tie by id descending: ids are dealt to the trades of a tie at random."""
    listed: list[Stroke] = []
    for _, group in groupby(reversed(strokes), key=lambda stroke: stroke.offset):
        tied = list(group)
        rng.shuffle(tied)
        listed += tied
        starts.extend(sorted((f"{rng.getrandbits(32):08x}" for _ in tied), reverse=True))
        # Both kinds of ids must fall in the same order, so the digits behind the beginning fall as well.
        middles.extend(sorted((f"{rng.getrandbits(48):012x}" for _ in tied), reverse=True))
    return listed


class TemplateLibrary:
    """Every template of a world. Sizes are planned at once so that they meet the wanted mean."""

    def __init__(self, seed: int, trades_per_market: float) -> None:
        self._seed = seed
        self._sizes = _plan_sizes(seed, trades_per_market)
        self._built: dict[tuple[int, int, int], list[TemplateTape]] = {}

    def tape(self, bins: int, winner: int, variant: float, index: int) -> TemplateTape:
        """The template tape of one bin; `variant` (0 ≤ v < 1) picks among those with the same winner."""
        key = (bins, winner, int(variant * _variants(bins, winner)))
        tapes = self._built.get(key)
        if tapes is None:
            tapes = self._built[key] = self._build(key)
        return tapes[index]

    def _build(self, key: tuple[int, int, int]) -> list[TemplateTape]:
        bins, winner, _ = key
        rng = stream(self._seed, "template", *key)
        path = belief_path(bins, winner, rng)
        return [TemplateTape(draw_strokes(size, path, index, rng), rng) for index, size in enumerate(self._sizes[key])]


def _variants(bins: int, winner: int) -> int:
    return _VARIANTS[winner] if bins == 6 else 1


def _plan_sizes(seed: int, trades_per_market: float) -> dict[tuple[int, int, int], list[int]]:
    """Trades per bin: most near the winner, few in the tails, some above a page of 1,000."""
    raw: dict[tuple[int, int, int], list[float]] = {}
    for bins in (6, 5):
        for winner in range(bins):
            for variant in range(_variants(bins, winner)):
                rng = stream(seed, "sizes", bins, winner, variant)
                busy = rng.lognormvariate(0, 0.35)
                raw[bins, winner, variant] = [
                    busy * rng.lognormvariate(0, 0.7) * (2.4, 1.5, 0.8, 0.4, 0.25, 0.2)[abs(index - winner)]
                    for index in range(bins)
                ]
    six = [size for (bins, _, _), sizes in raw.items() if bins == 6 for size in sizes]
    wanted = trades_per_market / _UNCUT
    scale = wanted * len(six) / sum(six)
    longest = max(_LONGEST, 10 * round(trades_per_market))
    for _ in range(3):  # cutting the longest takes trades away, so raise the rest
        scale *= wanted * len(six) / sum(min(longest, size * scale) for size in six)
    return {key: [max(1, min(longest, round(size * scale))) for size in sizes] for key, sizes in raw.items()}
