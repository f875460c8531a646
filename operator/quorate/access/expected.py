"""`cluster expected N`: what the override would mean, whether it is refused, and writing it under a new generation.

The manager judges it again, on its own count; refusing here, before anything is written, spares a person an override that
lies in the spec and does nothing.
"""

from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from quorate.access.commands import cluster_status
from quorate.access.errors import CliError, ConflictError
from quorate.access.gather import gather
from quorate.access.names import the_cluster
from quorate.access.waiting import ANSWER, Deadline, wait_for
from quorate.core.override import OverrideState
from quorate.core.quorum import Rule, majority
from quorate.core.status import ClusterStatus
from quorate.kube.resources import CLUSTERS
from quorate.view import words
from quorate.view.build import build
from quorate.view.report import ClusterReport
from quorate.view.votes import largest_total

if TYPE_CHECKING:
    from quorate.access.client import Api


def look(api: "Api", wanted: str | None) -> ClusterReport:
    """The Cluster that is meant, as it is now. Raises CliError."""
    snapshot = gather(api)
    name = str(the_cluster(snapshot.clusters, wanted)["metadata"]["name"])
    report = build(snapshot, api.now())
    return next(cluster for cluster in report.clusters if cluster.name == name)


def refuse(cluster: ClusterReport, votes: int) -> None:
    """Raise CliError, with the arithmetic, when the override is not needed or would not help."""
    total, live = cluster.votes.total, cluster.votes.live
    who = f"refused: Cluster {cluster.name}"
    if not total:
        raise CliError(f"{who}: no manager has counted its votes yet. See quorate status")
    needed = majority(total)
    if cluster.votes.rule is Rule.WAITING_FOR_ALL:
        if votes > live:
            raise CliError(
                f"{who}: it waits until all votes have been heard at once, and {live} are: with {votes} expected it would "
                f"go on waiting. At most {live} would do"
            )
        return
    if live >= needed:
        raise CliError(
            f"{who}: a real majority is alive: {live} of {total} votes, and floor({total} / 2) + 1 = {needed} are enough. "
            "Nothing needs an override"
        )
    if not live:
        raise CliError(f"{who}: none of its {total} votes is alive, so no number would make it quorate")
    if live < majority(votes):
        raise CliError(
            f"{who}: with {votes} expected votes floor({votes} / 2) + 1 = {majority(votes)} are needed, and {live} "
            f"{'is' if live == 1 else 'are'} alive: it would not become quorate. At most {largest_total(live)} would do"
        )


def meaning(cluster: ClusterReport, votes: int) -> list[str]:
    """What it is about to change, in lines."""
    total, live = cluster.votes.total, cluster.votes.live
    lost = [node for node in cluster.nodes if not node.heard and node.votes]
    named = ", ".join(f"{node.name} ({words.plural(node.guests, 'guest')})" for node in lost) or "none by name"
    lines = [
        f"Cluster {cluster.name}: {live} of {total} votes live, floor({total} / 2) + 1 = {majority(total)} needed: no HA.",
        f"With {votes} expected: floor({votes} / 2) + 1 = {majority(votes)} needed: HA acts again, without a majority.",
        f"Not heard from: {named}. Their guests recover elsewhere once each node is proven dead.",
        f"It ends by itself as soon as {majority(total)} of {total} votes live again.",
    ]
    if cluster.votes.rule is Rule.WAITING_FOR_ALL:
        lines[:2] = [
            f"Cluster {cluster.name}: {live} of {total} votes live, and it waits until all have been heard at once: no HA.",
            f"With {votes} expected it waits for nobody else: HA acts, and from then on a majority decides.",
        ]
    if cluster.manager.silent:
        lines.append("! No manager leads now: this count may be old, and the override waits until one leads.")
    return lines


def write(api: "Api", name: str, votes: int, reason: str) -> int:
    """Write the override under the next generation and return that. Refuses anew if the votes have changed."""
    again = Retrying(retry=retry_if_exception_type(ConflictError), stop=stop_after_attempt(5), reraise=True)
    return again(_write_once, api, name, votes, reason)


def _write_once(api: "Api", name: str, votes: int, reason: str) -> int:
    path = CLUSTERS.path(name)
    raw = api.get(path)
    refuse(look(api, name), votes)
    generation = _last_generation(raw) + 1
    wish = {"votes": votes, "reason": reason, "generation": generation}
    version = raw["metadata"]["resourceVersion"]
    api.merge(path, {"metadata": {"resourceVersion": version}, "spec": {"quorum": {"expectedVotes": wish}}})
    return generation


def _last_generation(raw: dict[str, Any]) -> int:
    """The largest that was ever used: one may be gone from the spec and still be remembered in the status."""
    wish = ((raw.get("spec") or {}).get("quorum") or {}).get("expectedVotes") or {}
    override = (raw.get("status") or {}).get("override") or {}
    return max(int(wish.get("generation", 0)), int(override.get("generation", 0)))


def outcome(api: "Api", name: str, votes: int, generation: int) -> str:
    """What the manager made of it. Raises CliError when it refused."""

    def answered(seen: ClusterStatus) -> bool:
        return seen.override is not None and seen.override.generation >= generation

    status = wait_for(lambda: cluster_status(api, name), answered, Deadline(ANSWER))
    written = f"Cluster {name}: expected votes are {votes} (generation {generation})"
    if status is None or status.override is None:
        return f"{written}. No manager has answered within {ANSWER}; it counts when one does: quorate status -w"
    if status.override.state is OverrideState.REFUSED:
        raise CliError(f"{written}, and the manager refused it: a real majority lives ({status.message})")
    return f"{written} and in force. Next: {status.message}"
