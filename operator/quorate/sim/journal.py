"""What happened, one line each: what fate and people did, what really ran, and what the objects came to say.

Times are in tenths of a second, and incidents are counted instead of named by what was drawn for them: so that a log
changes when the behaviour does, and not with each call that is made more or less.
"""

import re

from quorate.api.schema import Json
from quorate.core.types import AGENT_NAMESPACE, SYSTEM_NAMESPACE
from quorate.sim.engine import Engine
from quorate.sim.store import Event, status_of

_DRAWN = re.compile(r"\b([a-z]\w*)-[0-9a-f]{8}\b")


class Journal:
    """The log of a run. The same seed gives the same lines."""

    def __init__(self, engine: Engine) -> None:
        self.lines: list[str] = []
        self._engine = engine
        self._drawn: dict[str, str] = {}

    def say(self, who: str, text: str) -> None:
        self.lines.append(f"{self._engine.now_s:7.1f} {who:8} {_DRAWN.sub(self._counted, text)}")

    def _counted(self, found: re.Match[str]) -> str:
        """The first incident of n1 is n1-1, whatever was drawn for it."""
        name = found[1]
        if found[0] not in self._drawn:
            number = 1 + sum(one.rpartition("-")[0] == name for one in self._drawn.values())
            self._drawn[found[0]] = f"{name}-{number}"
        return self._drawn[found[0]]

    def event(self, body: Json) -> None:
        """The manager told people something (an Event of the API)."""
        about = body["regarding"]
        sign = "!" if body["type"] == "Warning" else " "
        self.say(about["name"], f"{sign}{body['reason']}: {body['note']}")

    def hear(self, event: Event) -> None:
        """A change in the store, if it is one that matters to people."""
        match event.resource.kind:
            case "HAResource":
                self._moved(event, ("state", "node"))
            case "Node" if event.resource.group:
                self._moved(event, ("state", "incident.stage"))
            case "Cluster":
                self._moved(event, ("quorate", "votes.live", "disarm.state"))
            case "Lease":
                self._lease(event)

    def _moved(self, event: Event, fields: tuple[str, ...]) -> None:
        if event.old is not None and event.new is not None and event.old.get("status") is event.new.get("status"):
            return
        old, new = _fields(event.old, fields), _fields(event.new, fields)
        name = (event.new or event.old or {})["metadata"]["name"]
        if event.new is None:
            self.say(name, f"{event.resource.kind} is gone")
        elif new != old and any(new):
            parts = [
                f"{field} {after or '-'}"
                for field, before, after in zip(fields, old, new, strict=True)
                if after != before
            ]
            self.say(name, ", ".join(parts))

    def _lease(self, event: Event) -> None:
        found = event.new or event.old or {}
        name = found["metadata"]["name"]
        old, new = _holder(event.old), _holder(event.new)
        if event.new is None:
            self.say(name, "its Lease is gone")
        elif new != old and found["metadata"]["namespace"] in {AGENT_NAMESPACE, SYSTEM_NAMESPACE}:
            self.say(name, f"its Lease is held by {new or 'nobody'}")


def _holder(lease: Json | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _fields(found: Json | None, fields: tuple[str, ...]) -> list[str]:
    status = status_of(found)
    values = []
    for field in fields:
        at: object = status
        for part in field.split("."):
            at = at.get(part, {}) if isinstance(at, dict) else {}
        values.append("" if at == {} else str(at))
    return values
