"""The agent's first process: holds the open watchdog, never pets it, and starts the loop again at once when it dies.

So a loop that crashes costs a fraction of a second and not a CrashLoopBackOff: the device stays open, its countdown goes
on, and the next loop renews first and pets after. If the loop stays dead, nothing pets, and the node is reset.

It waits all its life on every node, so it imports little: no dataclasses, no argparse, nothing of the loop's. The other end
of its wire is `keeper_link.py`.
"""

import array
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

log = logging.getLogger(__name__)
KEEPER_VARIABLE: Final = "QUORATE_KEEPER"
OWNER_VARIABLE: Final = "QUORATE_OWNER"
DEVICE_VARIABLE: Final = "QUORATE_DEVICE"
ADRIFT_VARIABLE: Final = "QUORATE_ADRIFT"
TOLD_VARIABLE: Final = "QUORATE_TOLD"
HELD_BACK: Final = frozenset({signal.SIGTERM, signal.SIGINT})
SHORT_LIFE_S: Final = 1.0
REALTIME: Final = "--realtime"
"""The loop inherits priority and shield; its memory it locks by itself."""
USAGE: Final = 2
"""Exit code of a loop that does not understand its arguments."""
UNUSABLE: Final = 78
"""Exit code of a loop that was started with what cannot work: nothing is gained by trying again at once."""


class Keeper:
    """Runs `python -m quorate.agent.loop_main` with the given arguments until it ends with success.

    `adrift`: no device is held, and yet one may count on, because it failed: the next loop must open or close it.
    `stuck`: the one that is held guards nobody and cannot be let go (nowayout): the next loop pets it without a renewal.
    `lock`: the node's agent is this one (`handover.py`). `retired`: it was, and another one is now; until it owns again.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.device: int | None = None
        self.timeout_s = 0.0
        self.adrift = self.stuck = False
        self.lock: int | None = None
        self.stopping = False
        self.told_s: float | None = None
        self.retired = False
        self._child: subprocess.Popen[bytes] | None = None
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(0.2)

    def run(self) -> int:
        """Keep the loop alive; its exit code once it has left by itself."""
        if REALTIME in self.arguments:
            import quorate.agent.realtime as realtime  # noqa: PLC0415, PLR0402 only where it is asked for

            realtime.prepare()
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._pass_on)
        while True:
            began = time.monotonic()
            # Held back until there is a child to pass them on to; and it is begun with them held back (`loop_main.py`), or
            # one that is told to go before it can hear would die, again and again, under an armed watchdog.
            signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
            self._child = self._start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
            code = self._follow(self._child)
            guards = self.device is not None or self.adrift
            if code == 0 or self.retired or (not guards and (self.stopping or code in {USAGE, UNUSABLE})):
                return max(code, 0)
            log.error("the loop ended with %s: starting it again", code)
            if time.monotonic() - began < SHORT_LIFE_S:
                time.sleep(0.2)  # it dies at once: leave the processor to others, and the watchdog to its countdown

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ, **{KEEPER_VARIABLE: str(self._theirs.fileno())})
        descriptors = [self._theirs.fileno()]
        if self.device is not None:
            environment[DEVICE_VARIABLE] = json.dumps(
                {"descriptor": self.device, "timeout_s": self.timeout_s, "stuck": self.stuck}
            )
            descriptors.append(self.device)
        elif self.adrift:
            environment[ADRIFT_VARIABLE] = "yes"
        if self.lock is not None:
            environment[OWNER_VARIABLE] = str(self.lock)
            descriptors.append(self.lock)
        if self.told_s is not None:
            environment[TOLD_VARIABLE] = str(self.told_s)
        command = [sys.executable, "-m", "quorate.agent.loop_main", *self.arguments]
        return subprocess.Popen(command, env=environment, pass_fds=descriptors)

    def _follow(self, child: subprocess.Popen[bytes]) -> int:
        """Take the device when it is opened, let it go when it is closed, until the loop ends."""
        while True:
            self._listen()
            code = child.poll()
            if code is not None:
                while self._listen():
                    pass  # what it said last
                return code

    def _listen(self) -> bool:
        """One message from the loop; False when none comes."""
        try:
            message, ancillary, _, _ = self._ours.recvmsg(4096, socket.CMSG_SPACE(4))
        except TimeoutError:
            return False
        if not message:
            return False
        said, sent = json.loads(message), None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                sent = array.array("i", data[: len(data) - len(data) % 4])[0]
        if said.get("lock"):
            self.lock, self.retired = instead(self.lock, sent), False
            return True
        self.device = instead(self.device, sent)
        self.timeout_s, self.adrift = float(said.get("timeout_s", 0.0)), bool(said.get("adrift"))
        self.stuck = bool(said.get("stuck"))
        if said.get("retired"):
            self.lock, self.retired = instead(self.lock, None), True
        return True

    def _pass_on(self, *_: object) -> None:
        self.stopping = True
        if self.told_s is None:
            self.told_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)


def instead(before: int | None, after: int | None) -> int | None:
    """Close the one, have the other."""
    if before is not None:
        os.close(before)
    return after
