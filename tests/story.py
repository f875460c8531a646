"""Writes docs/story.md: the story as a person types it in a lab, each command with its real output (`make story`)."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from quorate.cli.demo.screen import Lines
from quorate.cli.demo.script import runs
from quorate.cli.demo.stage import Look, Stage
from quorate.cli.output import console
from quorate.core.types import GuestKey, GuestState, NodeState
from quorate.lab import client
from quorate.lab.control_plane import find
from quorate.lab.files import known_labs
from quorate.lab.observer import Observer

WEB = GuestKey("default", "web")
BROKEN = GuestKey("default", "broken")
LIMIT_S = 120.0
LAB = "lab"

STORAGE: Final = """\
kubectl apply -f - <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared, namespace: default}
spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: quorate.dev/v1alpha1
kind: Storage
metadata: {name: shared}
spec: {type: Claim, claim: {namespace: default, name: shared}, allowedNamespaces: [default]}
END"""
WRITER: Final = "sh -c 'trap exit TERM; while :; do date >> data/log; sleep 1 & wait; done'"


class Teller:
    """Runs commands and keeps what they print, as Markdown."""

    def __init__(self, cache: Path, kubectl: Path) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), str(kubectl.parent), os.environ["PATH"]])
        self._cache = cache
        self.kubeconfig = cache / "labs" / LAB / "kubeconfig"
        self._environ = {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "110"}

    def run(self, *commands: str, codes: tuple[int, ...] = (0,)) -> str:
        """The commands, each with what it printed. Anything but these exit codes ends it all."""
        parts = ["```console"]
        for command in commands:
            print(f"$ {command}", flush=True)
            ended = subprocess.run(
                ["bash", "-c", f"exec 2>&1; {command}"],
                env=self._environ,
                capture_output=True,
                text=True,
                check=False,
            )
            if ended.returncode not in codes:
                raise SystemExit(f"{command}: exit code {ended.returncode}\n{ended.stdout}")
            printed = ended.stdout.replace(str(self._cache), "~/.cache/quorate").rstrip()
            parts += [f"$ {command}", *(line.rstrip() for line in printed.splitlines())]
        return "\n".join([*parts, "```", ""])


def tell(teller: Teller) -> Iterator[str]:
    """Prose and commands. What is waited for in between is what a person would wait for."""
    yield HEAD
    yield teller.run("quorate lab up")
    with Observer(str(client.status(LAB)["id"])) as observer:
        stage = Stage(LAB, teller.kubeconfig, observer, Lines(console(), 1))
        yield from _begin(teller, stage)
        yield from _lose(teller, stage)
        yield from _come_back(teller, stage)
        yield from _fail(teller, stage)
        if observer.violations:
            raise SystemExit(f"a guest ran twice: {observer.violations}")
    yield "## The end\n"
    yield teller.run("quorate lab down")
    yield TAIL


def _begin(teller: Teller, stage: Stage) -> Iterator[str]:
    yield "In another terminal, `quorate status -w` draws what follows as it happens.\n"
    yield "## Create a cluster, join nodes\n"
    yield (
        "In Proxmox: `pvecm create`, `pvecm add`. Here every node that the Cluster selects joins by itself. `external` is "
        "the lab's kind of watchdog, outside the nodes; it is trusted only where a Cluster says so.\n"
    )
    yield teller.run("quorate cluster create prod --profile fast --accept-watchdog external")
    stage.until("three nodes to join", _whole, LIMIT_S)
    yield teller.run("quorate status")
    yield "## Add shared storage, put a guest under HA\n"
    yield teller.run(STORAGE)
    stage.until("the Storage", lambda look: look.storages["shared"].state == "Available", LIMIT_S)
    yield "In Proxmox: `ha-manager add ct:100 --max_restart 1 --max_relocate 1`.\n"
    yield teller.run(f"quorate add web --image busybox:1.35 --storage shared:/data -- {WRITER}")
    stage.until("the guest", lambda look: runs(look, WEB, "node1"), LIMIT_S)
    yield teller.run("kubectl get qs,har", "quorate status")


def _lose(teller: Teller, stage: Stage) -> Iterator[str]:
    yield "## Cut node1's power\n"
    yield teller.run("quorate lab node node1 power-off")
    stage.until("the incident", lambda look: look.guest(WEB).state is GuestState.FENCE, LIMIT_S)
    yield (
        "Nine seconds later node1 is suspected. Nothing has moved: the guest waits for proof that node1 is off, and "
        "says until when at the latest. The exit code of `status` is 2 while a node is being fenced.\n"
    )
    yield teller.run("quorate status", codes=(2,))
    stage.until("the recovery", lambda look: runs(look, WEB, "node2"), LIMIT_S)
    yield (
        "Armed and silent for T = 14.7 s: node1's watchdog has reset it by now, whatever became of it. Its Lease is taken "
        "away, and the guest starts on node2. Proxmox: 120 s.\n"
    )
    yield teller.run(
        "quorate status",
        """kubectl get har web -o jsonpath='{.status.recovery}{"\\n"}'""",
        codes=(0, 1, 2),
    )
    yield "## Cut node2's power as well: no quorum\n"
    yield teller.run("quorate lab node node2 power-off")
    stage.until("the loss of quorum", lambda look: not look.cluster.quorate, LIMIT_S)
    stage.until("the guest in fence", lambda look: "quorum" in look.guest(WEB).message, LIMIT_S)
    yield "One vote of three. HA does nothing, and says so; waiting longer changes nothing.\n"
    yield teller.run("quorate status", codes=(2,))
    yield "## A person says `expected 1`\n"
    yield (
        "In Proxmox: `pvecm expected 1`. It shows what it means before it asks (`-y` answers), is refused while a majority "
        "lives, and ends by itself when one lives again.\n"
    )
    yield teller.run('quorate cluster expected 1 --reason "node1 and node2 are off" -y')
    stage.until("the recovery", lambda look: runs(look, WEB, "node3"), LIMIT_S)
    yield teller.run("quorate status", codes=(0, 1, 2))


def _come_back(teller: Teller, stage: Stage) -> Iterator[str]:
    yield "## Power on: whole again, and the guest stays\n"
    yield teller.run("quorate lab node node1 power-on", "quorate lab node node2 power-on")
    stage.until("the Cluster to be whole", _whole, LIMIT_S)
    yield teller.run("quorate status --wait --timeout 1m")
    yield "## Move it back by hand\n"
    yield teller.run("quorate relocate web node1 --wait")
    yield "A refusal names what stands in the way:\n"
    yield teller.run("quorate relocate web node9", 'quorate cluster expected 1 --reason "just so" -y', codes=(1,))


def _fail(teller: Teller, stage: Stage) -> Iterator[str]:
    yield "## A guest that cannot start\n"
    yield (
        "One restart on its node, one relocation, one restart there; 10 s between tries. Then `Error`: hands off, until "
        "a person has looked. Its last words are kept.\n"
    )
    yield teller.run("quorate add broken --image busybox:1.35 -- sh -c 'echo cannot open database; exit 3'")
    stage.until("Error", lambda look: look.guest(BROKEN).state is GuestState.ERROR, LIMIT_S)
    yield teller.run("quorate status", codes=(1,))
    yield "In Proxmox: `ha-manager set ct:101 --state disabled` leaves the error state; `quorate reset` tries it anew.\n"
    yield teller.run("quorate set broken --state disabled")
    stage.until("Stopped", lambda look: look.guest(BROKEN).state is GuestState.STOPPED, LIMIT_S)
    yield teller.run("quorate status")


def _whole(look: Look) -> bool:
    states = [node.state for node in look.nodes.values()]
    return look.cluster.votes.live == 3 and states == [NodeState.ONLINE] * 3


HEAD: Final = """\
# The story

