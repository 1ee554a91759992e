"""Forks `kalshi-ingest follow`, the real command, to be killed."""

import os

import kalshi_ingest.commands.follow as warm
from kalshi_ingest import cli
from tests.jobs.forking import Order, serve

_WARM = warm.follow
"""Loaded here once, not in every child."""


def _follow(order: Order) -> int:
    said = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    for name in [name for name in os.environ if name.startswith("KALSHI_INGEST_")]:
        del os.environ[name]
    os.environ.update(order["environment"])
    return cli.main(order["words"])


if __name__ == "__main__":
    serve(_follow)
