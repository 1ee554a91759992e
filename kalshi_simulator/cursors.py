"""Keyset cursors as the exchange writes them: base64url without padding around a small binary message.

Recorded cursors decode as (created time, ticker) for markets and (trade id, created time) for trades.
They carry no filter, so a client must send its filters again with every page.
"""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from kalshi_simulator.refusals import RefusedError
from kalshi_simulator.tapes import Key
from kalshi_simulator.wire import SECOND

_VARINT, _BYTES = 0, 2


def list_cursor(created: int, ticker: str) -> str:
    """Cursor behind a market or an event; `created` in Unix microseconds."""
    return _encode(_bytes_field(1, _moment(created)) + _bytes_field(2, ticker.encode()))


def trade_cursor(key: Key) -> str:
    """Cursor behind a trade."""
    created, trade_id = key
    identity = _bytes_field(1, UUID(trade_id).bytes)
    return _encode(_bytes_field(2, identity) + _bytes_field(3, _moment(created)))


def read_list_cursor(text: str) -> tuple[int, str]:
    """The (created, ticker) behind which a list goes on."""
    fields = _decode(text)
    try:
        return _read_moment(fields[1]), fields[2].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise _bad_cursor() from error


def read_trade_cursor(text: str) -> Key:
    """The keyset behind which a tape goes on."""
    fields = _decode(text)
    try:
        identity = UUID(bytes=_fields(fields[2])[1])
        return _read_moment(fields[3]), str(identity)
    except (KeyError, ValueError) as error:
        raise _bad_cursor() from error


def _bad_cursor() -> RefusedError:
    return RefusedError(400, "bad_request", "bad request", "invalid cursor")


def _encode(message: bytes) -> str:
    return base64.urlsafe_b64encode(message).rstrip(b"=").decode()


def _decode(text: str) -> dict[int, bytes]:
    try:
        return _fields(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor() from error


def _moment(micros: int) -> bytes:
    seconds, rest = divmod(micros, SECOND)
    message = bytes([1 << 3 | _VARINT]) + _varint(seconds)
    return message + bytes([2 << 3 | _VARINT]) + _varint(rest * 1000) if rest else message


def _read_moment(message: bytes) -> int:
    values = {1: 0, 2: 0}
    place = 0
    while place < len(message):
        number = message[place] >> 3
        values[number], place = _read_varint(message, place + 1)
    return values[1] * SECOND + values[2] // 1000


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message):
            raise _bad_cursor()
        byte = message[place]
        value |= (byte & 0x7F) << shift
        shift += 7
        place += 1
        if byte < 0x80:
            return value, place


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint(len(value)) + value


def _fields(message: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place < len(message):
        tag = message[place]
        if tag & 7 != _BYTES:
            raise _bad_cursor()
        size, place = _read_varint(message, place + 1)
        found[tag >> 3] = message[place : place + size]
        place += size
    if place != len(message):
        raise _bad_cursor()
    return found
