"""Absurd values in what the weather services answer: cells of tables, fields of rows, words of texts."""

import json
from datetime import datetime
from random import Random
from typing import Any

import orjson

from tests.mutations.values import DIGITS, MISSING, NUMBERS, TEXTS, TICKERS, TIMES, TYPES

_FIELDS = {
    "/json/": ("station", "valid", "high", "product", "name", ""),
    "/geojson/": ("station", "valid", "high", "product", "name", ""),
    "/ncei/": ("DATE", "STATION", "TMAX", "TMAX_ATTRIBUTES", ""),
    "/visualcrossing/": ("datetimeEpoch", "temp", "dew", "windspeed", "pressure", "preciptype", "stations", ""),
}
_WORDS = tuple(each for each in (*DIGITS, *TEXTS, *TIMES, *TICKERS) if each.strip("\0 \ufeff\u2066\r\n"))
_VALUES = (*_WORDS, *TYPES, *NUMBERS)


class WeatherLiar:
    """Spoils something in every other answer, as `Relay.spoil`; counts in `told`."""

    def __init__(self, random: Random, rows: int = 3) -> None:
        """`rows`: how many rows, cells or words of an answer are spoilt."""
        self.told = 0
        self._random = random
        self._rows = rows

    def __call__(self, path: str, _: dict[str, str], body: bytes) -> bytes:
        if self._random.random() < 0.5:
            return body
        for part, fields in _FIELDS.items():
            if part in path:
                return self._json(body, fields)
        return self._texts(body) if "afos" in path else self._table(body)

    def _json(self, body: bytes, fields: tuple[str, ...]) -> bytes:
        decoded: Any = orjson.loads(body)
        rows = _rows(decoded)
        for place in self._random.sample(range(len(rows)), min(self._rows, len(rows))):
            holder, key = rows[place]
            field, value = self._random.choice(fields), self._random.choice(_VALUES)
            if _may_be(field, value):
                continue
            self.told += 1
            if not field:
                holder[key] = None if value is MISSING else value
            elif value is MISSING:
                holder[key].pop(field, None)
            else:
                holder[key][field] = value
        return json.dumps(decoded).encode()

    def _texts(self, body: bytes) -> bytes:
        words = body.decode("latin-1").split(" ")
        for place in self._random.sample(range(len(words)), min(self._rows, len(words))):
            if words[place].strip() and "\1" not in words[place] and "\3" not in words[place]:
                self.told += 1
                words[place] = self._random.choice(_WORDS)
        return " ".join(words).encode("latin-1", errors="replace")

    def _table(self, body: bytes) -> bytes:
        lines = body.decode().split("\n")
        for place in self._random.sample(range(len(lines)), min(self._rows, len(lines))):
            cells = lines[place].split(",")
            if len(cells) > 1:
                self.told += 1
                cells[self._random.randrange(len(cells))] = self._random.choice(_WORDS)
                lines[place] = ",".join(cells)
        return "\n".join(lines).encode()


class NoonLiar:
    """One lie, the same in every answer that has Chicago's noon of one day of May 2025, as `Relay.spoil`."""

    def __init__(self, random: Random, day: int) -> None:
        self.told = 0
        self._noon = f"2025-05-{day:02} 17:00"
        self._epoch = datetime.fromisoformat(self._noon + "Z").timestamp()
        self._cell, self._word = random.randrange(10), random.choice(_WORDS)
        self._field, self._value = random.choice(_FIELDS["/visualcrossing/"]), random.choice(_VALUES)

    def __str__(self) -> str:
        return f"cell {self._cell}: {self._word!r}; {self._field}: {self._value!r}"

    def __call__(self, path: str, _: dict[str, str], body: bytes) -> bytes:
        if "/visualcrossing/" in path:
            return self._json(body) if "KMDW" in path else body
        return b"\n".join(map(self._row, body.split(b"\n")))

    def _row(self, line: bytes) -> bytes:
        if not line.startswith(b"MDW,") or self._noon.encode() not in line:
            return line
        self.told += 1
        cells = line.split(b",")
        cells[self._cell % len(cells)] = self._word.encode()
        return b",".join(cells)

    def _json(self, body: bytes) -> bytes:
        decoded: Any = orjson.loads(body)
        for holder, key in _rows(decoded):
            if holder[key]["datetimeEpoch"] != self._epoch:
                continue
            self.told += 1
            if not self._field:
                holder[key] = None if self._value is MISSING else self._value
            elif self._value is MISSING:
                holder[key].pop(self._field, None)
            else:
                holder[key][self._field] = self._value
        return json.dumps(decoded).encode()


def _rows(decoded: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of each row of an answer."""
    if isinstance(decoded, list):
        return [(decoded, place) for place in range(len(decoded))]
    if "features" in decoded:
        return [(feature, "properties") for feature in decoded["features"]]
    if "results" in decoded:
        return [(decoded["results"], place) for place in range(len(decoded["results"]))]
    hours = [hour for day in decoded["days"] for hour in day.get("hours", ())]
    return [(hour["minutes"], place) for hour in hours for place in range(len(hour.get("minutes", ())))]


def _may_be(field: str, value: object) -> bool:
    """Whether a service may say so: nobody could tell."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return field in ("high", "TMAX", "temp") and number and -100 <= float(str(value)) <= 150
