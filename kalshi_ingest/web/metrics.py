"""The service's numbers for Prometheus, read from the state at each scrape."""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kalshi_ingest.domain.checkpoint import Verdict
from kalshi_ingest.follow.state import LAG_BOUNDS, FollowState, Lag, Phase, SeriesState

_PREFIX = "kalshi_ingest_"
_LOSSES = ("exchange", "database", "series")
_OLD_NAMES = {
    "data_age_seconds": "freshness_seconds",
    "listing_age_seconds": "listed_seconds",
    "database_answer_age_seconds": "database_seconds",
    "periodic_job_success_age_seconds": "errand_success_seconds",
}
_OLD_LABELS = {"periodic_job": "errand"}
"""Names up to 0.1, which stay as aliases until 0.3."""


_CityValue = Callable[[FollowState, SeriesState], float | None]
"""None: not known."""

_CITY_GAUGES: tuple[tuple[str, str, _CityValue], ...] = (
    (
        "data_age_seconds",
        "Seconds since the moment up to which the data is proved complete.",
        lambda state, each: state.age(each),
    ),
    (
        "listing_age_seconds",
        "Seconds since the exchange's lists were last read whole.",
        lambda state, each: None if each.listed_at is None else max(0.0, state.clock() - each.listed_at),
    ),
    (
        "last_trade_timestamp_seconds",
        "When the newest trade stored was made, unix time.",
        lambda _, each: None if each.last_trade_at is None else each.last_trade_at.timestamp(),
    ),
    ("open_markets", "Markets that trade.", lambda _, each: each.open_markets),
    ("unsettled_markets", "Markets that have not settled.", lambda _, each: each.unsettled_markets),
    ("backlog_markets", "Markets that wait for a walk.", lambda _, each: each.backlog),
    ("failing", "Things that fail at present.", lambda _, each: len(each.failed)),
    (
        "missing_contracts",
        "Contracts of the exchange's own volume, of markets that trade, that no walk finds a trade for.",
        lambda _, each: sum(each.missing.values()) / 100,
    ),
    (
        "accepted_deficit_contracts",
        "The same where the difference has not changed for so long that it is attributed to the exchange's own books.",
        lambda _, each: sum(each.accepted.values()) / 100,
    ),
)


def registry_of(state: FollowState, version: str) -> CollectorRegistry:
    """A registry of its own with this state's metrics and the process's; names are a contract with dashboards."""
    registry = CollectorRegistry()
    registry.register(_StateCollector(state, version))
    ProcessCollector(registry=registry)
    return registry


class _StateCollector(Collector):
    def __init__(self, state: FollowState, version: str) -> None:
        self._state = state
        self._version = version

    def collect(self) -> Iterator[Metric]:
        for family in self._current():
            yield family
            yield from _alias(family)

    def _current(self) -> Iterator[Metric]:
        state = self._state
        build = _gauge("build_info", "The running program; always 1.", "version")
        build.add_metric([self._version], 1)
        yield build
        yield from _whole(state)
        yield from _series(state)
        yield from _exchange(state)
        yield from _channel(state)
        jobs = _gauge(
            "periodic_job_success_age_seconds", "Seconds since a periodic job last succeeded.", "periodic_job"
        )
        for name, job in sorted(state.periodic_jobs.items()):
            if job.succeeded_at is not None:
                jobs.add_metric([name], max(0.0, state.clock() - job.succeeded_at))
        yield jobs


def _alias(family: Metric) -> Iterator[Metric]:
    """The same values under the name that a metric had before; nothing where it had no other."""
    name = family.name.removeprefix(_PREFIX)
    if name not in _OLD_NAMES:
        return
    old = Metric(_PREFIX + _OLD_NAMES[name], f"Deprecated, use {family.name}.", family.type)
    for sample in family.samples:
        labels = {_OLD_LABELS.get(label, label): value for label, value in sample.labels.items()}
        old.add_sample(old.name, labels, sample.value)
    yield old


