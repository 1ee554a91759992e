"""Values that cannot be right, from a seed: other types, numbers and texts beyond all measure, impossible times."""

from collections.abc import Iterator
from random import Random
from typing import Any

MISSING = object()
"""The field is not there."""


class Raw(bytes):
    """What stands in the body instead of a value; no encoder would write it."""


def nested(levels: int) -> Any:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


TYPES: tuple[Any, ...] = (None, MISSING, True, False, 0, -1, 5, 1.5, [], {}, ["x"], {"x": 1}, nested(20), nested(300))
NUMBERS: tuple[Any, ...] = (1e308, -1e308, 5e-324, 2**63 - 1, -(2**63), 10**18, 0.1 + 0.2, 1e-7)
DIGITS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "-0.50",
    "1e5",
    "0x10",
    "1_0",
    "\uff11\uff12.00",
    "\u0663.00",
    "9" * 15,
    "9" * 5_000,
    "1.2345678",
)
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\x1b[2J\x1b[31m",
        "\u202eevil",
        "\ufeff",
        "\u2066",
        "é" * 50,
        "🙂" * 30,
        "a,b\nc",
        "\r\n",
    ),
    *(
        "'; drop table trades; --",
        '"><img src=x onerror=alert(1)>',
        "../../../etc/passwd",
        "%s%n{0}",
        "\\u0000",
        "null",
    ),
    *("x" * 3_000, "x" * 60_000, "<script>" * 400),
)
TIMES = (
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2099-01-01T00:00:00Z", "1969-12-31T23:59:59Z"),
    *("2020-12-31T23:59:59Z", "2025-02-30T00:00:00Z", "2025-07-01T25:00:00Z", "2025-07-01T00:00:60Z", "2025-07-01"),
    *("-infinity", "infinity", "now", "0000-00-00T00:00:00Z", "2025-07-01T12:00:00", "+12025-07-01T00:00:00Z"),
)
TICKERS = (
    *(
        "KXHIGHCHI",
        "KXHIGHCHI-99JAN01-B50.5",
        "KXHIGHCHI-25FEB30-B50.5",
        "kxhighchi-25jul01-b50.5",
        "HIGHNY-25JUL01-T80",
    ),
    *(
        "KXHIGHNY-25JUL01-T80",
        "KXHIGHMIA-25JUL01-B80.5",
        "-25JUL01-",
        "KXHIGHCHI-25JUL01-B50.5\n",
        "A" * 200 + "-25JUL01-B1",
    ),
)
NO_JSON = (Raw(b"1e400"), Raw(b"NaN"), Raw(b'"\\ud800"'), Raw(b"[" * 1_500 + b"]" * 1_500), Raw(b"tru"), Raw(b'"\x01"'))
"""An answer with one of these in it is not JSON."""

ALL: tuple[Any, ...] = (*TYPES, *NUMBERS, *DIGITS, *TEXTS, *TIMES, *TICKERS)


def endless(random: Random, values: tuple[Any, ...] = ALL) -> Iterator[Any]:
    """Each value once, in some order, again and again."""
    while True:
        yield from random.sample(values, len(values))
