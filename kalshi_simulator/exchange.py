"""What every route works with, and how it reads a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from multidict import MultiMapping

from kalshi_simulator.budget import Budgets, Limits
from kalshi_simulator.fault_plan import FaultPlan
from kalshi_simulator.refusals import bad_request
from kalshi_simulator.wire import SECOND
from kalshi_simulator.world import MarketEntry, Tier, World, in_tier

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A world with the limits and faults under which it is served."""

    world: World
    limits: Limits
    budgets: Budgets
    faults: FaultPlan

    def serves(self, entry: MarketEntry, tier: Tier) -> bool:
        """Whether a tier shows this market now."""
        return in_tier(entry, tier, self.world.cutoff, self.limits.overlap)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: path parameters, query, and whether it was signed. Unknown parameters are ignored."""

    path: Mapping[str, str]
    query: MultiMapping[str]
    signed: bool

    def text(self, name: str) -> str | None:
        """A parameter, or None where it is absent or empty."""
        return self.query.get(name) or None

    def flag(self, name: str) -> bool | None:
        """A boolean parameter in any spelling that Go's `ParseBool` takes, or None where it is absent."""
        text = self.text(name)
        if text is None:
            return None
        if text not in _TRUE | _FALSE:
            raise bad_request(f"invalid boolean for {name}")
        return text in _TRUE

    def limit(self, default: int, highest: int, lowest: int = 0) -> int:
        """The page size; too large is refused in the words of the exchange. 0 counts as left out."""
        number = self.integer("limit")
        if number is None:
            return default
        if number > highest:
            raise bad_request("Field validation for 'Limit' failed on the 'lte' tag")
        if number < lowest:
            raise bad_request("Field validation for 'Limit' failed on the 'gte' tag")
        return number or default

    def integer(self, name: str) -> int | None:
        """A whole number, or None where it is absent."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f"invalid integer for {name}") from None

    def needed_integer(self, name: str) -> int:
        """A whole number that must be there."""
        number = self.integer(name)
        if number is None:
            raise bad_request(f"missing required parameter {name}")
        return number

    def moment(self, name: str) -> int | None:
        """A `*_ts` parameter (Unix seconds) in microseconds."""
        seconds = self.integer(name)
        return None if seconds is None else seconds * SECOND

    def listed(self, name: str) -> list[str] | None:
        """A comma list, or None where it is absent."""
        text = self.text(name)
        return None if text is None else text.split(",")


Answer = Callable[[Exchange, Call], bytes]
"""A route: gives the body of a 200, or raises `RefusedError`."""
