"""Objects that a verb is about, and one-shot commands on guests: an annotation with an id of its own, and the result that
comes back in the status.
"""

import secrets
from typing import TYPE_CHECKING, Any

from quorate.access.errors import CliError, NotFoundError
from quorate.access.names import nearest
from quorate.access.waiting import ANSWER, Deadline, wait_for
from quorate.api.wire import from_wire
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus
from quorate.core.types import COMMAND_ANNOTATION, GuestKey, MachineKey
from quorate.kube.resources import CLUSTERS, HARESOURCES, NODES
from quorate.view.guests import key_of

if TYPE_CHECKING:
    from quorate.access.client import Api
    from quorate.access.reader import Reader


def fetch(api: "Reader", key: GuestKey) -> dict[str, Any]:
    """The guest's HAResource. Raises CliError, naming the guests that there are."""
    try:
        return api.get(HARESOURCES.path(key.name, key.namespace))
    except NotFoundError as error:
        raise CliError(_unknown(api, key)) from error


def _unknown(api: "Reader", key: GuestKey) -> str:
    """That it is not under HA, and which guests are: those of its namespace, and one of another that was meant perhaps."""
    there = [key_of(one) for one in api.items(HARESOURCES.path())]
    names = sorted(one.name for one in there if one.namespace == key.namespace)
    known = f"guests in {key.namespace}: {', '.join(names)}" if names else f"there is no guest in {key.namespace}"
    text = f"{key.sid} is not under HA ({known})"
    meant = nearest(key.name, sorted(one.sid for one in there))
    add = f"{key.namespace}/{key.name} --image IMAGE"
    if isinstance(key, MachineKey):
        add = f"vm/{key.name} -n {key.namespace}"
    return text + (meant or f". Add it: quorate add {add}")


def named(api: "Api", key: GuestKey) -> GuestKey:
    """The same guest, called what it is: that it is a virtual machine stands in its HAResource. Raises CliError."""
    return key_of(fetch(api, key))


def fetch_node(api: "Reader", node: str) -> dict[str, Any]:
    """A member's Node. Raises CliError, naming those that there are."""
    try:
        return api.get(NODES.path(node))
    except NotFoundError as error:
        known = ", ".join(sorted(one["metadata"]["name"] for one in api.items(NODES.path()))) or "there is none"
        raise CliError(f"no Node is named {node!r} (known: {known})") from error


def status_of(api: "Reader", key: GuestKey) -> GuestStatus:
    return from_wire(GuestStatus, fetch(api, key).get("status"))


def cluster_status(api: "Reader", name: str) -> ClusterStatus:
    return from_wire(ClusterStatus, api.get(CLUSTERS.path(name)).get("status"))


def node_status(api: "Reader", node: str) -> NodeStatus:
    return from_wire(NodeStatus, fetch_node(api, node).get("status"))


def members(api: "Reader", cluster: str) -> list[dict[str, Any]]:
    """The Nodes of a Cluster."""
    return [one for one in api.items(NODES.path()) if one["spec"].get("clusterName") == cluster]


def give(api: "Api", key: GuestKey, verb: str, *arguments: str) -> str:
    """Write a command and return the manager's result. Raises CliError when it refuses."""
    command = secrets.token_hex(4)
    text = " ".join([command, verb, *arguments])
    api.merge(HARESOURCES.path(key.name, key.namespace), {"metadata": {"annotations": {COMMAND_ANNOTATION: text}}})

    def answered(status: GuestStatus) -> bool:
        return status.last_command is not None and status.last_command.id == command

    status = wait_for(lambda: status_of(api, key), answered, Deadline(ANSWER))
    if status is None or status.last_command is None:
        return f"the command is written, and no manager has answered within {ANSWER}; it is carried out when one does"
    if not status.last_command.accepted:
        raise CliError(f"{key.sid}: {status.last_command.result}")
    return status.last_command.result
