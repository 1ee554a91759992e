"""A faithful simulator of the exchange's public API over real HTTP.

It shares no code with the client it tests: everything here is written from the exchange's documentation and
from recorded answers. `SyntheticWorld` is seeded and as large as wanted, `RowsWorld` serves rows by hand.
"""

from kalshi_simulator.budget import Limits
from kalshi_simulator.channel_faults import ChannelFaults
from kalshi_simulator.clock import SimulatedClock
from kalshi_simulator.config import WorldConfig
from kalshi_simulator.faults import Faults
from kalshi_simulator.maintenance import Maintenance
from kalshi_simulator.rows_world import RowsWorld
from kalshi_simulator.server import Simulator
from kalshi_simulator.synthetic import SyntheticWorld
from kalshi_simulator.weather.config import WeatherConfig

__all__ = [
    "ChannelFaults",
    "Faults",
    "Limits",
    "Maintenance",
    "RowsWorld",
    "SimulatedClock",
    "Simulator",
    "SyntheticWorld",
    "WeatherConfig",
    "WorldConfig",
]
