"""What a lab or a test says to the front, over its socket: one JSON object a line each way.

{"op": "ports"}                                  {"ok": true, "ports": {"manager-1": 40001, ...}}
{"op": "add", "rule": {"name": "slow", ...}}     {"ok": true}    the fields of rules.Rule
{"op": "clear", "name": "slow"}                  {"ok": true}    without a name: all rules
{"op": "counts"}                                 {"ok": true, "counts": {"slow": {"seen": 7, "applied": 7}}}
{"op": "calls", "after": 120}                    {"ok": true, "calls": [{"number": 121, "client": ...}, ...]}
{"op": "outage", "client": ".*", "how": "hang"}  {"ok": true}    refuse, hang, or none: it is over
{"op": "drop", "client": "node1"}                {"ok": true}    resets every connection of it
what cannot be                                   {"ok": false, "error": "..."}
"""

import json
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from quorate.lab.errors import LabError
from quorate.lab.front.rules import Call, Rule

_ANSWER_S: Final = 30.0


class Front:
    """A front as a test sees it. Every method raises LabError when it is refused or not answered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, rule: Rule) -> None:
        """In force when this returns, also for the watches that run."""
        self._ask({"op": "add", "rule": asdict(rule)})

    def clear(self, name: str = "") -> None:
        """One rule, or all of them. A watch that was silenced stays so."""
        self._ask({"op": "clear", **({"name": name} if name else {})})

    def counts(self, name: str) -> tuple[int, int]:
        """How many calls that rule has meant, and to how many it was applied."""
        found = self._ask({"op": "counts"})["counts"][name]
        return found["seen"], found["applied"]

    def calls(self, after: int = 0) -> list[Call]:
        """Those with a larger number than that, in the order in which they came."""
        return [Call(**one) for one in self._ask({"op": "calls", "after": after})["calls"]]

    def outage(self, how: str, client: str = ".*") -> None:
        """Begin one (listener.OUTAGES), or end it."""
        self._ask({"op": "outage", "client": client, "how": how})

    def drop(self, client: str = ".*") -> None:
        """Reset the connections of these clients."""
        self._ask({"op": "drop", "client": client})

    def ports(self) -> dict[str, int]:
        """By client."""
        found: dict[str, int] = self._ask({"op": "ports"})["ports"]
        return found

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_ANSWER_S)
                connection.connect(str(self._path))
                with connection.makefile("rwb") as stream:
                    stream.write(json.dumps(request).encode() + b"\n")
                    stream.flush()
                    line = stream.readline()
        except OSError as error:
            raise LabError(f"the front at {self._path} does not answer: {error}") from error
        answer: dict[str, Any] = json.loads(line or b'{"ok": false, "error": "it ended without an answer"}')
        if not answer.pop("ok"):
            raise LabError(f"front: {answer['error']}")
        return answer
