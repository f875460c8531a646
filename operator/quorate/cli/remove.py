"""`quorate remove`: take a guest out of HA."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError, NotFoundError
from quorate.access.waiting import Deadline
from quorate.cli import machines
from quorate.cli.ask import confirm
from quorate.cli.guests import Guest
from quorate.cli.options import Timeout, Yes
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import GuestKey
from quorate.core.workloads import sid_of
from quorate.kube.resources import HARESOURCES
from quorate.view.guests import key_of, machine_of, workload_of

if TYPE_CHECKING:
    from quorate.core.status import GuestStatus

EXAMPLES: Final = ("quorate remove web", "quorate remove ct:shop/web --wait -y")


def register(app: typer.Typer, section: str) -> None:
    verb(app, remove, examples=EXAMPLES, section=section)


def remove(
    session: Session,
    guest: Guest,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has stopped and is gone.")] = False,
    timeout: Timeout = "5m",
    yes: Yes = False,
) -> None:
    """Take a guest out of HA, which stops it (ha-manager remove).

    Its HAResource is deleted. Other than in Proxmox VE a container guest is stopped by that: its Pod belongs to the
    HAResource. Volumes and claims stay. It is gone only once it has stopped for certain; if its node is lost, that
    is when the node is proven dead. A workload (sts/NAME) runs on and is no longer protected. A virtual machine (vm/NAME)
    runs on as well, with the run strategy that it had before.
    """
    from quorate.access.commands import fetch

    deadline = Deadline(timeout)
    key = session.guest(guest)
    raw = fetch(session.api, key)
    if workload_of(raw):
        _leave_alone(session, key, raw, yes=yes)
        return
    key = key_of(raw)
    if machine_of(raw):
        _give_back(session, key, raw, deadline if wait else None, yes=yes)
        return
    if not raw["metadata"].get("deletionTimestamp"):
        confirm(_meaning(key, raw), f"Take {key.sid} out of HA and stop it?", yes=yes)
        session.api.delete(HARESOURCES.path(key.name, key.namespace), uid=str(raw["metadata"].get("uid") or ""))
    if not wait:
        say(
            f"{key.sid} is being taken out of HA. Next: it is stopped, then it is gone; watch it with quorate status -w"
        )
        return
    _await_end(session, key, deadline)
    say(f"{key.sid} has stopped and is no longer under HA")


def _give_back(session: Session, key: GuestKey, raw: dict[str, Any], deadline: Deadline | None, *, yes: bool) -> None:
    """A virtual machine is let go of, as it is; `deadline`: wait for that."""
    name = machine_of(raw)
    found = machines.look(session.api, key, name)
    if not raw["metadata"].get("deletionTimestamp"):
        first, *more = machines.given_back(name, found)
        confirm([f"{key.sid}: {first}", *more], f"Take {key.sid} out of HA?", yes=yes)
        session.api.delete(HARESOURCES.path(key.name, key.namespace), uid=str(raw["metadata"].get("uid") or ""))
    back = "Manual" if found.runs and found.strategy == "Halted" else found.strategy
    strategy = f"VirtualMachine {name} gets the run strategy {back} back" if back else "it is let go"
    if deadline is None:
        say(f"{key.sid} is being taken out of HA. Next: {strategy}, then it is gone from here; it is not stopped")
        return
    _await_end(session, key, deadline)
    now = machines.look(session.api, key, name)
    runs = f", VirtualMachine {name} has its run strategy {now.strategy}" if now.strategy else ""
    say(f"{key.sid} is no longer under HA{runs}")


def _leave_alone(session: Session, key: GuestKey, raw: dict[str, Any], *, yes: bool) -> None:
    """Of a workload only the protection ends."""
    name, what = sid_of(key), workload_of(raw)
    lines = [
        f"{name}: its HAResource is deleted. {what} runs on, with its Pods and volumes.",
        "When a node is lost after that, its Pods there stay Terminating, as without Quorate.",
    ]
    confirm(lines, f"Take {name} out of HA?", yes=yes)
    session.api.delete(HARESOURCES.path(key.name, key.namespace), uid=str(raw["metadata"].get("uid") or ""))
    say(f"{name} is no longer under HA. {what} runs on and is not protected any more")


def _meaning(key: GuestKey, raw: dict[str, Any]) -> list[str]:
    """What it is about to do, in lines."""
    status = raw.get("status") or {}
    node = (status.get("instance") or {}).get("node")
    where = f"It is {status.get('state', 'Queued')}{f' on {node}' if node else ''}."
    now = "" if node else " (it does not run now)"
    return [
        f"{key.sid}: its HAResource is deleted, and with it its Pod. {where}",
        f"A container guest is stopped by that, gracefully{now}. Its volumes and claims stay.",
    ]


def _await_end(session: Session, key: GuestKey, deadline: Deadline) -> None:
    """Until its HAResource is gone; what is awaited is said whenever it changes. Raises CliError."""
    from quorate.access.waiting import wait_for
    from quorate.api.wire import from_wire
    from quorate.core.status import GuestStatus

    said: list[str] = []

    def read() -> "GuestStatus | None":
        try:
            raw = session.api.get(HARESOURCES.path(key.name, key.namespace))
        except NotFoundError:
            return None
        if not raw["metadata"].get("deletionTimestamp"):
            raise CliError(f"{key.sid} was put under HA again by somebody else meanwhile. See quorate status")
        status = from_wire(GuestStatus, raw.get("status"))
        sentence = f"{key.sid} is {status.state}: {status.message or 'the manager has not looked at it yet'}"
        if [sentence] != said:
            said[:] = [sentence]
            note(f"waiting at most {deadline.timeout_s:g}s: {sentence}")
        return status

    gone = wait_for(lambda: (read(),), lambda seen: seen[0] is None, deadline)
    if gone is None:
        raise CliError(
            f"{key.sid} is not gone after {deadline.timeout_s:g}s: {said[0] if said else 'nothing was heard'}. It goes on "
            "by itself; see quorate status"
        )
