"""What people do to objects: commands, edits, deletions by force, copies put back, words that are not true."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.api.schema import Json
from quorate.core.types import (
    ACCEPT_ANNOTATION,
    AGENT_NAMESPACE,
    COMMAND_ANNOTATION,
    CONFIRM_ANNOTATION,
    OUT_OF_SERVICE_TAINT,
    RELEASE_ANNOTATION,
    SYSTEM_NAMESPACE,
    GuestState,
)
from quorate.kube.machines import is_launcher, machine_of
from quorate.sim.errors import ApiError
from quorate.sim.kinds import REFUSED
from quorate.sim.server import KUBE_NODES, LEASES, OURS, PODS
from quorate.sim.store import Resource, status_of
from quorate.sim.virtual import is_taken
from quorate.sim.words import word

if TYPE_CHECKING:
    from quorate.sim.world import Simulation

NAMESPACE = "default"
CLUSTER = "prod"
OTHERS_TAINT = "example.com/busy"


def edit(simulation: "Simulation", kind: Resource, namespace: str, name: str, change: Callable[[Json], Json]) -> None:
    """A person edits an object, if it is there."""
    try:
        simulation.server.store.update(kind, (namespace, name), change)
    except ApiError as error:
        simulation.journal.say(name, f"not edited: {error}")


def edit_guest(simulation: "Simulation", guest: str, /, **changes: object) -> None:
    """A person writes fields of a guest's spec."""
    edit(simulation, OURS["haresources"], NAMESPACE, guest, lambda old: old | {"spec": old["spec"] | changes})


def edit_node(simulation: "Simulation", node: str, **changes: object) -> None:
    """A person writes fields of a Node's spec."""
    edit(simulation, OURS["nodes"], "", node, lambda old: old | {"spec": old["spec"] | changes})


def edit_cluster(simulation: "Simulation", **changes: object) -> None:
    """A person writes fields of the Cluster's spec."""
    edit(simulation, OURS["clusters"], "", CLUSTER, lambda old: old | {"spec": old["spec"] | changes})


def annotate(simulation: "Simulation", kind: Resource, namespace: str, name: str, key: str, value: str) -> None:
    def change(old: Json) -> Json:
        meta = old["metadata"]
        return old | {"metadata": meta | {"annotations": (meta.get("annotations") or {}) | {key: value}}}

    edit(simulation, kind, namespace, name, change)


# -- guests -------------------------------------------------------------------------------------------------------------


@word("set GUEST WANTED")
def set_state(simulation: "Simulation", guest: str, wanted: str) -> None:
    edit_guest(simulation, guest, state=wanted)


def command(simulation: "Simulation", guest: str, text: str) -> None:
    simulation.asked += 1
    value = f"{simulation.asked} {text}"
    annotate(simulation, OURS["haresources"], NAMESPACE, guest, COMMAND_ANNOTATION, value)


@word("relocate GUEST to NODE")
def relocate(simulation: "Simulation", guest: str, node: str) -> None:
    command(simulation, guest, f"relocate {node}")


@word("migrate GUEST to NODE")
def migrate(simulation: "Simulation", guest: str, node: str) -> None:
    command(simulation, guest, f"migrate {node}")


@word("give GUEST another chance")
def another_chance(simulation: "Simulation", guest: str) -> None:
    """Out of Error."""
    if simulation.state(guest) == GuestState.ERROR:
        command(simulation, guest, "reset")


def _image(simulation: "Simulation", guest: str, image: str) -> None:
    def change(old: Json) -> Json:
        main = old["spec"]["guest"]["container"]["spec"]["containers"][0] | {"image": image}
        return old | {"spec": old["spec"] | {"guest": {"container": {"spec": {"containers": [main]}}}}}

    edit(simulation, OURS["haresources"], NAMESPACE, guest, change)


@word("give GUEST version NUMBER")
def new_version(simulation: "Simulation", guest: str, number: int) -> None:
    _image(simulation, guest, f"guest:{number}")


@word("give GUEST a bad template")
def bad_template(simulation: "Simulation", guest: str) -> None:
    _image(simulation, guest, REFUSED)


def _delete(simulation: "Simulation", kind: Resource, namespace: str, name: str, grace_s: int | None = None) -> None:
    try:
        simulation.server.store.delete(kind, (namespace, name), grace_s)
    except ApiError as error:
        simulation.journal.say(name, f"not deleted: {error}")


@word("delete GUEST")
def delete_guest(simulation: "Simulation", guest: str) -> None:
    _delete(simulation, OURS["haresources"], NAMESPACE, guest)


