"""`quorate cluster`: make one, and say how many votes there are when nodes are lost for good."""

from typing import Annotated, Any, Final

import typer

from quorate.access.errors import CliError, ConflictError, UsageError
from quorate.cli.ask import confirm
from quorate.cli.help import Verbs
from quorate.cli.options import ClusterName, Yes
from quorate.cli.output import say
from quorate.cli.session import Session, verb
from quorate.core.timing import PROFILES, Profile, seconds
from quorate.core.types import GROUP, VERSION, WatchdogKind
from quorate.kube.resources import CLUSTERS

DEFAULT_WATCHDOGS: Final = (WatchdogKind.HARDWARE, WatchdogKind.SOFTDOG)
PROFILES_TABLE: Final = (
    "PROFILE    guests of a dead node     the API server may be away for so long,",
    "           are released after        then armed nodes reset themselves",
    "auto       balanced with three or more API servers, else relaxed",
    *(
        f"{profile.lower():<10} {seconds(timing.release_after_s):<25} {seconds(timing.watchdog_s)}"
        for profile, timing in PROFILES.items()
    ),
    "",
    "KIND       hardware or softdog (always trusted), virtualhardware, virtualsoftdog,",
    "           external (lab and kind)",
)
CREATE_EXAMPLES: Final = (
    "quorate cluster create prod",
    "quorate cluster create rack2 --node-selector rack=2 --profile balanced",
    "quorate cluster create lab --accept-watchdog external",
)
QUORUM_EXAMPLES: Final = (
    "quorate cluster quorum                          what is set",
    "quorate cluster quorum --wait-for-all --last-man-standing 10s",
    "quorate cluster quorum --device third-room      (pvecm qdevice setup)",
    "quorate cluster quorum --device off",
)
ACCEPT_EXAMPLES: Final = ("quorate cluster accept-history",)
EXPECTED_EXAMPLES: Final = ('quorate cluster expected 1 --reason "node1 and node2 burnt down"',)


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    verb(group, create, table=PROFILES_TABLE, examples=CREATE_EXAMPLES)
    verb(group, expected, examples=EXPECTED_EXAMPLES)
    verb(group, quorum, examples=QUORUM_EXAMPLES)
    verb(group, accept_history, name="accept-history", examples=ACCEPT_EXAMPLES)
    app.add_typer(
        group, name="cluster", rich_help_panel=section, help="Make a Cluster, or change what its quorum counts with."
    )


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Cluster.")],
    *,
    profile: Annotated[
        Profile, typer.Option(case_sensitive=False, metavar="PROFILE", help="How fast a dead node is found out.")
    ] = Profile.AUTO,
    node_selector: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only nodes with this label join; repeatable.")
    ] = None,
    accept_watchdog: Annotated[
        list[WatchdogKind] | None,
        typer.Option(case_sensitive=False, metavar="KIND", help="Trust this kind of watchdog as well; repeatable."),
    ] = None,
) -> None:
    """Make a Cluster (pvecm create).

    A Cluster is a set of nodes that vote together. Every node without a control-plane taint joins by itself, or those
    that --node-selector names. The same as applying a Cluster object.
    """
    if profile is Profile.CUSTOM:
        raise UsageError("--profile custom: times of your own have no options. Apply a Cluster with spec.timing.custom")
    spec: dict[str, Any] = {"timing": {"profile": str(profile)}}
    if node_selector:
        spec["nodeSelector"] = {"matchLabels": labels(node_selector)}
    if accept_watchdog:
        kinds = dict.fromkeys([*DEFAULT_WATCHDOGS, *accept_watchdog])
        spec["fencing"] = {"acceptedWatchdogs": [str(kind) for kind in kinds]}
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Cluster", "metadata": {"name": name}, "spec": spec}
    try:
        session.api.create(CLUSTERS.path(), body)
    except ConflictError as error:
        raise CliError(
            f"Cluster {name} exists already. See it with quorate status, change it with kubectl edit qc {name}"
        ) from error
    who = "every node that matches" if node_selector else "every worker node"
    say(f"Cluster {name} is created. Next: {who} joins and votes; watch it with quorate status -w")


def labels(pairs: list[str], option: str = "--node-selector") -> dict[str, str]:
    """`KEY=VALUE`, several with commas. Raises UsageError."""
    found = {}
    for pair in (part for text in pairs for part in text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{option}: {pair!r} is not KEY=VALUE. Write for example rack=2")
        found[key] = value
    return found


def expected(
    session: Session,
    votes: Annotated[int, typer.Argument(metavar="N", min=1, help="The number of votes to count with.")],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the Cluster and its events.")],
    cluster: ClusterName = None,
    yes: Yes = False,
) -> None:
    """Say how many votes there are (pvecm expected).

    For when nodes are lost for good: without a majority HA does nothing. If the missing nodes will not come back
    soon, this lets the rest act: their guests recover here, once each node is proven dead. It is refused while a
    real majority lives, and it ends by itself when one lives again; after that it takes a new command.
    """
    from quorate.access import expected as override

    found = override.look(session.api, cluster)
    override.refuse(found, votes)
    confirm(override.meaning(found, votes), f"Count Cluster {found.name} with {votes} expected votes?", yes=yes)
    generation = override.write(session.api, found.name, votes, reason)
    say(override.outcome(session.api, found.name, votes, generation))


def quorum(
    session: Session,
    *,
    wait_for_all: Annotated[
        bool | None, typer.Option(help="After a start of the whole Cluster, wait until all votes are heard at once.")
    ] = None,
    auto_tie_breaker: Annotated[
        bool | None, typer.Option(help="Let the half with the lowest name of the last majority go on.")
    ] = None,
    tie_breaker: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="Break ties by this node instead; repeatable, in order.")
    ] = None,
    last_man_standing: Annotated[
        str | None, typer.Option(metavar="WINDOW|off", help="Count anew with those left after this time.")
    ] = None,
    two_node: Annotated[bool | None, typer.Option(help="Let one of two nodes go on.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME|off", help="Count the vote of a quorum device (pvecm qdevice).")
    ] = None,
    device_votes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many votes it has; as many as the nodes less one.")
    ] = None,
    cluster: ClusterName = None,
) -> None:
    """Say how votes are counted (the options of votequorum).

    Without options it says what is set. What the votes do not allow is a condition of the Cluster: quorate status -v.
    """
    from quorate.cli import quorum as options

    changes = options.patch(
        wait_for_all=wait_for_all,
        auto_tie_breaker=auto_tie_breaker,
        tie_breaker=tie_breaker,
        last_man_standing=last_man_standing,
        two_node=two_node,
        device=device,
        device_votes=device_votes,
    )
    name, wished = options.change(session, cluster, changes)
    next_step = "Next: see what it makes of them with quorate status -v" if changes else "Drawn: quorate status -v"
    say(f"Cluster {name}: options of quorum: {options.words(wished)}. {next_step}")


def accept_history(session: Session, *, cluster: ClusterName = None, yes: Yes = False) -> None:
    """Accept the store as it is after a restore.

    When etcd, or Quorate's objects, were restored, what they say of guests may be long over: nothing is done until a
    person has looked at what really runs where, and says so with this. Then every node renews once, and work goes on
    from what is recorded.
    """
    from quorate.cli import rewind as past

    found = past.look(session, cluster)
    confirm(past.meaning(found), f"Go on in Cluster {found.name} from what is recorded now?", yes=yes)
    past.write(session, found)
    say(f"Cluster {found.name}: {found.rewind.id} is accepted. Next: every node renews its Lease; quorate status -w")