A cluster of three nodes on this machine, as a person uses it. `make demo` plays the same by itself, checks every step and
prints the times. Everything below is real output, written by `make story`; `kubectl` is the ordinary one, but the lab's
kubelets are stand-ins: there is no `kubectl logs` and no `exec`.

Needed: `make demo` once (it makes `.venv`), then `. .venv/bin/activate` and

    export KUBECONFIG=~/.cache/quorate/labs/lab/kubeconfig

`quorate lab up --control-plane real` does it on kube-apiserver and etcd instead of the embedded API server.
"""

TAIL: Final = """\
How it can be certain that node1 is off, and why no guest ever runs twice: [architecture](architecture.md). The same with
real kubelets: [kind](kind.md).
"""


def main() -> None:
    """Tell it, in a lab of its own that is gone afterwards."""
    kubectl = find("kubectl", os.environ)
    if kubectl is None:
        raise SystemExit("kubectl is needed: neither in $KUBEBUILDER_ASSETS nor on PATH nor in the cache")
    with tempfile.TemporaryDirectory(prefix="ql-") as directory:
        os.environ["QUORATE_CACHE"] = directory
        try:
            page = "\n".join(tell(Teller(Path(directory), kubectl)))
        finally:
            if LAB in known_labs():
                client.down(LAB)
    Path("docs/story.md").write_text(page)


if __name__ == "__main__":
    main()
