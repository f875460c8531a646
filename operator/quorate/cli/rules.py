"""`quorate rules`: where guests may run (ha-manager rules)."""

from typing import Annotated, Final

import typer

from quorate.access.errors import UsageError
from quorate.cli import completion
from quorate.cli.ask import confirm
from quorate.cli.help import Verbs
from quorate.cli.options import ClusterName, Yes
from quorate.cli.output import Format, Output, PveFormat, PveOutput, console, data, note, say
from quorate.cli.session import Session, verb
from quorate.core.conditions import plural

LIST_EXAMPLES: Final = (
    "quorate rules list                 every rule, and whether it is in use",
    "quorate rules list -o json",
)
CONFIG_EXAMPLES: Final = (
    "quorate rules config               the rules as they stand in the Cluster",
    "quorate rules config -o pve        the lines of Proxmox VE's rules.cfg",
)
ADD_EXAMPLES: Final = (
    "quorate rules add db-apart --guests shop/db-0,shop/db-1 --apart",
    "quorate rules add web-with-cache --guests shop/web,shop/cache --together",
    "quorate rules add db-on-ssd --selector tier=db --nodes node1:2,node2:1",
    "quorate rules add licensed --guests shop/erp --nodes node3 --strict",
    "quorate rules add sites --selector app=dns --apart --by-zone",
)
SET_EXAMPLES: Final = (
    "quorate rules set db-on-ssd --nodes node1:2,node3:1",
    "quorate rules set db-apart --disable",
)
REMOVE_EXAMPLES: Final = ("quorate rules remove db-apart",)

Name = Annotated[str, typer.Argument(autocompletion=completion.rules, metavar="RULE", help="Name of the rule.")]
GuestNames = Annotated[
    list[str] | None, typer.Option("--guests", metavar="GUEST,...", help="Whom it is about, by name; repeatable.")
]
Selector = Annotated[
    list[str] | None, typer.Option("--selector", metavar="KEY=VALUE", help="Or by label; repeatable, all must match.")
]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--nodes", metavar="NODE[:PRIORITY],...", help="They run on these nodes; the larger the better."),
]
Strict = Annotated[bool | None, typer.Option("--strict/--no-strict", help="On no other node, whatever happens.")]
Together = Annotated[bool, typer.Option("--together", help="They run on one node.")]
Apart = Annotated[bool, typer.Option("--apart", help="Never two of them on one node.")]
ByZone = Annotated[bool | None, typer.Option("--by-zone/--by-node", help="Together or apart by zone, not by node.")]
Disabled = Annotated[bool | None, typer.Option("--disable/--enable", help="As good as not there.")]
Comment = Annotated[str | None, typer.Option(metavar="TEXT", help="Free text.")]


def register(app: typer.Typer, section: str) -> None:
    group = typer.Typer(cls=Verbs, rich_markup_mode=None, no_args_is_help=True)
    verb(group, list_rules, name="list", examples=LIST_EXAMPLES)
    verb(group, config, examples=CONFIG_EXAMPLES)
    verb(group, check)
    verb(group, add, examples=ADD_EXAMPLES)
    verb(group, set_rule, name="set", examples=SET_EXAMPLES)
    verb(group, remove, examples=REMOVE_EXAMPLES)
    app.add_typer(group, name="rules", rich_help_panel=section, help="Say on which nodes guests run, and with whom.")


def list_rules(session: Session, *, output: Output = Format.TABLE) -> None:
    """List the rules, and what has become of each (ha-manager rules list).

    A rule that contradicts others, or that these nodes cannot satisfy, is ignored, and WHY says what to do. Where a
    guest cannot be as a rule wishes for now, quorate status says so.
    """
    from quorate.access.gather import gather
    from quorate.api.wire import to_wire
    from quorate.view.rules import RulesView, rules

    found = rules(gather(session.api))
    if output is Format.TABLE:
        console().print(RulesView(found), soft_wrap=True)
    else:
        say(data({"rules": [to_wire(one) for one in found]}, output))


