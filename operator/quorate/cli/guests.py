"""Verbs on guests that exist: `set`, `migrate`, `relocate`, `reset`."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError, UsageError
from quorate.access.waiting import Deadline, wait_for
from quorate.cli import completion
from quorate.cli.options import Timeout
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import GuestKey, GuestState, MachineKey, Wanted
from quorate.view.words import state

if TYPE_CHECKING:
    from quorate.core.status import GuestStatus

Target = Annotated[str, typer.Argument(autocompletion=completion.nodes, metavar="NODE", help="Where it is to run.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it runs there.")]
Guest = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.guests, metavar="GUEST", help="NAME, NAMESPACE/NAME, ct:NAMESPACE/NAME or vm/NAME."
    ),
]
State = Annotated[
    Wanted | None, typer.Option(case_sensitive=False, help="What is asked of it; disabled also clears Error.")
]
Restarts = Annotated[
    int | None, typer.Option("--max-restart", min=0, max=100, metavar="N", help="Restarts on the same node.")
]
Relocations = Annotated[
    int | None, typer.Option("--max-relocate", min=0, max=100, metavar="N", help="Other nodes tried after that.")
]
Failback = Annotated[
    bool | None, typer.Option("--failback/--no-failback", help="Return to a node that a rule prefers.")
]
Comment = Annotated[str | None, typer.Option(metavar="TEXT", help="Free text.")]
SAY_AGAIN_S: Final = 10.0
"""Nobody is to wonder whether a long wait goes on."""
SET_EXAMPLES: Final = (
    "quorate set web --state stopped",
    "quorate set ct:shop/web --max-restart 3 --max-relocate 2",
    'quorate set web -n shop --comment "owned by the shop team"',
)
MIGRATE_EXAMPLES: Final = (
    "quorate migrate vm/win node2 -n shop --wait      live, and how far it has come",
    "quorate migrate ct:shop/web node2 --wait --timeout 2m",
)
RELOCATE_EXAMPLES: Final = ("quorate relocate web node2", "quorate relocate ct:shop/web node2 --wait --timeout 2m")
RESET_EXAMPLES: Final = ("quorate reset ct:shop/web",)


def register(app: typer.Typer, section: str) -> None:
    verb(app, set_guest, name="set", examples=SET_EXAMPLES, section=section)
    verb(app, migrate, examples=MIGRATE_EXAMPLES, section=section)
    verb(app, relocate, examples=RELOCATE_EXAMPLES, section=section)
    verb(app, reset, examples=RESET_EXAMPLES, section=section)


def settings(
    state: Wanted | None,
    max_restart: int | None,
    max_relocate: int | None,
    comment: str | None,
    failback: bool | None = None,
) -> dict[str, Any]:
    """The fields of the spec that were given."""
    found = {
        "state": str(state) if state is not None else None,
        "maxRestart": max_restart,
        "maxRelocate": max_relocate,
        "comment": comment,
        "failback": failback,
    }
    return {field: value for field, value in found.items() if value is not None}


def set_guest(
    session: Session,
    guest: Guest,
    *,
    state: State = None,
    max_restart: Restarts = None,
    max_relocate: Relocations = None,
    failback: Failback = None,
    comment: Comment = None,
) -> None:
    """Change what is asked of a guest (ha-manager set).

    A guest in Error is left alone until it is Disabled or reset: find out why it failed first (quorate status).
    """
    from quorate.access import guests

    wished = settings(state, max_restart, max_relocate, comment, failback)
    if not wished:
        raise UsageError("nothing to set: give --state, --max-restart, --max-relocate, --failback or --comment")
    say(guests.change(session.api, session.guest(guest), wished))


def relocate(
    session: Session,
    guest: Guest,
    node: Target,
    *,
    wait: Wait = False,
    timeout: Timeout = "5m",
) -> None:
    """Stop a guest and start it elsewhere (ha-manager relocate).

    What stands in the way is said before anything is written: an unknown node, one that is not online, cordoned or
    without the guest's storage, or a rule. Those that a rule keeps together with it come along. The guest stays on its
    new node, unless a rule prefers another one and its failback is on.
    """
    _move(session, "relocate", guest, node, wait=wait, timeout=timeout)


def migrate(
    session: Session,
    guest: Guest,
    node: Target,
    *,
    wait: Wait = False,
    timeout: Timeout = "5m",
) -> None:
    """Move a guest to another node (ha-manager migrate).

    A virtual machine moves while it runs. Where that cannot be (a disk that only one node has, a device of its host), or
    comes to nothing, it is relocated, and that is said. A container has no live migration: it is relocated, that is,
    stopped once the new node is ready for it, and started there. What stands in the way is said before anything is
    written, as for relocate.
    """
    _move(session, "migrate", guest, node, wait=wait, timeout=timeout)


def _move(session: Session, verb_: str, guest: str, node: str, *, wait: bool, timeout: str) -> None:
    from quorate.access import guests
    from quorate.access.commands import named

    deadline = Deadline(timeout)
    key = named(session.api, session.guest(guest))
    result = guests.move(session.api, key, verb_, node)
    live = result.startswith("migrating ")
    if not result:
        say(f"{key.sid} runs on {node} already: nothing to do")
        return
    if not wait:
        follows = f"it moves to {node} while it runs" if live else f"it is stopped, then started on {node}"
        say(f"{key.sid}: {result}. Next: {follows}; watch it with quorate status -w")
        return
    note(f"{key.sid}: {result}")
    _await_arrival(session, key, node, deadline, live=live)


def _await_arrival(session: Session, key: GuestKey, node: str, deadline: Deadline, *, live: bool) -> None:
    """Say how far it has come, and so when the guest runs there. `live`: it is to get there while it runs.

    Raises CliError when it ended up elsewhere, or nowhere in time.
    """
    from quorate.access.commands import status_of

    began_s, said, seen = time.monotonic(), ("", 0.0), set[GuestState]()

    def settled(status: "GuestStatus") -> bool:
        nonlocal said
        arrived = status.state is GuestState.STARTED and status.ready and status.target is None
        over = status.state is GuestState.ERROR or arrived
        seen.add(status.state)
        taken_s = time.monotonic() - began_s
        if not over and (status.message != said[0] or taken_s >= said[1] + SAY_AGAIN_S):
            said = (status.message, taken_s)
            note(f"  {taken_s:3.0f}s  {state(status.state)}: {status.message}")
        return over

    status = wait_for(lambda: status_of(session.api, key), settled, deadline)
    if status is None:
        now = status_of(session.api, key)
        raise CliError(
            f"{key.sid} does not run on {node} after {deadline.timeout_s:g}s: it is {now.state}, {now.message}. "
            "See quorate status"
        )
    if status.node != node or status.state is GuestState.ERROR:
        told = status.last_command
        why = f". {told.result}" if told is not None and not told.accepted else ""
        raise CliError(f"{key.sid} did not come to run on {node}: it is {status.state}, {status.message}{why}")
    how = ""
    if isinstance(key, MachineKey):
        moved = live and not seen & {GuestState.RELOCATE, GuestState.STARTING}
        how = ": it moved while it ran" if moved else ": it was stopped and started anew"
    say(f"{key.sid} runs on {node}{how}")


def reset(session: Session, guest: Guest) -> None:
    """Take a guest out of Error and try it anew.

    Its counters begin anew. Find out first why it failed: its last words are in quorate status.
    """
    from quorate.access import guests

    key = session.guest(guest)
    say(f"{key.sid}: {guests.reset(session.api, key)}. Next: it is started again; watch it with quorate status -w")