@word("create GUEST again")
def create_again(simulation: "Simulation", guest: str) -> None:
    if simulation.guest(guest) is not None:
        return
    if simulation.virtual is not None and guest in simulation.setting.virtual:
        simulation.virtual.protect(guest, guest, simulation.setting.virtual[guest])
    else:
        simulation.add_guest(guest, simulation.guests[guest])


# -- Pods and Leases ----------------------------------------------------------------------------------------------------


def pod_of(simulation: "Simulation", guest: str) -> str:
    """The name of a guest's Pod: of a virtual machine its launcher's."""
    if simulation.virtual is not None and guest in simulation.setting.virtual:
        return simulation.virtual.launcher(guest) or guest
    return guest


@word("delete pod of GUEST", fault="Pod deleted")
def delete_pod(simulation: "Simulation", guest: str) -> None:
    _delete(simulation, PODS, NAMESPACE, pod_of(simulation, guest))


@word("force delete pod of GUEST", fault="Pod force-deleted")
def force_delete_pod(simulation: "Simulation", guest: str) -> None:
    """`--grace-period=0 --force`: our finalizer keeps the object. What KubeVirt does after that with a machine that is its
    alone is no concern of ours.
    """
    if simulation.virtual is not None and guest in simulation.setting.virtual and not is_taken(simulation, guest):
        return
    _delete(simulation, PODS, NAMESPACE, pod_of(simulation, guest), 0)


@word("tear out pod of GUEST", fault="Pod torn out")
def tear_out_pod(simulation: "Simulation", guest: str) -> None:
    """By force, and its finalizers taken off as well."""
    force_delete_pod(simulation, guest)
    guest = pod_of(simulation, guest)
    if simulation.find(PODS, NAMESPACE, guest) is not None:
        edit(simulation, PODS, NAMESPACE, guest, lambda old: old | {"metadata": old["metadata"] | {"finalizers": []}})


@word("tear out launcher of MACHINE on NODE")
def tear_out_launcher(simulation: "Simulation", machine: str, node: str) -> None:
    """The same of one of several."""
    for pod in simulation.server.store.listed(PODS):
        if is_launcher(pod) and machine_of(pod) == machine and pod["spec"].get("nodeName") == node:
            _delete(simulation, PODS, NAMESPACE, pod["metadata"]["name"], 0)


@word("fail pod of GUEST", fault="Pod failed")
def fail_pod(simulation: "Simulation", guest: str) -> None:
    """As PodGC does for a node that is gone: the phase says Failed, the process may well run."""
    guest = pod_of(simulation, guest)
    if simulation.find(PODS, NAMESPACE, guest) is not None:
        status = {"phase": "Failed", "reason": "NodeLost"}
        change: Callable[[Json], Json] = lambda old: old | {"status": old["status"] | status}  # noqa: E731
        simulation.server.store.update(PODS, (NAMESPACE, guest), change, status=True)


@word("delete lease of NODE", fault="Lease deleted")
def delete_lease(simulation: "Simulation", node: str) -> None:
    _delete(simulation, LEASES, AGENT_NAMESPACE, node)


def _taint(simulation: "Simulation", node: str, key: str, *taints: Json) -> None:
    """Exactly these taints of that key."""

    def change(old: Json) -> Json:
        others = [one for one in old["spec"].get("taints", []) if one["key"] != key]
        return old | {"spec": old["spec"] | {"taints": [*others, *taints]}}

    edit(simulation, KUBE_NODES, "", node, change)


def untaint(simulation: "Simulation", node: str) -> None:
    _taint(simulation, node, OTHERS_TAINT)


@word("taint NODE", untaint, "taint of others")
def taint(simulation: "Simulation", node: str) -> None:
    """Somebody else's, for reasons of their own."""
    _taint(simulation, node, OTHERS_TAINT, {"key": OTHERS_TAINT, "effect": "NoSchedule"})


word("untaint NODE")(untaint)


@word("put NODE out of service")
def put_out_of_service(simulation: "Simulation", node: str) -> None:
    """Somebody says with Kubernetes' own taint that it is off for certain."""
    said = {"key": OUT_OF_SERVICE_TAINT, "value": "nodeshutdown", "effect": "NoExecute"}
    _taint(simulation, node, OUT_OF_SERVICE_TAINT, said)


@word("put NODE into service")
def put_into_service(simulation: "Simulation", node: str) -> None:
    """And takes that back."""
    _taint(simulation, node, OUT_OF_SERVICE_TAINT)


@word("label lease of NODE", fault="Lease labelled")
def label_lease(simulation: "Simulation", node: str) -> None:
    """Another version of it, and no heartbeat."""
    simulation.asked += 1
    if simulation.find(LEASES, AGENT_NAMESPACE, node) is not None:
        annotate(simulation, LEASES, AGENT_NAMESPACE, node, "example.com/label", str(simulation.asked))


