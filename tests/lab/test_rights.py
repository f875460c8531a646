"""With the roles of manifests/base, and no more, under its admission policies: the manager and the agents do all they must.

On a real API server. Each comes with a token as its kubelet would get it; the virtual kubelets stay administrators.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey
from quorate.kube.resources import HARESOURCES, KUBE_NODES, NAMESPACES, PODS, STORAGE_CLASSES, STORAGES, VOLUMES
from quorate.lab import commands, processes
from quorate.lab.apiclient import read_kubeconfig, write_kubeconfig
from quorate.lab.child import environment
from quorate.lab.commands import MANAGER_PORT, Addresses
from quorate.lab.options import Options
from tests import real
from tests.control_plane import manifests
from tests.control_plane.manifests import token
from tests.faults.fencing import give_device, keep_secret, password
from tests.ganesha import EXPORT, Server, serving
from tests.lab import audit, machines
from tests.lab.audit import audited
from tests.lab.scene import WEB, Scene, container, own_cache, played, writer
from tests.lab.workloads import DB, begin, is_back, place
from tests.scrape import Scrape, scrape

pytestmark = [pytest.mark.lab, pytest.mark.real]
NODES = ("node1", "node2", "node3")
MANAGERS = (1, 2)
ROLES = (manifests.BASE / "manager-rbac.yaml", manifests.BASE / "agent-rbac.yaml")
CONTENDED = "only where others write an object faster than the manager reads it (tests/faults/test_objects.py)"
NOT_IN_THE_STORY = {
    "quorate-agents:quorate-agent: create leases.coordination.k8s.io in quorate-agents": "when its Lease was deleted",
    "quorate-agents:quorate-agent: list endpointslices.discovery.k8s.io in default": "a lab's agents are told addresses",
    "quorate-system:quorate-manager: get controllerrevisions.apps": "a start while a changed template is refused",
    "quorate-system:quorate-manager: list pods.metrics.k8s.io": "where there is a metrics-server",
    "quorate-system:quorate-manager: update haresources/finalizers.quorate.dev": "where an admission plugin asks for it",
    "quorate-system:quorate-manager: patch persistentvolumeclaims": "a start elsewhere while its own claim is not bound",
    "quorate-system:quorate-manager: patch clusters/status.quorate.dev": CONTENDED,
    "quorate-system:quorate-manager: patch nodes/status.quorate.dev": CONTENDED,
    "quorate-system:quorate-manager: patch haresources/status.quorate.dev": CONTENDED,
    "quorate-system:quorate-manager: patch storages/status.quorate.dev": CONTENDED,
    "quorate-system:quorate-manager: patch leases.coordination.k8s.io in quorate-agents": CONTENDED,
}
"""What is granted and not used by it, and why it is granted all the same."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A lab whose agents and managers have the rights of the manifests."""
    real.programs()
    options = Options("rights", profile="Fast", control_plane="real", managers=0)
    with own_cache() as cache, audited(cache / "audited"), played(options) as scene:
        manifests.apply(scene.api, "manager-rbac.yaml", "agent-rbac.yaml", "admission.yaml")
        for name in NODES:
            give_agent_its_rights(scene, name)
        with managers(scene):
            await scene.until_whole()
            scene.share_storage()
            keep_secret(scene, password=password(scene))
            give_device(scene, "node1")
            yield scene


def give_agent_its_rights(scene: Scene, name: str) -> None:
    """A token that is bound to a Pod on that node, from its next boot on."""
    files = scene.files.node(name)
    spec = {
        "serviceAccountName": "quorate-agent",
        "nodeName": name,
        "containers": [{"name": "agent", "image": "lab", "command": ["sleep", "infinity"]}],
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"agent-{name}"}, "spec": spec}
    pod = scene.api.post(PODS.path(namespace="quorate-agents"), body).ok()
    own = replace(read_kubeconfig(files.kubeconfig), token=token(scene.api, "quorate-agents", "quorate-agent", pod))
    write_kubeconfig(files.agent_kubeconfig, own)
    scene.switch(name, "power-off")
    scene.switch(name, "power-on")


def addresses(scene: Scene) -> Addresses:
    return Addresses(int(scene.machine("node1")["address"].split(".")[2]))


