"""The process of the loop, started by the keeper: puts the parts together and runs them."""

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorate import __version__
from quorate.agent import answer, boot, handover, keeper, metrics, watchdog
from quorate.agent.api import Access, AccessError, Api, from_kubeconfig, in_cluster
from quorate.agent.arguments import parse
from quorate.agent.handover import Estate
from quorate.agent.lease import NodeLease
from quorate.agent.loop import Leave, Loop, remembered, remembered_orders, remembered_timing
from quorate.agent.orders import OrdersReader
from quorate.agent.runtime import named as named_runtime

log = logging.getLogger("quorate.agent")


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


def take_over(run_dir: Path, holder: keeper.KeeperLink) -> tuple[Estate, int | None] | None:
    """Become the only agent of this node. Raises OSError."""
    if keeper.owned():
        return None
    lock = handover.Lock(run_dir / handover.LOCK)
    found = handover.claim(run_dir, lock, holder)
    holder.own(lock.descriptor)
    return found


def build(arguments: Any) -> Loop:
    """An agent, ready to run. Raises AccessError, ValueError, OSError."""
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    here = boot.read(arguments.machine_pid, arguments.system_uuid_file)
    holder = keeper.link()
    access, discover = _access(arguments)
    heartbeat = Api(access)
    reader = OrdersReader(
        Api(Access(**{name: getattr(access, name) for name in Access.__slots__})),
        arguments.node,
        changed=lambda: None,
        addresses_file=arguments.run_dir / "api-servers" if discover else None,
    )
    watchdog.named(arguments.watchdog, arguments.node)  # what is wrong is said before anything is taken over
    runtime = named_runtime(arguments.runtime)
    taken = take_over(arguments.run_dir, holder)
    device, descriptor = keeper.inherited()
    if taken is not None:
        device, descriptor = taken[0].device, taken[1]
    mark = arguments.run_dir / "agent.json"
    loop = Loop(
        boot=here,
        lease=NodeLease(heartbeat, arguments.node, remembered(mark, here.nonce), boot.now_s),
        watchdog=watchdog.named(arguments.watchdog, arguments.node, descriptor),
        runtime=runtime,
        orders=reader,
        holder=holder,
        mark=mark,
        clock=boot.now_s,
        device=device,
        timing=remembered_timing(mark, here.nonce),
        seen=remembered_orders(mark, here.nonce),
        ready_file=arguments.ready_file,
    )

    if taken is not None:
        loop.lease.guard, loop.timing = taken[0].guard, taken[0].timing
        loop.lease.inherit(taken[0].lease)
        log.info("took over from the agent that ran here")

    def changed() -> None:
        heartbeat.use(list(reader.servers))
        loop.wake.set()

    reader.changed = changed

    def leave(*_: object) -> None:
        if loop.leave is None:
            going = arguments.shutdown_flag
            loop.leave = Leave(boot.now_s(), arguments.grace, lambda: any(flag.exists() for flag in going))
            loop.wake.set()

    signal.signal(signal.SIGTERM, leave)
    return loop


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the loop. Returns the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        loop = build(arguments)
        server = answer.serve(arguments.listen, arguments.node, loop.boot, metrics.exposition(loop))
        offer = handover.Offer(arguments.run_dir / handover.SOCKET, loop.wake.set)
    except (AccessError, ValueError, OSError) as error:
        log.error("%s", error)
        return keeper.UNUSABLE
    log.info("quorate %s, agent of %s, boot %s", __version__, arguments.node, loop.boot.nonce)
    loop.successor = offer

    def retired() -> None:
        offer.close()
        server.shutdown()
        server.server_close()

    loop.retired = retired
    loop.orders.start()
    loop.run()
    loop.orders.stop()
    retired()
    log.info("left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
