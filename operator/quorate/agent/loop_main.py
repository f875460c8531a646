"""The process of the loop, started by the keeper: puts the parts together and runs them."""

import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any

from quorate import __version__
from quorate.agent import answer, boot, keeper, watchdog
from quorate.agent.api import Access, AccessError, Api, from_kubeconfig, in_cluster
from quorate.agent.arguments import parse
from quorate.agent.lease import NodeLease
from quorate.agent.loop import Leave, Loop, remembered, remembered_orders, remembered_timing
from quorate.agent.orders import OrdersReader
from quorate.agent.runtime import named as named_runtime
from quorate.core.selffence import Device

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


def build(arguments: Any) -> Loop:
    """An agent, ready to run. Raises AccessError, ValueError, OSError."""
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    here = boot.read(arguments.machine_pid, arguments.system_uuid_file)
    access, discover = _access(arguments)
    heartbeat = Api(access)
    reader = OrdersReader(
        Api(Access(**{name: getattr(access, name) for name in Access.__slots__})),
        arguments.node,
        changed=lambda: None,
        addresses_file=arguments.run_dir / "api-servers" if discover else None,
    )
    held = keeper.inherited()
    device = Device(open=True, timeout_s=held[1]) if held is not None else Device()
    mark = arguments.run_dir / "agent.json"
    loop = Loop(
        boot=here,
        lease=NodeLease(heartbeat, arguments.node, remembered(mark, here.nonce), boot.now_s),
        watchdog=watchdog.named(arguments.watchdog, arguments.node, held[0] if held is not None else None),
        runtime=named_runtime(arguments.runtime),
        orders=reader,
        holder=keeper.link(),
        mark=mark,
        clock=boot.now_s,
        device=device,
        timing=remembered_timing(mark, here.nonce),
        seen=remembered_orders(mark, here.nonce),
    )

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
        server = answer.serve(arguments.listen, arguments.node, loop.boot)
    except (AccessError, ValueError, OSError) as error:
        log.error("%s", error)
        return keeper.UNUSABLE
    log.info("quorate %s, agent of %s, boot %s", __version__, arguments.node, loop.boot.nonce)
    loop.orders.start()
    loop.run()
    loop.orders.stop()
    server.shutdown()
    log.info("left: not armed, and it is attested")
    return 0


if __name__ == "__main__":
    sys.exit(main())