@contextmanager
def managers(scene: Scene) -> Iterator[None]:
    """Two of them, ended with the rest of the lab at the latest."""
    kubeconfig = scene.files.root / "manager-kubeconfig"
    own = replace(read_kubeconfig(scene.files.kubeconfig), token=token(scene.api, "quorate-system", "quorate-manager"))
    write_kubeconfig(kubeconfig, own)
    started = []
    for number in MANAGERS:
        with (scene.files.log / f"manager-{number}.log").open("ab") as log:
            argv = commands.manager(number, addresses(scene), kubeconfig, scene.files.fence_agents)
            marks = environment({processes.LAB: scene.lab_id})
            started.append(subprocess.Popen(argv, env=marks, stdout=log, stderr=log, start_new_session=True))
    try:
        yield
    finally:
        for one in started:
            one.terminate()
            one.wait(30)


def metrics(scene: Scene, number: int) -> Scrape:
    return scrape(f"http://{addresses(scene).manager(number)}:{MANAGER_PORT}/metrics")


def refusals(scene: Scene) -> list[str]:
    """Every word of a right that somebody lacked."""
    found = []
    for number in MANAGERS:
        if metrics(scene, number).total("quorate_api_requests_total", code="403"):
            found.append(f"manager-{number} was refused something")
        found += [line for line in scene.log(f"manager-{number}").splitlines() if "orbidden" in line]
    for name in NODES:
        for log in scene.files.node(name).log.glob("*.log"):
            found += [
                f"{name}: {line}" for line in log.read_text().splitlines() if "orbidden" in line or " 403" in line
            ]
    return found


async def test_they_do_all_they_must(scene: Scene, tmp_path: Path) -> None:
    """Join, start, lose a node, change a template, fail, move, delete: and nobody was refused anything."""
    await scene.start_guest()
    assert scene.kube_node("node1")["spec"].get("taints") is None
    scene.switch("node1", "power-off")
    await scene.until_runs("node2")
    assert [one["key"] for one in scene.kube_node("node1")["spec"]["taints"]] == ["quorate.dev/fence"]
    scene.switch("node1", "power-on")
    await scene.until_whole()
    await scene.until("the taint to go", lambda: not scene.raw(KUBE_NODES, "node1")["spec"].get("taints"))

    assert (await scene.command("relocate node3")).accepted
    await scene.until_runs("node3")

    for tier in ("web", "db"):
        await a_new_template_runs(scene, tier)

    crashing = {"guest": {"container": {"spec": {"containers": [{"name": "a", "image": "lab", "command": ["false"]}]}}}}
    scene.create(HARESOURCES, "bad", {**crashing, "maxRestart": 0, "maxRelocate": 0}, "default")
    await scene.until(
        "it to fail", lambda: scene.raw(HARESOURCES, "bad", "default").get("status", {}).get("state") == "Error"
    )
    scene.api.delete(HARESOURCES.path("bad", "default")).ok()
    await scene.until("it to go", lambda: not scene.raw(HARESOURCES, "bad", "default"))

    with serving(tmp_path, "127.76.0.4") as nas:
        await a_guest_has_its_storages(scene, nas)

    await scene.clear_away()
    await a_workload_is_protected(scene)
    await a_machine_is_kept_running(scene)
    assert refusals(scene) == []
    await a_tenant_reaches_for_the_node(scene)
    log = Path(os.environ["KUBEBUILDER_ASSETS"]) / "audit.log"
    scene.change_cluster(scheduling={"mode": "Dynamic"})
    await scene.until("load to be asked for", lambda: '"apiGroup":"metrics.k8s.io"' in log.read_text())
    refused = [audit.said(one) for one in audit.requests(log) if one["responseStatus"]["code"] == 403]
    assert [one for one in refused if "violates PodSecurity" not in one] == []
    rights = list(audit.granted(*ROLES))
    assert set(NOT_IN_THE_STORY) <= {str(one) for one in rights}, "told of what nobody grants"
    left = {str(one) for one in audit.unused(rights, log)} - set(NOT_IN_THE_STORY)
    assert left == set(), "granted, and used by nothing"
    assert any(metrics(scene, number).value("quorate_leader", cluster=scene.name) for number in MANAGERS)


async def a_guest_has_its_storages(scene: Scene, nas: Server) -> None:
    late = {"provisioner": "example.org/csi", "volumeBindingMode": "WaitForFirstConsumer"}
    body = {"apiVersion": STORAGE_CLASSES.api_version, "kind": "StorageClass", "metadata": {"name": "ssd"}, **late}
    scene.api.post(STORAGE_CLASSES.path(), body).ok()
    everywhere = {"allowedNamespaces": ["default"]}
    where = {"server": nas.address, "export": EXPORT, "options": [f"port={nas.port}", "nfsvers=4"]}
    scene.create(STORAGES, "media", {"type": "NFS", "nfs": where, **everywhere})
    scene.create(STORAGES, "fast", {"type": "StorageClass", "storageClass": {"name": "ssd"}, **everywhere})
    mounts = [{"name": "media", "path": "/media"}, {"name": "fast", "path": "/fast"}]
    scene.create(HARESOURCES, "stored", {"guest": container("sleep", "1000"), "storage": mounts}, "default")
    stored = GuestKey("default", "stored")
    await scene.until("it to run", lambda: scene.guest(stored).ready)
    assert len(scene.api.get(VOLUMES.path()).ok()["items"]) == 1
    scene.api.delete(HARESOURCES.path("stored", "default")).ok()
    await scene.until("its volume to go", lambda: not scene.api.get(VOLUMES.path()).ok()["items"])


