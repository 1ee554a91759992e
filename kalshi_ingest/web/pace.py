"""How many requests a second went to the exchange lately: what of the budget is in use."""

from collections import deque

_SPAN_SECONDS = 60.0


class RecentPace:
    """Requests a second over the last minute, from counts noted now and then."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque()

    def note(self, moment: float, requests: int) -> None:
        """`requests` sent since the start, at `moment` on a clock that only goes forward."""
        self._noted.append((moment, requests))
        while len(self._noted) > 2 and self._noted[1][0] <= moment - _SPAN_SECONDS:
            self._noted.popleft()

    @property
    def per_second(self) -> float | None:
        """None until two counts are known."""
        if len(self._noted) < 2:
            return None
        (began, first), (ended, last) = self._noted[0], self._noted[-1]
        return (last - first) / (ended - began) if ended > began else None
