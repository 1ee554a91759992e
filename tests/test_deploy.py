"""What runs the program elsewhere (image, compose file, unit, alarms, dashboard, operations page) names what exists."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from prometheus_client import Metric

from kalshi_ingest import cli
from kalshi_ingest.exchange.websocket import ChannelStats
from kalshi_ingest.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.ingest.progress import Wanted
from kalshi_ingest.settings import PREFIX, Settings
from kalshi_ingest.web.metrics import registry_of

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
UNIT = (ROOT / "deploy/kalshi-ingest.service").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
DASHBOARD: Any = json.loads((ROOT / "deploy/grafana/dashboards/kalshi_ingest.json").read_text(encoding="utf-8"))
SETTINGS = {PREFIX + field.upper() for field in Settings.model_fields}
COMMON = {"up", "ALERTS"}
"""Metrics that Prometheus makes by itself."""


def parsed(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


COMPOSE = parsed("compose.yaml")
ALERTS = parsed("deploy/alerts.yml")["groups"][0]["rules"]


@cache
def metrics() -> dict[str, Metric]:
    """Every metric that the service can have, by family; deprecated names are not for new queries."""
    state = FollowState({"KXHIGHCHI": SeriesState(Wanted("KXHIGHCHI", "chicago"))}, datetime.now(UTC))
    state.channel = ChannelStats()
    found = {family.name: family for family in registry_of(state, "0").collect()}
    return {name: family for name, family in found.items() if not family.documentation.startswith("Deprecated")}


def sample_names() -> set[str]:
    """The names under which Prometheus stores them."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {
        family.name + suffix for family in metrics().values() for suffix in suffixes.get(family.type, ("",))
    } | COMMON


def named_in(expression: str) -> set[str]:
    """Names of metrics in a query: words that are neither functions, labels, values nor PromQL's own."""
    bare = re.sub(r'"[^"]*"|\[[^]]*\]|\$\w+', " ", expression)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)|\{[^}]*\}", " ", bare)
    words = set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare))
    return words - {"and", "or", "unless", "by", "on", "sum", "min", "max", "count"} - {"e6"}


def queries() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in ALERTS]
    for panel in DASHBOARD["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    found += [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
    return found


@pytest.mark.parametrize(("title", "expression"), queries())
def test_every_query_names_metrics_that_the_service_has(title: str, expression: str) -> None:
    names = named_in(expression)
    assert names, title
    assert names <= sample_names()


def test_every_metric_of_the_service_is_shown() -> None:
    shown = {name for _, expression in queries() for name in named_in(expression)}
    families = {name for name in metrics() if name.startswith("kalshi_ingest_")} - {"kalshi_ingest_build"}
    unseen = {each for each in families if not any(name.startswith(each) for name in shown)}
    assert unseen <= {"kalshi_ingest_build_info"}


@pytest.mark.parametrize(("title", "expression"), queries())
def test_phases_in_queries_are_phases(title: str, expression: str) -> None:
    asked = {one for found in re.findall(r'phase=~?"([^"]*)"', expression) for one in found.split("|")}
    assert asked <= {phase.value for phase in Phase}, title


@pytest.mark.parametrize(("title", "expression"), queries())
def test_labels_in_queries_are_labels(title: str, expression: str) -> None:
    known = {"job", "instance", "le", "alertname", "alertstate", "city", "table", "verdict", "phase", "what"} | {
        "periodic_job"
    }
    asked = set(re.findall(r'(\w+)=~?"', expression))
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        asked |= set(group.replace(",", " ").split())
    assert asked <= known, title


def test_the_operations_page_explains_each_alarm_and_no_other() -> None:
    explained = re.findall(r"^\| `(KalshiIngest\w+)` \|", OPERATIONS, re.MULTILINE)
    assert explained == [rule["alert"] for rule in ALERTS]


def test_links_within_the_operations_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", OPERATIONS, flags=re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", OPERATIONS)) <= anchors


