"""An asyncio event loop whose time jumps to the next timer, so that a test waits for minutes in no time.

    from tests.support import virtual_clock
    virtual_clock.run(scenario())
    virtual_clock.run(scenario(), late=lambda: 0.02)      # every timer fires 20 ms late
    virtual_clock.run(talk_over_real_sockets(), grace=0.01)

Time stands still while there is work and jumps when there is none. Sockets are real: with `grace` (real seconds)
the loop looks that long for bytes on their way before it decides that nothing will happen and jumps.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TICK = 1e-7
"""Virtual seconds that each turn of the loop takes: none at all would let a timer that is due in less than a
float's precision come due for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, late: Callable[[], float], grace: float) -> None:
        super().__init__()
        self.now = 0.0
        self._late = late
        self._grace = grace

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += _TICK
        idle = timeout is None or timeout > 0
        ready = self._look_for_bytes() if idle else super().select(0)
        if ready or not idle:
            return ready
        if timeout is None:
            raise RuntimeError("no timer, no bytes: this program would wait for ever")
        self.now += timeout + self._late()
        return []

    def _look_for_bytes(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Look for `grace`; where that took much longer, the machine is busy, and bytes may be as late as this was."""
        while True:
            began = time.monotonic()
            ready = super().select(self._grace)
            if ready or time.monotonic() - began < 2 * self._grace + 0.001:
                return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0. `late` gives the seconds by which the next jump overshoots."""

    def __init__(self, late: Callable[[], float] = lambda: 0.0, grace: float = 0.0) -> None:
        self._jumping = _JumpingSelector(late, grace)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def run(scenario: Coroutine[Any, Any, T], late: Callable[[], float] = lambda: 0.0, grace: float = 0.0) -> T:
    """What `scenario` returns, run on a virtual clock."""
    with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(late, grace)) as runner:
        return runner.run(scenario)