async def a_workload_is_protected(scene: Scene) -> None:
    """A StatefulSet whose Pod has a volume, and loses its node."""
    await begin(scene)
    lost = place(scene, "db-0")[1]
    scene.switch(lost, "power-off")
    await scene.until("it to be whole, and its volume attached", lambda: is_back(scene.guest(DB)))
    scene.switch(lost, "power-on")
    await scene.until_whole()
    await scene.until("the taints to go", lambda: not scene.raw(KUBE_NODES, lost)["spec"].get("taints"))
    scene.api.delete(HARESOURCES.path("db", "default")).ok()


async def a_machine_is_kept_running(scene: Scene) -> None:
    """A virtual machine of KubeVirt is started, migrated in vain and live, loses its node, and is given back."""
    machines.install(scene)
    machines.make(scene, strategy="Halted", **{"lab.quorate.dev/migration": "hangs"})
    machines.protect(scene, startTimeout="10s")
    source = await machines.until_runs(scene)
    lost = next(name for name in NODES if name != source)
    await scene.command(f"migrate {lost}", machines.WIN)
    await scene.until("it to be given up", lambda: scene.guest(machines.WIN).migration_failure)
    await scene.until("nothing of that to be left", lambda: scene.guest(machines.WIN).migration is None)
    machines.misbehave(scene, migration="1")
    answer = await scene.command(f"migrate  {lost}", machines.WIN)
    assert answer.accepted, answer.result
    await machines.until_runs(scene, lost)
    scene.switch(lost, "power-off")
    await scene.until("it to run elsewhere", lambda: scene.guest(machines.WIN).node != lost)
    await machines.until_runs(scene)
    scene.switch(lost, "power-on")
    await scene.until_whole()
    await scene.until("the taints to go", lambda: not scene.raw(KUBE_NODES, lost)["spec"].get("taints"))
    scene.api.delete(HARESOURCES.path("win", "default")).ok()
    await scene.until("it to leave HA", lambda: not scene.raw(HARESOURCES, "win", "default"))
    scene.api.delete(machines.path("virtualmachines", "win")).ok()


async def a_new_template_runs(scene: Scene, tier: str) -> None:
    before = scene.guest()
    metadata = {"labels": {"tier": tier}}
    changed = {"guest": {"container": {"metadata": metadata, **writer("web")["guest"]["container"]}}}
    scene.api.merge(HARESOURCES.path(WEB.name, WEB.namespace), {"spec": changed}).ok()
    await scene.until("the new template to run", lambda: started_anew(scene, before))
    assert scene.pod()["metadata"]["labels"]["tier"] == tier


async def a_tenant_reaches_for_the_node(scene: Scene) -> None:
    """What its namespace forbids of a Pod it cannot have through the manager, and is told so; what it allows it gets."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    scene.api.post(NAMESPACES.path(), {"metadata": {"name": "tenant", "labels": labels}}).ok()
    decent = {
        "name": "main",
        "image": "lab",
        "command": ["sleep", "1000"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {"terminationGracePeriodSeconds": 1, "containers": [decent]}
    greedy = {**spec, "volumes": [{"name": "root", "hostPath": {"path": "/"}}]}
    scene.create(HARESOURCES, "decent", {"guest": {"container": {"spec": spec}}}, "tenant")
    scene.create(HARESOURCES, "greedy", {"guest": {"container": {"spec": greedy}}}, "tenant")
    said = 'violates PodSecurity "restricted:latest": restricted volume types'
    await scene.until("it to be said", lambda: said in scene.guest(GuestKey("tenant", "greedy")).message)
    await scene.until("the other to run", lambda: scene.guest(GuestKey("tenant", "decent")).ready)
    assert not scene.pod(GuestKey("tenant", "greedy"))


def started_anew(scene: Scene, before: GuestStatus) -> bool:
    now = scene.guest()
    assert before.instance is not None
    return now.ready and now.instance is not None and now.instance.id != before.instance.id
