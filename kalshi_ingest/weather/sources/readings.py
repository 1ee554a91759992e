"""Numbers as the minute services write them."""

import math
from dataclasses import dataclass

from kalshi_ingest.errors import BadPayload


@dataclass(frozen=True, slots=True)
class Quantity:
    """How a service writes one quantity."""

    name: str
    parts: int
    """Per unit: a value is a whole number of them."""
    low: float
    high: float
    """Units. What lies outside counts as missing."""
    factor: float = 1.0
    """Turns the service's unit into ours."""
    missing: tuple[object, ...] = (None,)

    def read(self, written: object) -> int | None:
        """The value; None for what is missing. Raises `BadPayload` for what is neither a number nor missing."""
        if written in self.missing:
            return None
        value = _number(written)
        if value is None:
            raise BadPayload(f"{self.name} is not a number: {written!r:.40}")
        scaled = value * (self.parts * self.factor)  # infinite, where the number itself is almost
        return round(scaled) if self.low * self.parts <= scaled <= self.high * self.parts else None


def _number(written: object) -> float | None:
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        return None
    try:
        value = float(written)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
