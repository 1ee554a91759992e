"""When the exchange is closed for maintenance, and what it says meanwhile.

Every route but `/exchange/status` answers with a gateway's page, and the WebSocket is closed and refused. The tapes
know nothing of it: a trade that a closed exchange could not have made shows when it opens again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from aiohttp import web

from kalshi_simulator.wire import Row, time_text, to_micros

_EASTERN = ZoneInfo("America/New_York")
_THURSDAY, _FROM, _TO = 3, time(3), time(5)
_PAGE = b"""<!DOCTYPE html>
<html><head><title>503 Service Temporarily Unavailable</title></head>
<body><center><h1>503 Service Temporarily Unavailable</h1></center></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Windows in simulated time.

    `weekly` is Thursday 03:00 to 05:00 New York time, the exchange's documented window. `windows` are further ones,
    from the first moment (inclusive) to the second. `status` is that of `/exchange/status` during a window: the
    contract allows 200 and 503 with the same body.
    """

    weekly: bool = False
    windows: tuple[tuple[datetime, datetime], ...] = ()
    status: int = 200

    def resumes(self, moment: datetime) -> datetime | None:
        """When the exchange opens again, or None while it is open."""
        ends = [end for start, end in self.windows if start <= moment < end]
        if self.weekly:
            local = moment.astimezone(_EASTERN)
            if local.weekday() == _THURSDAY and _FROM <= local.time() < _TO:
                ends.append(datetime.combine(local.date(), _TO, tzinfo=_EASTERN))
        return max(ends, default=None)

    def announced(self) -> list[Row]:
        """The windows that are no part of the week, as `/exchange/schedule` lists them."""
        return [
            {"end_datetime": time_text(to_micros(end)), "start_datetime": time_text(to_micros(start))}
            for start, end in self.windows
        ]


def gateway_page() -> web.Response:
    """What stands before a closed exchange."""
    return web.Response(status=503, body=_PAGE, content_type="text/html")
