"""The process of the loop, started by the keeper: puts the parts together and runs them."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any, Final, NoReturn

from quorate import __version__
from quorate.agent import answer, boot, drivers, handover, host, keeper_link, metrics, realtime, resetting
from quorate.agent.api import Access, AccessError, Api, from_kubeconfig, in_cluster
from quorate.agent.arguments import parse
from quorate.agent.handover import Claimant, Estate, Lock, Offer
from quorate.agent.keeper import HELD_BACK, UNUSABLE
from quorate.agent.lease import NodeLease
from quorate.agent.loop import Leave, Loop
from quorate.agent.mark import remembered, remembered_orders, remembered_timing
from quorate.agent.orders import OrdersReader
from quorate.agent.runtime import named as named_runtime
from quorate.agent.storage_watch import StorageWatch
from quorate.core.selffence import Device
from quorate.core.types import Nonce

log = logging.getLogger("quorate.agent")
HOST_PROC: Final = Path("/proc/1/root/proc")
"""The machine's own, where the agent is in a container: its privileges make that one writable."""


def _access(arguments: Any) -> tuple[Access, bool]:
    """The way in, and whether the API servers' own addresses are still to be found."""
    access = from_kubeconfig(arguments.kubeconfig) if arguments.kubeconfig else in_cluster()
    if arguments.api_server:
        access.servers = list(arguments.api_server)
        return access, False
    kept = arguments.run_dir / "api-servers"
    discover = arguments.kubeconfig is None
    if discover and kept.exists():
        access.servers = kept.read_text().split() or access.servers
    return access, discover


AGAIN: Final = 75
"""Exit code of a loop after which the keeper shall start another one."""


@dataclass(frozen=True, slots=True)
class Place:
    """This is the node's agent: its lock, the device as it is, and what another agent handed over, if one did."""

    lock: Lock
    device: Device
    descriptor: int | None
    estate: Estate | None = None


def take_over(
    run_dir: Path,
    nonce: Nonce,
    watchdogs: frozenset[str],
    holder: keeper_link.KeeperLink,
    pause: Callable[[float], None] = sleep,
) -> Place:
    """Become the only agent of this node. Raises OSError."""
    device, descriptor = keeper_link.inherited()
    held = keeper_link.owned()
    if held is not None:
        return _still_there(Lock(held), device, descriptor, holder, pause)
    lock = Lock.at(run_dir / handover.LOCK)
    with _may_be_sent_away():
        found = handover.claim(run_dir, Claimant(nonce, watchdogs, lock, holder), pause)
    holder.own(lock.descriptor)
    if found is None:
        return Place(lock, device, descriptor)
    return Place(lock, found[0].device, found[1], found[0])


@contextmanager
def _may_be_sent_away() -> Iterator[None]:
    """While another agent is the node's, or may be, who is told to go just goes."""

    def go(*_: object) -> NoReturn:
        raise SystemExit(0)

    if keeper_link.told_s() is not None:
        go()
    signal.signal(signal.SIGTERM, go)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _still_there(
    lock: Lock, device: Device, descriptor: int | None, holder: keeper_link.KeeperLink, pause: Callable[[float], None]
) -> Place:
    """A loop that was started again. The one before may have died just when it had handed over: then it waits."""
    if lock.take():
        return Place(lock, device, descriptor)
    log.warning("the loop before this one had handed over: another agent is the node's")
    holder.retire()
    if descriptor is not None:
        os.close(descriptor)
    with _may_be_sent_away():
        while not lock.take():
            pause(handover.AGAIN_S)
    holder.own(lock.descriptor)
    return Place(lock, Device(), None)


