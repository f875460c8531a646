"""Emptying a node to work on it, and its guests' return."""

from typing import TYPE_CHECKING

from quorate.access.commands import fetch_node
from quorate.kube.resources import HARESOURCES, NODES
from quorate.view.guests import sid_of

if TYPE_CHECKING:
    from quorate.access.client import Api
    from quorate.access.reader import Reader


def begin(api: "Api", node: str, reason: str) -> str:
    """Ask for a node's maintenance; returns what is said of it. Raises CliError."""
    raw = fetch_node(api, node)
    wished = {"enabled": True, "reason": reason}
    if raw["spec"].get("maintenance") != wished:
        api.merge(NODES.path(node), {"spec": {"maintenance": wished}})
    return f"{node}: its guests move away"


def end(api: "Api", node: str) -> bool:
    """Take it back; False if it was not asked for. Raises CliError."""
    raw = fetch_node(api, node)
    if not (raw["spec"].get("maintenance") or {}).get("enabled"):
        return False
    api.merge(NODES.path(node), {"spec": {"maintenance": None}})
    return True


def coming(api: "Reader", node: str) -> list[str]:
    """The guests that are to return to it, with what each waits for."""
    found = [(one, one.get("status") or {}) for one in api.items(HARESOURCES.path())]
    return [
        f"{sid_of(raw)}: {status.get('message', '')}" for raw, status in found if status.get("maintenanceNode") == node
    ]