@word("let a clone take lease of NODE", fault="cloned machine")
def clone_takes_lease(simulation: "Simulation", node: str) -> None:
    """A copy of the machine runs somewhere, and its agent writes the same Lease."""

    def change(old: Json) -> Json:
        return old | {"spec": (old.get("spec") or {}) | {"holderIdentity": f"{node}-clone.0"}}

    edit(simulation, LEASES, AGENT_NAMESPACE, node, change)


@word("delete leader lease", fault="Lease deleted")
def delete_leader_lease(simulation: "Simulation") -> None:
    _delete(simulation, LEASES, SYSTEM_NAMESPACE, f"manager-{CLUSTER}")


# -- words about nodes and history --------------------------------------------------------------------------------------


def _confirm(simulation: "Simulation", node: str, incident: str = "") -> None:
    found = simulation.node(node)
    case = status_of(found).get("incident")
    if case is not None:
        value = f"{incident or case['id']}/{case['nonce']}/anna"
        annotate(simulation, OURS["nodes"], "", node, CONFIRM_ANNOTATION, value)


@word("confirm NODE")
def confirm(simulation: "Simulation", node: str) -> None:
    """A person has pulled the plug, and says so."""
    simulation.machines[node].power_off()
    _confirm(simulation, node)


@word("confirm NODE as it is")
def confirm_as_it_is(simulation: "Simulation", node: str) -> None:
    """A person says that the lost boot is over, whatever is so."""
    _confirm(simulation, node)


@word("confirm NODE in another incident", fault="wrong acknowledgement")
def confirm_another(simulation: "Simulation", node: str) -> None:
    """An acknowledgement that was meant for another incident."""
    _confirm(simulation, node, "n0-other")


def _release(simulation: "Simulation", node: str, boot: str) -> None:
    case = status_of(simulation.node(node)).get("incident")
    if case is not None:
        value = f"{case['id']}/{boot}/anna"
        annotate(simulation, OURS["nodes"], "", node, RELEASE_ANNOTATION, value)


@word("release NODE")
def release(simulation: "Simulation", node: str) -> None:
    """The boot that runs there now may come back, be it held back or one that never ended."""
    _release(simulation, node, simulation.machines[node].nonce)


@word("release NODE in another boot", fault="wrong acknowledgement")
def release_another(simulation: "Simulation", node: str) -> None:
    """A word that was meant for another boot of it."""
    _release(simulation, node, f"{node}-boot0.0")


def out_of_maintenance(simulation: "Simulation", node: str) -> None:
    edit_node(simulation, node, maintenance=None)


@word("put NODE into maintenance", out_of_maintenance, "maintenance")
def into_maintenance(simulation: "Simulation", node: str) -> None:
    edit_node(simulation, node, maintenance={"enabled": True, "reason": "test"})


word("take NODE out of maintenance")(out_of_maintenance)


@word("arm")
def arm(simulation: "Simulation") -> None:
    _disarm(simulation, None)


@word("disarm DISARMMODE ending in TIME", fault="disarm")
def disarm(simulation: "Simulation", mode: str, lasts_s: float) -> None:
    """It ends by itself then, if nobody arms before."""
    _disarm(simulation, {"mode": mode, "reason": "test", "until": simulation.moment(lasts_s)})


def _disarm(simulation: "Simulation", wish: Json | None) -> None:
    edit_cluster(simulation, disarm=wish)


@word("expect NUMBER votes")
def expect_votes(simulation: "Simulation", votes: int) -> None:
    simulation.asked += 1
    wish = {"votes": votes, "reason": "test", "generation": simulation.asked}

    def change(old: Json) -> Json:
        quorum = (old["spec"].get("quorum") or {}) | {"expectedVotes": wish}
        return old | {"spec": old["spec"] | {"quorum": quorum}}

    edit(simulation, OURS["clusters"], "", CLUSTER, change)


@word("copy the store")
def copy_store(simulation: "Simulation") -> None:
    store = simulation.server.store
    simulation.copies.append((store.everything(), store.version))


@word("put the copy back", fault="restore")
def restore(simulation: "Simulation") -> None:
    """The last copy, versions and all."""
    if simulation.copies:
        simulation.server.restore(*simulation.copies[-1])


@word("accept the history")
def accept_history(simulation: "Simulation") -> None:
    rewind = status_of(simulation.cluster()).get("rewind")
    if rewind is not None:
        annotate(simulation, OURS["clusters"], "", CLUSTER, ACCEPT_ANNOTATION, rewind["id"])