def build(arguments: Any) -> tuple[Loop, Lock, ThreadingHTTPServer]:
    """An agent, ready to run, its lock, and who answers on its port. Raises AccessError, ValueError, OSError.

    What may be wrong is found before anything is taken over: an agent that runs is worth more than one that cannot.
    """
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    if arguments.ready_file is not None:
        arguments.ready_file.unlink(missing_ok=True)  # of an earlier container of this Pod
    here = boot.read(arguments.machine_pid, arguments.system_uuid_file)
    holder = keeper_link.link()
    access, discover = _access(arguments)
    heartbeat = Api(access)
    reader = OrdersReader(
        Api(Access(**{name: getattr(access, name) for name in Access.__slots__})),
        arguments.node,
        changed=lambda: None,
        addresses_file=arguments.run_dir / "api-servers" if discover else None,
    )
    shared = here.shared_kernel
    drivers.named(arguments.watchdog, arguments.node, shared_kernel=shared)
    runtime = named_runtime(arguments.runtime)
    expositions: list[Callable[[], bytes]] = []
    server = answer.serve(arguments.listen, arguments.node, here, lambda: expositions[0]() if expositions else b"")
    place = take_over(arguments.run_dir, here.nonce, drivers.kinds(arguments.watchdog), holder)
    mark = arguments.run_dir / "agent.json"
    loop = Loop(
        boot=here,
        lease=NodeLease(heartbeat, arguments.node, remembered(mark, here.nonce), boot.now_s),
        watchdog=drivers.named(arguments.watchdog, arguments.node, shared_kernel=shared, inherited=place.descriptor),
        runtime=runtime,
        orders=reader,
        holder=holder,
        mark=mark,
        clock=boot.now_s,
        device=place.device,
        timing=remembered_timing(mark, here.nonce),
        seen=remembered_orders(mark, here.nonce),
        ready_file=arguments.ready_file,
    )
    expositions.append(metrics.exposition(loop))
    if place.estate is not None:
        loop.lease.guard, loop.timing = place.estate.guard, place.estate.timing
        loop.lease.inherit(place.estate.lease)
        log.info("took over from the agent that ran here")

    def changed() -> None:
        heartbeat.use(list(reader.servers))
        loop.wake.set()

    reader.changed = changed
    loop.going = lambda: host.going(arguments.shutdown_flag)
    loop.bare_reset = partial(resetting.reset, HOST_PROC, shared_kernel=shared)

    def leave(*_: object) -> None:
        if loop.leave is None:
            loop.leave = Leave(keeper_link.told_s() or boot.now_s(), arguments.grace)
            loop.wake.set()

    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    if keeper_link.told_s() is not None:
        leave()  # the loop before this one was told
    return loop, place.lock, server


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the loop. Returns the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if arguments.realtime:
        realtime.prepare()
    try:
        loop, lock, server = build(arguments)
    except (AccessError, ValueError, OSError) as error:
        log.error("%s", error)
        return UNUSABLE
    log.info("quorate %s, agent of %s, boot %s", __version__, arguments.node, loop.boot.nonce)
    offer = _offer(arguments.run_dir / handover.SOCKET, lock, loop)

    def retired() -> None:
        if offer is not None:
            offer.close()
        server.shutdown()
        server.server_close()

    def vacant() -> bool:
        if not lock.take():
            return False
        loop.holder.own(lock.descriptor)
        return True

    loop.successor, loop.retired, loop.vacant = offer, retired, vacant
    storages = StorageWatch(loop.boot.nonce, lambda: loop.orders.probes)
    loop.lease.beside = lambda: storages.text
    storages.start()
    loop.orders.start()
    left = loop.run()
    loop.orders.stop()
    storages.stop()
    retired()
    log.info("left" if left else "this loop ends, another one begins")
    return 0 if left else AGAIN


def _offer(path: Path, lock: Lock, loop: Loop) -> Offer | None:
    """None: nobody can take over from this agent. It renews and pets all the same."""
    try:
        return Offer(path, lock, loop.wake.set)
    except OSError as error:
        log.error("socket %s: %s: no other agent can take over from this one", path, error)
        return None


if __name__ == "__main__":
    sys.exit(main())
