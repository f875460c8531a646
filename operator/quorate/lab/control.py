"""What a lab's daemon and its clients say to each other, over the lab's control socket: one JSON object a line each way.

{"verb": "status"}                                             {"ok": true, "phase": "ready", "nodes": [...], ...}
{"verb": "node", "node": "node1", "action": "power-off"}       {"ok": true, "power": "off", ...}
{"verb": "down"}                                               {"ok": true}
what failed                                                    {"ok": false, "error": "..."}
what does not exist                                            {"ok": false, "error": "...", "misuse": true}
"""

from typing import Final

STARTING: Final = "starting"
READY: Final = "ready"
FAILED: Final = "failed"
"""Phases of a lab; `problem` says why it failed."""
