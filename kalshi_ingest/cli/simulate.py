"""`simulate`: the simulator's own command, with this program's signals and exit codes."""

import asyncio
from typing import Annotated

from kalshi_ingest.cli.common import say
from kalshi_ingest.cli.options import FLAT, HTTP, LOGS, command
from kalshi_ingest.cli.signals import current, stop_on_signals
from kalshi_ingest.clocks import utc_now
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE
from kalshi_ingest.settings import Settings
from kalshi_simulator.command import serve
from kalshi_simulator.options import Options, WrongOptionError
from kalshi_simulator.simulation import simulator_of

_DEFAULT = Options()


@command(*LOGS, without=HTTP)
def simulate(_: Settings, *, options: Annotated[Options, FLAT] = _DEFAULT) -> int:
    """`simulate`: serve until stopped."""

    async def run() -> None:
        await serve(simulator, host=options.host, port=options.port, stop=stop_on_signals(code=COMPLETE), announce=say)

    try:
        with current().deferred():  # an archive loads Parquet
            simulator = simulator_of(options, utc_now())
        asyncio.run(run())
    except WrongOptionError as error:
        raise Unusable(str(error)) from None
    return COMPLETE
