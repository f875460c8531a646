"""Which device `--watchdog` means."""

from pathlib import Path
from typing import Final

from quorate.agent.linux_watchdog import LinuxWatchdog
from quorate.agent.watchdog import External, Watchdog
from quorate.core.types import WatchdogKind

_DEFAULT: Final = "/dev/watchdog"
_LINUX: Final = frozenset(WatchdogKind) - {WatchdogKind.EXTERNAL}


def named(spec: str, node: str, *, shared_kernel: bool, inherited: int | None = None) -> Watchdog | None:
    """The device of `--watchdog`, as an earlier process opened it if its descriptor is given. Raises ValueError.

    `linux:DEVICE`, `linux:DIRECTORY` (the best one in it), `external:SOCKET`, or `none`.
    """
    driver, _, rest = spec.partition(":")
    match driver:
        case "none":
            return None
        case "external" if rest:
            path = Path(rest)
            return External.inherited(path, node, inherited) if inherited is not None else External(path, node)
        case "linux":
            device = LinuxWatchdog(Path(rest or _DEFAULT), shared_kernel=shared_kernel)
            if inherited is not None:
                device.inherit(inherited)
            return device
    raise ValueError(f"--watchdog {spec!r}: use linux:DEVICE, linux:DIRECTORY, external:SOCKET or none")


def kinds(spec: str) -> frozenset[str]:
    """The kinds of device that this one could go on with, if another process has opened one."""
    driver = spec.partition(":")[0]
    return {"linux": _LINUX, "external": frozenset({WatchdogKind.EXTERNAL})}.get(driver, frozenset[str]())
