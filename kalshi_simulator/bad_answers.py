"""Answers that are wrong on the way: errors, HTML, cut, slow, endless and silent ones."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kalshi_simulator.faults import Faults
from kalshi_simulator.refusals import RefusedError
from kalshi_simulator.wire import dump

HTML = b"""<!DOCTYPE html>
<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>
"""
_JSON, _HTML = "application/json", "text/html"

PLAIN_ERRORS: dict[str, tuple[int, str, bytes]] = {
    "error_500": (500, _JSON, RefusedError(500, "internal_server_error", "internal server error").body),
    "error_500_html": (500, _HTML, HTML),
    "error_502": (502, _HTML, HTML),
    "error_503": (503, _JSON, RefusedError(503, "service_unavailable", "service unavailable").body),
    "error_503_html": (503, _HTML, HTML),
    "forever_500": (500, _JSON, RefusedError(500, "internal_server_error", "internal server error").body),
    "html_200": (200, _HTML, HTML),
    "http_400": (400, _JSON, RefusedError(400, "bad_request", "bad request", "invalid ticker").body),
    "http_404": (404, _JSON, RefusedError(404, "not_found", "not found").body),
}
"""Faults that need nothing of the right answer: status, content type, body."""

NEEDS_BODY = frozenset({"cut_body", "slow_body", "truncated_json"})
"""Faults that begin with the right answer."""
ON_THE_WAY = frozenset(PLAIN_ERRORS) | NEEDS_BODY | {"cut", "huge_body", "stall", "too_many"}
"""Every fault of this file; the others are wrong pages inside good answers."""


def too_many(retry_after: float | None) -> web.Response:
    """429 as on the wire: the error is a string, and no header says when to come back."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    body = dump({"error": "too many requests"})
    return web.Response(status=429, body=body, content_type=_JSON, headers=headers)


async def answer_badly(kind: str, request: web.Request, body: bytes, faults: Faults) -> web.StreamResponse:
    """Commit one fault; `body` is the right answer, or empty where the fault needs none."""
    if kind in PLAIN_ERRORS:
        status, content_type, wrong = PLAIN_ERRORS[kind]
        return web.Response(status=status, body=wrong, content_type=content_type)
    if kind == "too_many":
        return too_many(faults.retry_after)
    if kind == "truncated_json":
        return web.Response(body=body[: max(1, len(body) // 2)], content_type=_JSON)
    if kind == "cut":
        return _hang_up(request)
    if kind == "cut_body":
        return await _cut(request, body)
    if kind == "slow_body":
        return await _drip(request, body, faults.slow_body_seconds)
    if kind == "huge_body":
        return await _flood(request, faults.huge_body_bytes)
    return await _stall(request)


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _begin(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    response.content_length = length
    await response.prepare(request)
    return response


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    response = await _begin(request, len(body))
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response


async def _drip(request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
    response = await _begin(request, len(body))
    size = -(-len(body) // 10)
    for start in range(0, len(body), size):
        await response.write(body[start : start + size])
        await asyncio.sleep(seconds / 10)
    return response


async def _flood(request: web.Request, length: int) -> web.StreamResponse:
    """A body that never becomes JSON; a careful client stops reading long before its end."""
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    await response.prepare(request)
    chunk = b'{"cursor":"","trades":[' + b" " * 65_536
    sent = 0
    while sent < length:
        await response.write(chunk)
        sent += len(chunk)
    return response


async def _stall(request: web.Request) -> web.StreamResponse:
    """Headers, then silence until the client goes or the simulator stops."""
    response = await _begin(request, 1_000)
    await asyncio.Event().wait()
    return response
