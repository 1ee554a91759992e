"""A clock that nobody sets."""

import time

# Linux's monotonic clock stands still while the machine sleeps; what is stale after a sleep would look fresh.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that nobody sets and that continues while the machine sleeps."""
    return time.clock_gettime(_STEADY)
