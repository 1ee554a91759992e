"""The simulated time: it stands still, runs as the real time does, or runs faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from kalshi_simulator.wire import SECOND, from_micros, to_micros


class SimulatedClock:
    """A start moment plus `speed` simulated seconds for every real second since.

    Speed 0 stands still and 1 keeps a fixed distance from the wall clock. `now` and `speed` are settable while it
    runs. `real` counts real seconds, so that a test moves time without waiting. Nothing adds up rounding errors:
    every reading is made from the last moment that was set.
    """

    def __init__(self, now: datetime, speed: float = 0.0, real: Callable[[], float] = time.monotonic) -> None:
        """Raises `ValueError` for a moment without a time zone, and for a speed below 0 or without end."""
        self._real = real
        self._held: int | None = None
        self._from, self._since, self._speed = 0, 0.0, 0.0
        self.set(now, speed)

    @classmethod
    def of_the_wall(cls) -> SimulatedClock:
        """The real time, for a world whose data does not move on."""
        return cls(datetime.now(UTC), speed=1.0)

    @property
    def micros(self) -> int:
        """The simulated moment, Unix microseconds."""
        if self._held is not None:
            return self._held
        if self._speed == 0:
            return self._from
        return self._at(self._real())

    @property
    def now(self) -> datetime:
        """The simulated moment (UTC); setting it jumps there, and the clock goes on at its speed."""
        return from_micros(self.micros)

    @now.setter
    def now(self, moment: datetime) -> None:
        self.set(now=moment)

    @property
    def speed(self) -> float:
        """Simulated seconds per real second; setting it goes on from the present moment."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self.set(speed=speed)

    def set(self, now: datetime | None = None, speed: float | None = None) -> None:
        """Jump to a moment, go on at a speed, or both. Raises `ValueError`, and changes nothing, for wrong ones."""
        if now is not None and now.tzinfo is None:
            raise ValueError("the simulated time needs a time zone")
        if speed is not None and not 0 <= speed < math.inf:
            raise ValueError(f"speed {speed} is out of range: 0 or more simulated seconds per second")
        since = self._real()
        self._from = self._at(since) if now is None else to_micros(now)
        self._since = since
        self._speed = self._speed if speed is None else float(speed)

    @contextmanager
    def one_moment(self, behind: int = 0) -> Iterator[int]:
        """Everything that is asked inside is answered for one moment, `behind` microseconds ago.

        So the volume and the trades in one answer agree. Nothing may be awaited inside.
        """
        before, self._held = self._held, self.micros - behind
        try:
            yield self._held
        finally:
            self._held = before

    def _at(self, real: float) -> int:
        return self._from + int((real - self._since) * self._speed * SECOND)


@lru_cache(maxsize=16)
def http_date(second: int) -> str:
    """A Unix second as the `Date` header has it (RFC 9110, 5.6.7)."""
    return format_datetime(from_micros(second * SECOND), usegmt=True)
