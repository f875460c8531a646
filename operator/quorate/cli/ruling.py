"""The work behind `quorate rules`: options -> a rule, judged with the others before it is written."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from quorate.access import ruled
from quorate.access.errors import CliError, ConflictError, UsageError
from quorate.access.names import nearest, the_cluster
from quorate.api import parse
from quorate.cli.clusters import labels
from quorate.kube.resources import CLUSTERS
from quorate.view.rules import says, sid

if TYPE_CHECKING:
    from quorate.cli.session import Session

Raw = dict[str, Any]
Rules = list[Raw]


@dataclass(frozen=True, slots=True)
class Wish:
    """What was said on the command line; None or False: nothing."""

    guests: list[str] | None = None
    selector: list[str] | None = None
    nodes: list[str] | None = None
    strict: bool | None = None
    together: bool = False
    apart: bool = False
    by_zone: bool | None = None
    disabled: bool | None = None
    comment: str | None = None


def new(session: "Session", name: str, wish: Wish) -> Raw:
    """A whole rule. Raises UsageError when it says too little or too much."""
    if not wish.guests and not wish.selector:
        raise UsageError(f"rule {name}: whom is it about? Give --guests GUEST,GUEST or --selector KEY=VALUE")
    if not (wish.nodes or wish.together or wish.apart):
        raise UsageError(f"rule {name}: what is wished of them? Give --nodes NODE,NODE, --together or --apart")
    return _merged(session, {"name": name}, wish)


def added(rules: Rules, raw: Raw) -> Rules:
    """Raises CliError when there is one of that name."""
    if any(one["name"] == raw["name"] for one in rules):
        raise CliError(
            f"there is a rule {raw['name']} already. Change it with quorate rules set, see quorate rules list"
        )
    return [*rules, raw]


def changed(session: "Session", rules: Rules, name: str, wish: Wish) -> Rules:
    """With that rule changed."""
    return [_merged(session, one, wish) if one["name"] == name else one for one in rules]


def find(session: "Session", cluster: str | None, name: str) -> Raw:
    """The rule of that name. Raises CliError."""
    return _named(_rules(the_cluster(session.api.items(CLUSTERS.path()), cluster)), name)


def in_words(raw: Raw) -> str:
    """Whom it is about, and what is wished of them."""
    guests = raw.get("guests") or {}
    exact = (guests.get("selector") or {}).get("matchLabels") or {}
    whom = [*map(sid, guests.get("names") or ()), *(f"{key}={value}" for key, value in sorted(exact.items()))]
    return f"{', '.join(whom)} {says(raw)}"


def write(session: "Session", cluster: str | None, name: str, edit: Callable[[Rules], Rules]) -> list[str]:
    """Write the edited rules, unless rule `name` would then be ignored; what else is to be said of it. Raises CliError."""
    again = Retrying(retry=retry_if_exception_type(ConflictError), stop=stop_after_attempt(5), reraise=True)
    return again(_write_once, session, cluster, name, edit)


def _write_once(session: "Session", cluster: str | None, name: str, edit: Callable[[Rules], Rules]) -> list[str]:
    raw = the_cluster(session.api.items(CLUSTERS.path()), cluster)
    before = _rules(raw)
    after = edit(before)
    if after == before:
        _named(before, name)
        raise CliError(f"rule {name}: it is so already, nothing was changed")
    body = deepcopy(dict(raw))
    body.setdefault("spec", {})["rules"] = after
    told = _judge(session, body, name)
    metadata = {"resourceVersion": raw["metadata"]["resourceVersion"]} if "resourceVersion" in raw["metadata"] else {}
    session.api.merge(CLUSTERS.path(raw["metadata"]["name"]), {"metadata": metadata, "spec": {"rules": after}})
    return told


def check(session: "Session", cluster: str | None) -> tuple[list[str], int]:
    """What is wrong with the rules as they stand, and how many are in use. Raises CliError."""
    raw = dict(the_cluster(session.api.items(CLUSTERS.path()), cluster))
    try:
        book = ruled.judged(session.api, raw)
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error
    if book is None:
        raise CliError("rules can be judged only by who may list guests and nodes in all namespaces")
    return [*(f"ignored: {one.text}" for one in book.ignored), *book.troubles], book.total


def _judge(session: "Session", body: Raw, name: str) -> list[str]:
    try:
        book = ruled.judged(session.api, body)
    except parse.UnreadableError as error:
        raise CliError(str(error)) from error
    if book is None:
        return [
            "it could not be judged here (you may not list all guests): see quorate rules list for what becomes of it"
        ]
    against = ruled.about(book, name)
    if against is not None:
        raise CliError(f"refused: {against.text}")
    return [one for one in book.troubles if one.startswith(f"rule {name} ")]


def _rules(raw: Any) -> Rules:
    return list((raw.get("spec") or {}).get("rules") or ())


def _named(rules: Rules, name: str) -> Raw:
    for one in rules:
        if one["name"] == name:
            return one
    known = sorted(str(one["name"]) for one in rules)
    raise CliError(f"no rule is named {name!r} (rules: {', '.join(known) or 'none'}){nearest(name, known)}")


def _merged(session: "Session", raw: Raw, wish: Wish) -> Raw:
    """The rule with what was said put in. Raises UsageError for two wishes at once."""
    kinds = [
        word
        for word, given in (("--nodes", wish.nodes), ("--together", wish.together), ("--apart", wish.apart))
        if given
    ]
    if len(kinds) > 1:
        raise UsageError(f"rule {raw['name']}: {' and '.join(kinds)} do not go together; make two rules of it")
    rule = deepcopy(raw)
    guests = rule.setdefault("guests", {})
    if wish.guests:
        guests["names"] = [session.guest(one).sid for one in _parts(wish.guests)]
    if wish.selector:
        guests["selector"] = {"matchLabels": labels(wish.selector, "--selector")}
    if wish.nodes:
        rule.pop("guestAffinity", None)
        rule["nodeAffinity"] = {**rule.get("nodeAffinity", {}), "nodes": [_node(one) for one in _parts(wish.nodes)]}
    if wish.together or wish.apart:
        rule.pop("nodeAffinity", None)
        affinity = "Together" if wish.together else "Apart"
        rule["guestAffinity"] = {**rule.get("guestAffinity", {}), "affinity": affinity}
    _put(rule, "nodeAffinity", "strict", wish.strict, "--strict belongs to --nodes")
    topology = {True: "Zone", False: "Node", None: None}[wish.by_zone]
    _put(rule, "guestAffinity", "topology", topology, "--by-zone belongs to --together or --apart")
    if wish.disabled is not None:
        rule["disabled"] = wish.disabled
    if wish.comment is not None:
        rule["comment"] = wish.comment
    return rule


def _put(rule: Raw, kind: str, field: str, value: object, complaint: str) -> None:
    if value is None:
        return
    if kind not in rule:
        raise UsageError(f"rule {rule['name']}: {complaint}")
    rule[kind][field] = value


def _parts(texts: Sequence[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _node(text: str) -> Raw:
    name, colon, priority = text.partition(":")
    if colon and not priority.isdecimal():
        raise UsageError(f"--nodes: {text!r} is not NODE or NODE:PRIORITY. Write for example node1:2")
    return {"name": name, "priority": int(priority)} if colon else {"name": name}
