"""What a person may ask of a lab that is to be brought up."""

from dataclasses import dataclass
from typing import Final

from quorate.lab.errors import MisuseError, unknown

MAX_NODES: Final = 32
MAX_MANAGERS: Final = 5
CONTROL_PLANES: Final = ("embedded", "real")
MAX_API_SERVERS: Final = 5
FIRMWARE_S: Final = 2.0
"""From a reset to the first process of the next boot."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asks for.

    `profile`: also create a Cluster of the lab's name with this timing. `front`: everybody of the lab reaches the API
    server through a front that misbehaves when a test tells it to. `api_servers`: how many addresses each agent gets.
    `restarts_slow_down`: as in Kubernetes, a manager that ends again and again is started after longer and longer pauses.
    """

    name: str
    nodes: int = 3
    managers: int = 2
    control_plane: str = "embedded"
    profile: str = ""
    firmware_s: float = FIRMWARE_S
    front: bool = False
    api_servers: int = 1
    restarts_slow_down: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise MisuseError(f"nodes: found {self.nodes}, a lab has 1 to {MAX_NODES}")
        if not 0 <= self.managers <= MAX_MANAGERS:
            raise MisuseError(f"managers: found {self.managers}, a lab has 0 to {MAX_MANAGERS}")
        if not 1 <= self.api_servers <= MAX_API_SERVERS:
            raise MisuseError(f"API servers: found {self.api_servers}, an agent gets 1 to {MAX_API_SERVERS} addresses")
        if self.control_plane not in CONTROL_PLANES:
            raise unknown("control plane", self.control_plane, CONTROL_PLANES)
