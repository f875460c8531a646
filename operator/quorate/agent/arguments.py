"""The agent's command line. The keeper passes it on to the loop as it is."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from quorate.agent.boot import SYSTEM_UUID_FILES


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 and a usage message on bad arguments."""
    parser = argparse.ArgumentParser(
        prog="quorate agent",
        description="Run the agent of one node: renew its Lease, pet its watchdog, reset it when it must be.",
    )
    parser.add_argument("--node", default=os.environ.get("NODE_NAME"), help="name of the node (default: $NODE_NAME)")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig (default: the Pod's ServiceAccount)")
    parser.add_argument(
        "--api-server", action="append", default=[], metavar="URL", help="address of an API server; may be repeated"
    )
    parser.add_argument("--run-dir", type=Path, default=Path("/run/quorate"), help="directory that a reboot empties")
    parser.add_argument(
        "--machine-pid", type=int, default=1, help="PID 1 of the machine; its start time names the boot"
    )
    parser.add_argument(
        "--system-uuid-file",
        type=Path,
        action="append",
        metavar="FILE",
        help="the machine's own name; the first file that is there counts "
        f"(default: {', '.join(map(str, SYSTEM_UUID_FILES))})",
    )
    parser.add_argument(
        "--watchdog",
        default="none",
        help="linux:DEVICE, linux:DIRECTORY (the best one in it), external:SOCKET, or none (default)",
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="lock memory, raise priority, and be the last to be killed when memory is short",
    )
    parser.add_argument(
        "--runtime", default="cgroup", help="cgroup (a real node) or pids:DIRECTORY (a node of the lab)"
    )
    parser.add_argument("--listen", default="0.0.0.0:9471", help="HOST:PORT where the start gate asks")
    parser.add_argument("--ready-file", type=Path, help="made when it has renewed, or knows that there is nothing to")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument(
        "--shutdown-flag",
        type=Path,
        action="append",
        metavar="FILE",
        help="a file that exists while the host is going down (default: /run/systemd/shutdown/scheduled, /run/nologin)",
    )
    arguments = parser.parse_args(argv)
    if not arguments.node:
        parser.error("--node is missing and $NODE_NAME is not set")
    if arguments.system_uuid_file is None:
        arguments.system_uuid_file = list(SYSTEM_UUID_FILES)
    if arguments.shutdown_flag is None:
        arguments.shutdown_flag = [Path("/run/systemd/shutdown/scheduled"), Path("/run/nologin")]
    return arguments
