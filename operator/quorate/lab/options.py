"""What a person may ask of a lab that is to be brought up."""

from dataclasses import dataclass
from typing import Final

from quorate.lab.errors import MisuseError, unknown

MAX_NODES: Final = 32
MAX_MANAGERS: Final = 5
CONTROL_PLANES: Final = ("embedded", "real")
FIRMWARE_S: Final = 2.0
"""From a reset to the first process of the next boot."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asks for. `profile`: also create a Cluster of the lab's name with this timing."""

    name: str
    nodes: int = 3
    managers: int = 2
    control_plane: str = "embedded"
    profile: str = ""
    firmware_s: float = FIRMWARE_S

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise MisuseError(f"nodes: found {self.nodes}, a lab has 1 to {MAX_NODES}")
        if not 0 <= self.managers <= MAX_MANAGERS:
            raise MisuseError(f"managers: found {self.managers}, a lab has 0 to {MAX_MANAGERS}")
        if self.control_plane not in CONTROL_PLANES:
            raise unknown("control plane", self.control_plane, CONTROL_PLANES)