def config(session: Session, *, output: PveOutput = PveFormat.YAML) -> None:
    """Print the rules as they were written (ha-manager rules config)."""
    from quorate.access.gather import gather
    from quorate.view.rules import RulesView, pve, rules

    snapshot = gather(session.api)
    if output is PveFormat.TABLE:
        console().print(RulesView(rules(snapshot)), soft_wrap=True)
    elif output is PveFormat.PVE:
        say("\n".join(pve(rules(snapshot), snapshot.clusters)))
    else:
        written = {
            raw["metadata"]["name"]: list((raw.get("spec") or {}).get("rules") or ()) for raw in snapshot.clusters
        }
        say(data({"rules": written}, output))


def check(session: Session, *, cluster: ClusterName = None) -> int:
    """Judge the rules as they stand now.

    Exit code 0: every rule is in use, and names only what exists. 1: one is ignored, or names what does not exist.
    """
    from quorate.cli import ruling

    found, count = ruling.check(session, cluster)
    for line in found:
        say(line)
    if not found:
        say(f"{plural(count, 'rule')}, all in use")
    return 1 if found else 0


def add(
    session: Session,
    name: Name,
    *,
    guests: GuestNames = None,
    selector: Selector = None,
    nodes: Nodes = None,
    strict: Strict = None,
    together: Together = False,
    apart: Apart = False,
    by_zone: ByZone = None,
    disabled: Disabled = None,
    comment: Comment = None,
    cluster: ClusterName = None,
) -> None:
    """Add a rule (ha-manager rules add).

    Either --nodes, --together or --apart. It is refused when it contradicts the rules that are there, or when the
    Cluster's nodes cannot satisfy it. Guests that run against the new rule are moved at once, those that it only
    prefers elsewhere after a minute.
    """
    from quorate.cli import ruling

    wish = ruling.Wish(guests, selector, nodes, strict, together, apart, by_zone, disabled, comment)
    raw = ruling.new(session, name, wish)
    told = ruling.write(session, cluster, name, lambda rules: ruling.added(rules, raw))
    _tell(told)
    say(f"rule {name} is added: {ruling.in_words(raw)}. Next: it counts from now on; see quorate rules list")


def set_rule(
    session: Session,
    name: Name,
    *,
    guests: GuestNames = None,
    selector: Selector = None,
    nodes: Nodes = None,
    strict: Strict = None,
    together: Together = False,
    apart: Apart = False,
    by_zone: ByZone = None,
    disabled: Disabled = None,
    comment: Comment = None,
    cluster: ClusterName = None,
) -> None:
    """Change a rule (ha-manager rules set).

    What is given replaces what was there: --guests names all of them anew.
    """
    from quorate.cli import ruling

    wish = ruling.Wish(guests, selector, nodes, strict, together, apart, by_zone, disabled, comment)
    if wish == ruling.Wish():
        raise UsageError(
            "nothing to set: give --guests, --selector, --nodes, --strict, --together, --apart, --disable ..."
        )
    told = ruling.write(session, cluster, name, lambda rules: ruling.changed(session, rules, name, wish))
    _tell(told)
    say(f"rule {name} is changed. Next: it counts from now on; see quorate rules list")


def remove(session: Session, name: Name, *, cluster: ClusterName = None, yes: Yes = False) -> None:
    """Remove a rule (ha-manager rules remove). Guests stay where they are."""
    from quorate.cli import ruling

    raw = ruling.find(session, cluster, name)
    confirm([f"Rule {name}: {ruling.in_words(raw)}."], f"Remove rule {name}?", yes=yes)
    ruling.write(session, cluster, name, lambda rules: [one for one in rules if one["name"] != name])
    say(f"rule {name} is removed. Its guests stay where they are")


def _tell(lines: list[str]) -> None:
    for line in lines:
        note(f"note: {line}")
