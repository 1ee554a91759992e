"""What a request costs: the exchange lists its routes, such as `/markets/{ticker}`, and requests name paths."""

from collections.abc import Mapping
from typing import Any

from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.parse_trades import rows_of

TOKENS_PER_REQUEST = 10
"""The default cost of a request in the exchange's token bucket."""

_PATH = "/account/endpoint_costs"
_MOST_TOKENS = 1_000_000


class Costs:
    """Cost by path, in requests of `TOKENS_PER_REQUEST`."""

    def __init__(self, default: float = 1.0, routes: Mapping[str, float] | None = None) -> None:
        """`default` is for every path that none of the `routes` matches; a segment in braces matches any."""
        self._default = default
        self._exact: dict[str, float] = {}
        self._templates: list[tuple[list[str], float]] = []
        for route, cost in (routes or {}).items():
            if "{" in route:
                self._templates.append((route.split("/"), cost))
            else:
                self._exact[route] = cost
        self._templates.sort(key=lambda template: sum(map(_is_open, template[0])))  # the most literal one comes first

    def of(self, path: str) -> float:
        cost = self._exact.get(path)
        if cost is not None:
            return cost
        if self._templates:
            segments = path.split("/")
            for template, cost in self._templates:
                if len(template) == len(segments) and all(
                    part == segment or _is_open(part) for part, segment in zip(template, segments, strict=True)
                ):
                    return cost
        return self._default


def costs(answer: Any) -> Costs:
    """The answer of `/account/endpoint_costs`; what makes no sense raises `BadPayload`."""
    default = _cost(answer.get("default_cost") if isinstance(answer, dict) else None, "default_cost")
    if not default:
        raise BadPayload(f"GET {_PATH}: default_cost is 0")
    listed = [row for row in rows_of(answer, "endpoint_costs", _PATH) if isinstance(row, dict)]
    routes = {str(row.get("path")).removeprefix("/trade-api/v2"): row for row in listed if row.get("method") == "GET"}
    return Costs(default, {name: _cost(row.get("cost"), f"cost of {name:.60}") for name, row in routes.items()})


def _is_open(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


def _cost(tokens: object, what: str) -> float:
    if not isinstance(tokens, int | float) or isinstance(tokens, bool) or not 0 <= tokens <= _MOST_TOKENS:
        raise BadPayload(f"GET {_PATH}: {what} is {tokens!r:.60}, not a number of tokens")
    return tokens / TOKENS_PER_REQUEST
