"""Numbers as the minute services spell them, read once each: a day has few different ones."""

import math
from collections.abc import Collection

from kalshi_ingest.errors import BadPayload

_REMEMBERED = 20_000


class Quantity(dict[object, int | None]):
    """What a service wrote → the value in whole parts of `parts` to the unit; None for what is missing.

    A value outside `low` to `high` (units) cannot be what it says it is and counts as missing too. Reading raises
    `BadPayload` for what is neither number nor missing.
    """

    def __init__(
        self,
        name: str,
        parts: int,
        low: float,
        high: float,
        *,
        factor: float = 1.0,
        missing: Collection[object] = (None,),
    ) -> None:
        """`factor` turns the service's unit into ours."""
        super().__init__(dict.fromkeys(missing))
        self._name = name
        self._scale = parts * factor
        self._range = (low * parts, high * parts)

    def __missing__(self, written: object) -> int | None:
        value = _number(written)
        if value is None:
            raise BadPayload(f"{self._name} is not a number: {written!r:.40}")
        scaled = value * self._scale  # infinite, where the number itself is almost
        found = round(scaled) if self._range[0] <= scaled <= self._range[1] else None
        if len(self) < _REMEMBERED:
            self[written] = found
        return found


def _number(written: object) -> float | None:
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        return None
    try:
        value = float(written)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
