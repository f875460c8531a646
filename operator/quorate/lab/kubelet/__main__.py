"""`python -m quorate.lab.kubelet`: the kubelet of one virtual node. Started by its machine, which hands it the runtime."""

import argparse
import asyncio
import logging
from pathlib import Path

from quorate.lab.apiclient import Api, read_kubeconfig
from quorate.lab.kubelet.link import RuntimeLink
from quorate.lab.kubelet.node import Identity, NodeReporter
from quorate.lab.kubelet.pods import Pods
from quorate.lab.kubelet.spec import Place
from quorate.lab.kubelet.worker import Host
from quorate.lab.virt.handler import Handler


def main() -> None:
    """Run until ended; the pods run on."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.kubelet")
    parser.add_argument("--node", required=True)
    parser.add_argument("--address", required=True, help="the node's own loopback address")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--disk", type=Path, required=True)
    parser.add_argument("--claims", type=Path, required=True, help="volumes of claims, shared by all nodes")
    parser.add_argument("--boot", type=int, required=True)
    parser.add_argument("--runtime-socket", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    api = Api(read_kubeconfig(arguments.kubeconfig))
    place = Place(arguments.node, arguments.address, arguments.disk, arguments.claims)
    identity = Identity(
        (arguments.run / "boot-id").read_text().strip(), (arguments.disk / "system-uuid").read_text().strip()
    )
    node = NodeReporter(api, place, identity)
    link = RuntimeLink(arguments.runtime_socket, arguments.run, arguments.disk, arguments.boot)
    booted_at = (arguments.run / "booted-at").read_text().strip()
    pods = Pods(Host(api, link, place, booted_at, node.get))
    async with asyncio.TaskGroup() as tasks:

        def shut_down() -> None:
            tasks.create_task(_shut_down(node, pods, link))

        link.shutdown = shut_down
        tasks.create_task(node.run())
        tasks.create_task(pods.run())
        tasks.create_task(link.listen())
        tasks.create_task(Handler(api, place, arguments.boot, pods.launchers).run())


async def _shut_down(node: NodeReporter, pods: Pods, link: RuntimeLink) -> None:
    node.shutting_down = True
    await pods.shut_down()
    await link.drained()


if __name__ == "__main__":
    main()
