"""The temperature bins of one event: strikes, ticker endings and display texts.

A day has one `less` market, four (at times three) `between` markets of two degrees and one `greater`
market, contiguous and exhaustive. The ticker's `B` number is the bin's middle; `T` is ambiguous on
purpose, as on the exchange: strictly below at the bottom, strictly above at the top.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bin:
    """One market's bounds in °F. `between` includes both; `less` and `greater` are strict."""

    suffix: str
    strike_type: str
    floor: int | None
    cap: int | None
    text: str


def bins_from(low: int, middle_bins: int) -> tuple[Bin, ...]:
    """The bins of a day whose lowest `between` bin starts at `low` °F, coldest first."""
    rows = [Bin(f"T{low}", "less", None, low, f"{low - 1}° or below")]
    for floor in range(low, low + 2 * middle_bins, 2):
        rows.append(Bin(f"B{floor + 0.5}", "between", floor, floor + 1, f"{floor}° to {floor + 1}°"))
    top = low + 2 * middle_bins - 1
    rows.append(Bin(f"T{top}", "greater", top, None, f"{top + 1}° or above"))
    return tuple(rows)


def winning_bin(bins: tuple[Bin, ...], temperature: int) -> int:
    """Index of the bin that holds `temperature`."""
    for index, entry in enumerate(bins):
        above = entry.floor is None or (
            temperature > entry.floor if entry.strike_type == "greater" else temperature >= entry.floor
        )
        below = entry.cap is None or (
            temperature < entry.cap if entry.strike_type == "less" else temperature <= entry.cap
        )
        if above and below:
            return index
    raise AssertionError(f"bins are exhaustive, yet none holds {temperature}")
