"""What a Linux machine says of its watchdogs without one being opened: opening arms.

Read from sysfs, from the parameters of modules, and from the processes that have a device open. All below one root, so that
an agent in a container reads its host's files (`/proc/1/root`), and a test its own.

The IPMI watchdog is not in sysfs's class `watchdog` and reports no options; what it can do is known from its source. Most
parameters of softdog cannot be read once it is loaded: what the kernel's log, its command line and modprobe's files say
must do.
"""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from quorate.core.types import WatchdogKind

ALARM_ONLY: Final = 0x400
SET_TIMEOUT: Final = 0x80
MAGIC_CLOSE: Final = 0x100
KEEPALIVE: Final = 0x8000
CARD_RESET: Final = 0x20
SOFTDOG: Final = "Software Watchdog"
IPMI: Final = "IPMI"
IPMI_OPTIONS: Final = SET_TIMEOUT | MAGIC_CLOSE | KEEPALIVE
ONE_FIRST: Final = "watchdog"
"""The device without a number: it is the one with 0, unless a driver of the old kind (IPMI) has taken the name."""
NAME: Final = re.compile(r"watchdog\d*")
MODPROBE: Final = ("etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
_NAMED_HOLDERS: Final = 3
_VIRTUAL: Final = re.compile(
    r"QEMU|KVM|VMware|VirtualBox|innotek|Virtual Machine|Virtualization|Xen|Bochs|BHYVE|Parallels|OpenStack|KubeVirt|"
    r"Hyper-V|Amazon EC2(?!.*\.metal)|Google Compute Engine|Alibaba Cloud|vServer"
)
"""How firmware names a hypervisor. On ARM nothing else does: the processor has no flag for it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One device. None and "": nobody says so. Times are seconds; `options` are the bits of WDIOC_GETSUPPORT."""

    identity: str = ""
    options: int | None = None
    nowayout: bool | None = None
    shortest_s: int = 0
    longest_s: int = 0
    pretimeout_s: int = 0
    active: bool | None = None

    @property
    def softdog(self) -> bool:
        return self.identity == SOFTDOG


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine whose files are below `root`."""

    root: Path

    def facts(self, name: str) -> Facts:
        """Of the device of that name, such as watchdog0."""
        entry = self.root / "sys/class/watchdog" / (f"{ONE_FIRST}0" if name == ONE_FIRST else name)
        if not is_directory(entry):
            return self.ipmi() if name == ONE_FIRST else Facts()
        identity = _text(entry / "identity")
        options, nowayout, state = _text(entry / "options"), _text(entry / "nowayout"), _text(entry / "state")
        return Facts(
            identity=identity,
            options=_number(options) if options else None,
            nowayout=nowayout != "0" if nowayout else None,
            shortest_s=_number(_text(entry / "min_timeout")),
            longest_s=_number(_text(entry / "max_timeout")),
            pretimeout_s=_number(_text(entry / "pretimeout")),
            active=state == "active" if state else None,
        )

    def ipmi(self) -> Facts:
        """Of the one of the old kind, which may have the first name beside one that sysfs shows as watchdog0."""
        parameters = self.root / "sys/module/ipmi_watchdog/parameters"
        if not is_directory(parameters):
            return Facts()
        return Facts(identity=IPMI, options=IPMI_OPTIONS, nowayout=_text(parameters / "nowayout") in {"Y", "1"})

    def names(self, directory: Path) -> list[str]:
        """The devices in that directory, the best first: one of the hardware before softdog, then by number."""
        found = {path.name for path in _entries(directory) if NAME.fullmatch(path.name)}
        if f"{ONE_FIRST}0" in found and self.facts(ONE_FIRST).identity != IPMI:
            found.discard(ONE_FIRST)
        order = {name: (self.facts(name).softdog, int(name.removeprefix(ONE_FIRST) or 0)) for name in found}
        return sorted(found, key=lambda name: (order[name], name))

    def kind(self, facts: Facts) -> WatchdogKind:
        """Its kind. A machine that is virtual can be frozen together with its watchdog, and goes on later."""
        if facts.softdog or (not facts.identity and is_directory(self.root / "sys/module/softdog")):
            return WatchdogKind.VIRTUAL_SOFTDOG if self.virtual() else WatchdogKind.SOFTDOG
        return WatchdogKind.VIRTUAL_HARDWARE if self.virtual() else WatchdogKind.HARDWARE

    def virtual(self) -> bool:
        """Does the processor or the firmware name a hypervisor?"""
        if re.search(r"^flags\s*:.*\bhypervisor\b", _text(self.root / "proc/cpuinfo"), re.MULTILINE):
            return True
        if is_directory(self.root / "proc/device-tree/hypervisor") or _text(self.root / "sys/hypervisor/type"):
            return True
        maker = " ".join(_text(self.root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
        return bool(_VIRTUAL.search(maker))

    def does_not_reset(self, facts: Facts) -> str:
        """Why this device would not reset the machine when its time is over, as it is set up; "" when nothing says so."""
        if facts.identity == IPMI and _text(self.root / "sys/module/ipmi_watchdog/parameters/action") == "none":
            return (
                "module ipmi_watchdog is set to action=none, so nothing is reset when its time is over: write reset into "
                "/sys/module/ipmi_watchdog/parameters/action and action=reset into modprobe's options"
            )
        return self._softdog() if facts.softdog else ""

    def _softdog(self) -> str:
        said = self.parameters("softdog")
        remedy = "of modprobe's options and the kernel's command line, and load it anew"
        if said.get("soft_noboot", "0") not in {"0", ""}:
            return f"softdog is set to soft_noboot={said['soft_noboot']}, so it resets nothing: take that out {remedy}"
        if said.get("soft_reboot_cmd", "") not in {"", "(null)"}:
            return (
                f"softdog is set to soft_reboot_cmd={said['soft_reboot_cmd']}, so it shuts down in order and may hang in "
                f"that: take it out {remedy}"
            )
        panics = said.get("soft_panic", "0") not in {"0", ""}
        if panics and _text(self.root / "proc/sys/kernel/panic") in {"0", ""}:
            return (
                "softdog is set to soft_panic=1 and sysctl kernel.panic is 0, so the machine would stand still for good: "
                f"set kernel.panic=10, or take soft_panic out {remedy}"
            )
        return ""

    def parameters(self, module: str) -> dict[str, str]:
        """The parameters of a module: as modprobe's files and the kernel's command line set them, as the kernel's log
        tells, and as it shows them.
        """
        found = dict(self._modprobe(module))
        for word in _text(self.root / "proc/cmdline").split():
            name, _, value = word.partition("=")
            owner, dot, name = name.partition(".")
            if dot and owner == module:
                found[name] = value or "1"
        loaded = self.root / "sys/module" / module
        with suppress(OSError):
            found |= _logged(module, self.root / "dev/kmsg", loaded.stat().st_ino)
        for path in _entries(loaded / "parameters"):
            found[path.name] = {"Y": "1", "N": "0"}.get(_text(path), _text(path))
        return found

    def _modprobe(self, module: str) -> Iterator[tuple[str, str]]:
        files = (path for place in MODPROBE for path in _entries(self.root / place) if path.suffix == ".conf")
        for path in sorted(files):
            for line in _text(path).replace("\\\n", " ").splitlines():
                words = _words(line)
                if words[:2] == ["options", module]:
                    for word in words[2:]:
                        name, _, value = word.partition("=")
                        yield name, value or "1"

    def holders(self, device: Path, but: frozenset[int] = frozenset()) -> str:
        """Who else has the device open, as "systemd (PID 1)", and what to do about it; "" if nobody is seen."""
        try:
            number = device.stat()
        except OSError:
            return ""
        found: dict[str, str] = {}
        for pid, descriptor in self._open_files():
            try:
                if not NAME.fullmatch(descriptor.readlink().name):  # a stat of a file on lost storage would hang
                    continue
                about = descriptor.stat()
            except OSError:
                continue
            if pid not in but and (about.st_rdev or about.st_ino) == (number.st_rdev or number.st_ino):
                found[str(pid)] = _text(self.root / f"proc/{pid}/comm") or "?"
        if not found:
            return ""
        who = ", ".join(f"{name} (PID {pid})" for pid, name in list(found.items())[:_NAMED_HOLDERS])
        remedies = dict.fromkeys(_REMEDIES[name] for name in found.values() if name in _REMEDIES)
        return ": ".join([who, *remedies]) if remedies else f"{who}: stop it, and keep it from starting again"

    def _open_files(self) -> Iterator[tuple[int, Path]]:
        """Of all processes; those that end meanwhile have none."""
        for process in _entries(self.root / "proc"):
            if process.name.isdecimal():
                yield from ((int(process.name), descriptor) for descriptor in _entries(process / "fd"))


_REMEDIES: Final = {
    "systemd": "set RuntimeWatchdogSec=0 in /etc/systemd/system.conf and run systemctl daemon-reexec",
    "watchdog-mux": "this is a node of Proxmox VE HA: let one of the two guard it, or give Quorate another device",
    "watchdog": "stop and disable the service watchdog",
    "wd_keepalive": "stop and disable the service wd_keepalive",
    "sbd": "this node is guarded by SBD: let one of the two guard it, or give Quorate another device",
}


@lru_cache(maxsize=4)
def _logged(module: str, log: Path, loaded: int) -> dict[str, str]:  # noqa: ARG001 loaded anew it says so anew
    """What the module said of its parameters as it was loaded, if the kernel's log still has it."""
    found: dict[str, str] = {}
    for line in _lines_of(log):
        _, said, words = line.partition(f"{module}: ")
        if said:
            found |= dict(re.findall(r"(\w+)=(<not set>|\w+)", words))
    return {name: value.replace("<not set>", "") for name, value in found.items()}


def _lines_of(log: Path) -> list[str]:
    """All that is in /dev/kmsg, which gives one record with each read; nothing when it may not be read."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    found = b""
    try:
        while True:
            try:
                record = os.read(descriptor, 8192)
            except BrokenPipeError:
                continue  # it was overwritten meanwhile, and the next one follows
            if not record:
                break
            found += record
    except OSError:
        pass  # EAGAIN: that was all
    finally:
        os.close(descriptor)
    return found.decode(errors="replace").splitlines()


def is_directory(path: Path) -> bool:
    """False also where that may not be known: it is said when the device is opened."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quotation that does not end
        return line.split()


def _entries(directory: Path) -> list[Path]:
    """What is in it; nothing when it cannot be read."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """What the file says; "" when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip(" \n\0")
    except OSError:
        return ""


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0
