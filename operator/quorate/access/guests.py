"""What a person does with a guest: change what is asked of it, move it, take it out of Error."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from quorate.access.commands import fetch, give, status_of
from quorate.access.errors import CliError
from quorate.access.preflight import obstacles
from quorate.core import workloads
from quorate.core.types import GuestKey, GuestState, Wanted
from quorate.kube.resources import HARESOURCES
from quorate.view.guests import key_of, machine_of, sid_of, workload_of

if TYPE_CHECKING:
    from quorate.access.client import Api

NEXT: Final = {
    Wanted.STARTED: "it is started",
    Wanted.STOPPED: "it is stopped gracefully and stays stopped",
    Wanted.DISABLED: "it is stopped and stays stopped, out of Error if it was there",
    Wanted.IGNORED: "Quorate keeps its hands off it",
}


def change(api: "Api", key: GuestKey, wished: Mapping[str, Any]) -> str:
    """Set these fields of its spec; returns what was changed, and what follows from it. Raises CliError."""
    raw = fetch(api, key)
    before, name = raw["spec"], sid_of(raw)
    changes = {field: value for field, value in wished.items() if before.get(field) != value}
    if not changes:
        return f"{name}: it is so already, nothing was changed"
    api.merge(HARESOURCES.path(key.name, key.namespace), {"spec": changes})
    said = ", ".join(f"{field} {_shown(before.get(field))} -> {_shown(value)}" for field, value in changes.items())
    follows = NEXT[Wanted(changes["state"])] if "state" in changes else "it counts from now on"
    if workload_of(raw) and changes.get("state") == Wanted.STARTED:
        follows = "its Pods are protected where they are"
    if machine_of(raw) and changes.get("state") == Wanted.IGNORED:
        follows = "its run strategy is given back, and Quorate keeps its hands off it"
    return f"{name}: {said}. Next: {follows}"


def _shown(value: object) -> str:
    return str(value) if value not in {None, ""} else "(none)"


def move(api: "Api", key: GuestKey, verb: str, node: str) -> str:
    """Ask for a migration or relocation; returns the manager's answer, "" if it runs there already.

    Raises CliError, with everything that stands in the way.
    """
    raw = fetch(api, key)
    key = key_of(raw)
    refuse_verb(raw, key, verb)
    status = raw.get("status") or {}
    if status.get("state") == GuestState.STARTED and status.get("node") == node:
        return ""
    found = obstacles(api, raw, node)
    if found:
        raise CliError("\n  ".join([f"{key.sid} cannot be {verb.removesuffix('e')}ed to {node}:", *found]))
    return give(api, key, verb, node)


def reset(api: "Api", key: GuestKey) -> str:
    """Take it out of Error; returns the manager's answer. Raises CliError."""
    raw = fetch(api, key)
    key = key_of(raw)
    refuse_verb(raw, key, "reset")
    status = status_of(api, key)
    if status.state is not GuestState.ERROR:
        raise CliError(f"{key.sid}: nothing to reset, it is {status.state}")
    return give(api, key, "reset")


def refuse_verb(raw: Mapping[str, Any], key: GuestKey, verb: str) -> None:
    """A workload is moved, stopped and started by its own controller. Raises CliError."""
    what = workload_of(raw)
    if what:
        raise CliError(
            f"{workloads.sid_of(key)}: quorate {verb} is not for {what}: its own controller makes and places its Pods. "
            "Use kubectl: scale, rollout restart, or drain of a node"
        )
