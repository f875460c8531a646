"""`quorate drill NODE`: a node without guests is switched off and on again by its fence devices, to prove them."""

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError
from quorate.access.waiting import Deadline, wait_for
from quorate.cli import completion
from quorate.cli.ask import confirm
from quorate.cli.options import Timeout, Yes
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import DRILL_ANNOTATION
from quorate.kube.resources import NODES
from quorate.view.words import plural

if TYPE_CHECKING:
    from quorate.core.sequence import Drilled
    from quorate.core.status import NodeStatus

EXAMPLES: Final = (
    "quorate maintenance on node2 --wait && quorate drill node2 --wait",
    "quorate drill node2 -y",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, drill, name="drill", section=section, examples=EXAMPLES)


def drill(
    session: Session,
    node: Annotated[
        str, typer.Argument(autocompletion=completion.nodes, metavar="NODE", help="The node to switch off and on.")
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
    timeout: Timeout = "20m",
    yes: Yes = False,
) -> None:
    """Prove a node's fence devices: off, and on again.

    Its power goes off, its Lease must stop, its power comes on, and another boot of it must renew. Only then do the
    devices by themselves release guests when the node is lost; before, what they say counts beside the watchdog. No guest
    may be on it: begin with quorate maintenance on NODE. A drill proves one level at a time: the lowest that no drill has
    proven yet.
    """
    from quorate.access.commands import fetch_node, node_status
    from quorate.access.vouching import whoami

    deadline = Deadline(timeout)
    raw = fetch_node(session.api, node)
    devices = _devices(node, raw)
    status = node_status(session.api, node)
    if status.nonce is None:
        raise CliError(f"{node} has not been heard from yet (it is {status.state}): nothing could be seen to go silent")
    if status.guests:
        raise CliError(
            f"{node} has {plural(status.guests, 'guest')}, and a drill switches it off. Empty it first: "
            f"quorate maintenance on {node} --wait"
        )
    names = ", ".join(f"{one['name']} ({one['agent']})" for one in devices)
    confirm(
        [f"The power of {node} goes off, and on again: by {names}.", "What runs there without HA is lost."],
        f"Switch {node} off and on?",
        yes=yes,
    )
    value = f"{secrets.token_hex(4)}/{status.nonce}/{whoami(session.api)}"
    session.api.merge(NODES.path(node), {"metadata": {"annotations": {DRILL_ANNOTATION: value}}})
    if not wait:
        say(f"{node}: drill {value} is asked for. Next: quorate history {node}, or its condition DevicesReady")
        return
    note(f"{node}: drill {value} is asked for")
    done = wait_for(lambda: node_status(session.api, node), lambda found: _judged(found, value) is not None, deadline)
    judged = _judged(done, value) if done is not None else None
    if judged is None:
        now = node_status(session.api, node)
        raise CliError(f"the drill has not ended after {deadline.timeout_s:g}s: {node} is {now.state}, {now.message}")
    if not judged.passed:
        raise CliError(f"{node}: the drill has failed: {judged.result}")
    say(f"{node}: proven. {judged.result}")


def _devices(node: str, raw: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (raw["spec"].get("fencing") or {}).get("devices") or []
    if not found:
        raise CliError(f"{node} has no fence devices to try: give it some in spec.fencing.devices (docs/fencing.md)")
    return found


def _judged(status: "NodeStatus", value: str) -> "Drilled | None":
    drilled = status.power.drilled if status.power is not None else None
    return drilled if drilled is not None and drilled.id == value else None
