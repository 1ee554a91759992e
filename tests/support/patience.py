"""How long tests wait. They measure progress; a limit in seconds only keeps a test that hangs from hanging for ever."""

import asyncio
from collections.abc import Callable

COMES = 120.0
"""For something that has to come: on a machine that is ten times as slow as usual, too."""

ENDS = 40.0
"""For the end of what promises to end within ten seconds, on a machine that is four times as slow as usual. What these
tests are there to find ends after minutes, or never."""


async def until(condition: Callable[[], object], seconds: float = COMES) -> None:
    """Return once it is true; `TimeoutError` when that does not come."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