def test_the_documents_name_metrics_alarms_and_phases_that_exist() -> None:
    documents = OPERATIONS + (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(kalshi_ingest_\w+)`", documents)) <= sample_names() | {"kalshi_ingest_build_info"}
    assert set(re.findall(r"`(KalshiIngest\w+)`", documents)) <= {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"phase `([^`]+)`", documents)) <= {phase.value for phase in Phase}


@pytest.mark.parametrize(
    "event",
    [
        *("exchange_unavailable", "database_unavailable", "series_unavailable", "listing_failed", "market_failed"),
        *("program_fault", "run_restarted", "exchange_unreachable", "market_rewalked"),
    ],
)
def test_the_operations_page_names_log_events_that_exist(event: str) -> None:
    assert f"`{event}`" in OPERATIONS
    assert any(re.fullmatch(name, event) for name in log_events().values())


def log_events() -> dict[str, str]:
    """Where the package logs → the event's name, in which `[a-z]+` stands for what a variable fills in."""
    found: dict[str, str] = {}
    for path in (ROOT / "kalshi_ingest").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(
                r"log\.(debug|info|warning|error|exception|critical)", ast.unparse(node.func)
            ):
                name = node.args[0]
                parts = name.values if isinstance(name, ast.JoinedStr) else [name]
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "[a-z]+" for part in parts
                )
    return found


def test_log_events_are_names_that_can_be_alerted_on() -> None:
    """A name in snake_case; what varies stands in fields."""
    events = log_events()
    assert len(events) > 30
    prose = {
        where: name
        for where, name in events.items()
        if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name.replace("[a-z]+", "x"))
    }
    assert prose == {}
    assert "[a-z]+" not in events.values(), "an event has a name of its own"


def test_prometheus_reads_the_alarms_and_asks_where_the_service_listens() -> None:
    config = parsed("deploy/prometheus.yml")
    assert all((ROOT / "deploy" / file).exists() for file in config["rule_files"])
    (scrape,) = config["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == ["ingest:8780"]
    assert scrape["job_name"] == "kalshi-ingest"  # the alarms name it


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    (source,) = parsed("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    (provider,) = parsed("deploy/grafana/provisioning/dashboards/files.yml")["providers"]
    mounted = [volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"]] in mounted


def test_what_compose_mounts_exists() -> None:
    volumes = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    for source in [volume.split(":")[0] for volume in volumes]:
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        elif not source.startswith("${"):
            assert source in COMPOSE["volumes"]


def test_every_port_is_bound_to_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_s_container_may_do_nothing_but_its_work() -> None:
    ingest = COMPOSE["services"]["ingest"]
    assert ingest["read_only"] is True
    assert ingest["cap_drop"] == ["ALL"]
    assert "privileged" not in ingest
    assert "user" not in ingest  # the image's own
    for name, service in COMPOSE["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
    (account,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", account)


def test_no_password_has_a_default() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    given = re.findall(r"PASSWORD: (.+)", text)
    assert len(given) == 2
    assert all(value.startswith("${POSTGRES_PASSWORD:?") for value in given)


@pytest.mark.parametrize("path", ["Dockerfile", "compose.yaml", "deploy/kalshi-ingest.service", "docs/operations.md"])
def test_every_setting_named_is_a_setting(path: str) -> None:
    named = set(re.findall(r"KALSHI_INGEST_[A-Z_]+", (ROOT / path).read_text(encoding="utf-8")))
    assert named <= SETTINGS


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    assert set(sources) == let_through
    assert all((ROOT / source).exists() for source in sources)


def test_image_compose_and_unit_start_a_command_that_exists() -> None:
    (command,) = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    assert cli.main([command, "--help"]) == 0
    assert COMPOSE["services"]["ingest"]["command"] == [command]
    assert re.search(rf"^ExecStart=\S+/kalshi-ingest {command}$", UNIT, re.MULTILINE)


def test_the_unit_gives_the_service_as_long_to_stop_as_compose_does() -> None:
    assert "TimeoutStopSec=15" in UNIT
    assert COMPOSE["services"]["ingest"]["stop_grace_period"] == "15s"


def test_only_a_wrong_setting_keeps_it_from_being_started_again() -> None:
    """A fault of the program (70) and a database that is not there yet (3) are worth another start."""
    assert re.findall(r"^Restart=(.*)$", UNIT, re.MULTILINE) == ["on-failure"]
    assert re.findall(r"^(?:RestartPreventExitStatus|SuccessExitStatus)=(.*)$", UNIT, re.MULTILINE) == ["2"]
    assert COMPOSE["services"]["ingest"]["restart"] == "unless-stopped"


# The schema on Citus and TimescaleDB: what the page's statements ask of it.

DISTRIBUTED = re.findall(r"create_distributed_table\('(\w+)', 'ticker'", OPERATIONS)
REFERENCE = re.findall(r"create_reference_table\('(\w+)'\)", OPERATIONS)
ON_THE_COORDINATOR = re.findall(r"`(\w+)` and the tables in `wx` are small", OPERATIONS)
HYPERTABLES = re.findall(r"create_hypertable\('(\w+)', by_range\('(\w+)'", OPERATIONS)
UNIQUE_KEYS = """
select array_agg(attname::text) from pg_index
join pg_attribute on attrelid = indrelid and attnum = any(indkey)
where indrelid = to_regclass($1) and indisunique group by indexrelid
"""
POINTS_TO = "select confrelid::regclass::text from pg_constraint where contype = 'f' and conrelid = to_regclass($1)"
POINTED_AT_BY = "select conrelid::regclass::text from pg_constraint where contype = 'f' and confrelid = to_regclass($1)"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def test_the_page_places_every_table_of_the_markets_on_citus(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    own = {row["tablename"] for row in rows} - {"schema_migrations"}
    assert sorted(DISTRIBUTED + REFERENCE + ON_THE_COORDINATOR) == sorted(own)


async def test_tables_distributed_by_ticker_can_be(connection: asyncpg.Connection) -> None:
    assert DISTRIBUTED
    for table in DISTRIBUTED:
        keys = await connection.fetch(UNIQUE_KEYS, table)
        assert keys, table
        assert all("ticker" in key[0] for key in keys), table
        targets = {row[0] for row in await connection.fetch(POINTS_TO, table)}
        assert targets <= set(REFERENCE), table
        placed = OPERATIONS.index(f"create_distributed_table('{table}'")
        assert all(OPERATIONS.index(f"create_reference_table('{target}'") < placed for target in targets), table


async def test_reference_tables_point_to_earlier_reference_tables(connection: asyncpg.Connection) -> None:
    for table in REFERENCE:
        targets = {row[0] for row in await connection.fetch(POINTS_TO, table)}
        assert targets <= set(REFERENCE[: REFERENCE.index(table)]), table


async def test_tables_partitioned_by_time_can_be(connection: asyncpg.Connection) -> None:
    assert dict(HYPERTABLES) == {"trades": "created_time", "candles": "period_start"}
    for table, column in HYPERTABLES:
        keys = await connection.fetch(UNIQUE_KEYS, table)
        assert keys, table
        assert all(column in key[0] for key in keys), table
        assert await connection.fetch(POINTED_AT_BY, table) == []
