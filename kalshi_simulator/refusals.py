"""Answers other than 200, in the nested form the exchange sends."""

from __future__ import annotations

from kalshi_simulator.wire import Row, dump


class RefusedError(Exception):
    """The exchange refuses a request with a status and a nested error body."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(f"{status} {code}: {details or message}")
        self.status = status
        self._error: Row = {"code": code, "message": message}
        if details:
            self._error["details"] = details

    @property
    def body(self) -> bytes:
        """`{"error":{"code":…,"message":…,"details":…}}`."""
        return dump({"error": self._error})


def bad_request(details: str) -> RefusedError:
    """400 with the reason in `details`, as recorded."""
    return RefusedError(400, "bad_request", "bad request", details)


def not_found() -> RefusedError:
    """404 of every unknown path, series, event and live market."""
    return RefusedError(404, "not_found", "not found")


def market_not_archived() -> RefusedError:
    """404 of the historical single-market routes."""
    return RefusedError(404, "failed_to_get_market_by_ticker:_not_found", "not found")


def unauthorized() -> RefusedError:
    """401 where credentials are missing or wrong."""
    return RefusedError(401, "unauthorized", "unauthorized")
