"""A key, and a channel on a stage."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from kalshi_ingest.exchange.signing import Signer
from tests.exchange.serving import GRACE
from tests.exchange.websocket_serving import Exchange
from tests.exchange.websocket_stage import KEY, KEY_ID, Scene, pem, staged
from tests.support import virtual_clock


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(pem(KEY))
    return path


@pytest.fixture
def play(key_file: Path) -> Callable[..., Any]:
    """Runs a scene: `play(scene, wanted=…, prepare=…)`; `prepare` changes the server before the channel starts."""

    def played(
        scene: Scene, wanted: Collection[str] = ("A",), prepare: Callable[[Exchange], None] | None = None
    ) -> Any:
        async def scenario() -> Any:
            exchange = Exchange(KEY.public_key())
            if prepare is not None:
                prepare(exchange)
            async with staged(exchange, Signer(KEY_ID, key_file), set(wanted)) as stage:
                return await scene(stage)

        return virtual_clock.run(scenario(), grace=GRACE)

    return played
