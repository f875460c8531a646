"""`make kind-up`, `kind-demo` and `kind-down`: the cluster of kind-config.yaml to try Quorate in (docs/kind.md)."""

import os
import sys
from pathlib import Path

import yaml

from tests.e2e import demo
from tests.e2e.cluster import CONFIG, KindCluster, watchdog_directory
from tests.e2e.machine import KindError, LackingError, prepare


def main() -> int:
    """Returns the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in {"up", "demo", "down"}:
        print("usage: python -m tests.e2e up|demo|down", file=sys.stderr)
        return 64
    name = yaml.safe_load(CONFIG.read_text())["name"]
    kubeconfig = Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube/config")
    try:
        cluster = KindCluster(prepare(), name, watchdog_directory(), kubeconfig)
        if sys.argv[1] == "down":
            cluster.down()
            return 0
        print(f"Bringing up Quorate in the kind cluster {name}: a minute or two ...", file=sys.stderr)
        cluster.up()
        if sys.argv[1] == "demo":
            return demo.play(cluster)
    except (KindError, LackingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(cluster.kubectl("get", "pods", "-A", "-o", "wide", "-l", "app.kubernetes.io/name=quorate"), end="")
    print(f"The watchdog stand-in writes to {cluster.sockets}/stand-in.log.")
    print(f"The nodes' power switch for fence_docker is at {cluster.power} (docs/kind.md).")
    print("Next: kubectl apply -f manifests/samples/kind.yaml, or make kind-demo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