def _whole(state: FollowState) -> Iterator[Metric]:
    yield _single("ready", "1 when the data may be taken for current.", int(not state.not_ready()))
    phase = _gauge("phase", "1 for what the service is doing, 0 for the rest.", "phase")
    for each in Phase:
        phase.add_metric([each.value], int(state.phase is each))
    yield phase
    yield _single("writer_queue", "Steps that wait for the writer.", state.queue)
    seen = _gauge("database_answer_age_seconds", "Seconds since the database last answered.")
    if state.database_seen_at is not None:
        seen.add_metric([], max(0.0, state.clock() - state.database_seen_at))
    yield seen
    losses = _counter("losses", "Times that everything had to be opened again, by what was lost.", "what")
    for what in _LOSSES:
        losses.add_metric([what], state.losses[what])
    yield losses
    yield CounterMetricFamily(f"{_PREFIX}faults", "Unexpected exceptions.", value=state.faults)


def _series(state: FollowState) -> Iterator[Metric]:
    every = list(state.series.values())
    for name, meaning, value in _CITY_GAUGES:
        family = _gauge(name, meaning, "city")
        for each in every:
            if (known := value(state, each)) is not None:
                family.add_metric([each.wanted.label], known)
        yield family
    lag = HistogramMetricFamily(
        f"{_PREFIX}trade_lag_seconds", "From a trade at the exchange to its commit.", labels=["city"]
    )
    for each in every:
        lag.add_metric([each.wanted.label], _buckets(each.lag), each.lag.total_seconds)
    yield lag
    yield from _series_counters(every)


def _series_counters(every: Iterable[SeriesState]) -> Iterator[Metric]:
    rows = _counter("rows", "Rows stored since the start, by table.", "city", "table")
    proved = _counter("markets_proved", "Markets proved complete since the start, by verdict.", "city", "verdict")
    requests = _counter("city_requests", "Requests sent to the exchange for this city.", "city")
    for each in every:
        for table in ("trades", "candles_1m", "candles_5m"):
            rows.add_metric([each.wanted.label, table], getattr(each.stats, table))
        for verdict in Verdict:
            proved.add_metric([each.wanted.label, verdict], each.stats.proved[verdict])
        requests.add_metric([each.wanted.label], each.stats.tally.requests)
    yield from (rows, proved, requests)


def _exchange(state: FollowState) -> Iterator[Metric]:
    for name, meaning, value in (
        ("requests", "Requests sent to the exchange.", state.traffic.sent),
        ("retries", "Requests that were repeated.", state.retries),
        ("rate_limited", "Answers with status 429.", state.traffic.rate_limited),
    ):
        yield CounterMetricFamily(_PREFIX + name, meaning, value=value)
    yield _single("volumes_doubted", "1 while volumes do not change and trades continue.", int(state.volumes_doubted))
    yield _single("cache_seconds", "How long a cache before the exchange repeats its answers.", state.cache_seconds)
    yield _single("stale_after_seconds", "Data older than this is not ready.", state.stale_seconds)
    yield _single("request_budget_per_second", "Requests a second that may go at most.", state.requests_per_second)
    yield _single("request_pace_per_second", "Requests a second that may go at present.", state.pace)


def _channel(state: FollowState) -> Iterator[Metric]:
    channel = state.channel
    if channel is None:
        return
    yield _single("channel_connected", "1 while the WebSocket is connected.", int(channel.connected))
    yield CounterMetricFamily(f"{_PREFIX}channel_gaps", "Times that messages may have been lost.", value=channel.gaps)
    yield CounterMetricFamily(f"{_PREFIX}channel_messages", "Messages received.", value=channel.messages)


def _buckets(lag: Lag) -> list[tuple[str, float]]:
    """Bound and how many were no slower, as Prometheus counts."""
    bounds = [*(str(bound) for bound in LAG_BOUNDS), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(bounds, accumulate(lag.counts), strict=True)]


def _single(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, meaning, value=value)


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, meaning, labels=labels)


def _counter(name: str, meaning: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(_PREFIX + name, meaning, labels=labels)
