"""Where may a guest run, and where best? Hard filters, then rules, each rejection with its reason; then the load.

Setting `nodeName` bypasses the Kubernetes scheduler, so its filters are checked here as well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from quorate.core.actions import Rejection
from quorate.core.board import NO_WISH, Wish
from quorate.core.guard import watchdog_problem, without_watchdog
from quorate.core.quick import quick
from quorate.core.rules import LAST
from quorate.core.selectors import untolerated
from quorate.core.storage import reach_of
from quorate.core.types import Content, NodeName, NodeState
from quorate.core.world import ClusterSpec, GuestSpec, KubeNode, NodeView, StorageView

MISSING = "Missing"
"""State of a Storage whose claim or class does not exist."""


@quick
@dataclass(frozen=True, slots=True)
class Candidate:
    """A member and what the plan so far says of it: its state after this round, and how many guests it carries.

    `slow_to_arm`: it was asked to arm its watchdog long ago and has not. `failed_to_arm`: that was so, and it has not
    armed since; such a node is the last resort, or two of them would be tried in turn for ever and a good one never.
    """

    view: NodeView
    state: NodeState
    guests: int
    slow_to_arm: bool = False
    failed_to_arm: bool = False


Refusal: TypeAlias = Callable[[Candidate], str | None]
Rating: TypeAlias = Callable[[Sequence[NodeName]], Mapping[NodeName, float]]
"""The higher the better."""


@quick
@dataclass(frozen=True, slots=True)
class Choice:
    """The node chosen (None: none fits) and why each other one was not allowed."""

    node: NodeName | None
    rejections: tuple[Rejection, ...]

    @property
    def reasons(self) -> str:
        """All rejections in one sentence, equal reasons together."""
        together: dict[str, list[str]] = {}
        for rejection in self.rejections:
            together.setdefault(rejection.reason, []).append(rejection.node)
        return "; ".join(f"{', '.join(nodes)}: {reason}" for reason, nodes in together.items())


def choose(
    candidates: Iterable[Candidate],
    refusal: Refusal,
    *,
    prefer: NodeName | None = None,
    stays: bool = True,
    avoid: tuple[NodeName, ...] = (),
    wish: Wish = NO_WISH,
    rating: Rating | None = None,
) -> Choice:
    """The allowed node where its company is, then `prefer`, then by priority, by load, with the fewest guests, by name.

    A guest that would go back to a higher priority at once (`stays` False: it fails back) is put there to begin with.
    Those that failed to arm come last. `refusal`: why it may not start on a node, whatever the rules say. `avoid`: nodes
    on which it failed. `wish`: what the rules say. A priority is an order among what is allowed, so it never leaves a
    guest without a node. `rating`: of nodes that are equal so far, how good a choice each is for the load.
    """
    allowed = []
    rejections = []
    for candidate in candidates:
        reason = refusal(candidate) or wish.forbidden.get(candidate.view.name)
        if reason is None and candidate.view.name in avoid:
            reason = "it failed there"
        if reason is None:
            allowed.append(candidate)
        else:
            rejections.append(Rejection(candidate.view.name, reason))
    best = lightest(_first(allowed, prefer, wish, stays=stays), rating)
    return Choice(best.view.name if best else None, tuple(rejections))


def _first(allowed: Sequence[Candidate], prefer: NodeName | None, wish: Wish, *, stays: bool) -> Sequence[Candidate]:
    """Those that come first, whatever their load."""

    def rank(one: Candidate) -> tuple[bool, int, int, bool, int, bool]:
        name = one.view.name
        here, near = wish.company.get(name, (0, 0))
        other = name != prefer
        return one.failed_to_arm, -here, -near, stays and other, -wish.priority.get(name, LAST), other

    ranks = [rank(one) for one in allowed]
    first = min(ranks, default=None)
    return [one for one, its in zip(allowed, ranks, strict=True) if its == first]


def lightest(equals: Sequence[Candidate], rating: Rating | None) -> Candidate | None:
    """Of nodes that are equal in all else: the best for the load, then with the fewest guests, ties by name."""
    if rating is None or len(equals) < 2:
        return min(equals, key=_by_number, default=None)
    scores = rating([one.view.name for one in equals])
    return min(equals, key=lambda one: (-scores[one.view.name], *_by_number(one)))


def _by_number(one: Candidate) -> tuple[int, NodeName]:
    return one.guests, one.view.name


def rejection(
    spec: GuestSpec,
    candidate: Candidate,
    storages: Mapping[str, StorageView],
    cluster: ClusterSpec,
) -> str | None:
    """Why this guest may not start on this node, None if it may."""
    view = candidate.view
    if view.deleting:
        return "it is leaving the cluster"
    if candidate.state is not NodeState.ONLINE:
        drains = candidate.state is NodeState.MAINTENANCE
        return f"it is {'in ' if drains else ''}{candidate.state.lower()}"
    if view.kube is None:
        return "Kubernetes does not know it"
    if _goes_down(view):
        return "its host goes down"
    if view.status.reset_request is not None:
        return "it is asked to reset itself"
    if candidate.slow_to_arm:
        return "it was asked to arm its watchdog and has not"
    return _kubernetes(spec, view.kube) or _storage(spec, view, view.kube, storages) or _guard(view, cluster)


def _goes_down(view: NodeView) -> bool:
    beat = view.beat
    return beat is not None and beat.attestation is not None and bool(beat.attestation.going)


def _kubernetes(spec: GuestSpec, kube: KubeNode) -> str | None:
    template = spec.template
    if not kube.ready:
        return "its kubelet is not ready"
    cordon = next((t for t in kube.taints if t.key == "node.kubernetes.io/unschedulable"), None)
    if kube.unschedulable and cordon is None:
        return "it is cordoned"
    taint = untolerated(kube.taints, template.tolerations)
    if taint is not None:
        return "it is cordoned" if taint is cordon else f"taint {taint} is not tolerated"
    for key, value in template.node_selector:
        if kube.labels.get(key) != value:
            return f"nodeSelector {key}={value} does not match"
    terms = template.node_terms
    if terms is not None and not any(term.matches(kube.labels, kube.name) for term in terms):
        return f"required node affinity ({' or '.join(str(term) for term in terms) or 'no term'}) does not match"
    return None


def _storage(spec: GuestSpec, view: NodeView, kube: KubeNode, storages: Mapping[str, StorageView]) -> str | None:
    """What is known of no agent forbids nothing: it may be an older one, or about to look."""
    for mount in spec.mounts:
        storage = storages.get(mount.storage)
        if storage is None:
            continue
        if storage.nodes is not None and not storage.nodes.matches(kube.labels):
            return f"storage {mount.storage} is not there (nodes: {storage.nodes})"
        reach = reach_of(view.reach, storage.uid)
        if reach is not None and not reach.reached:
            return f"it does not reach storage {mount.storage} ({reach.why or 'no reason given'})"
    return None


def _guard(view: NodeView, cluster: ClusterSpec) -> str | None:
    """A node that cannot prove its death must not run guests."""
    problem = watchdog_problem(view, cluster.accepted_watchdogs)
    return problem if problem and not without_watchdog(view, cluster) else None


def storage_problem(spec: GuestSpec, namespace: str, storages: Mapping[str, StorageView]) -> str | None:
    """What is wrong with the storage a guest asks for, with the remedy; None if nothing is."""
    for index, mount in enumerate(spec.mounts):
        field = f"spec.storage[{index}].name"
        storage = storages.get(mount.storage)
        if storage is None:
            known = ", ".join(sorted(storages)) or "there is none"
            return f"{field}: no Storage is named {mount.storage!r} (known: {known})"
        if storage.disabled:
            return f"{field}: Storage {mount.storage} is disabled: set its spec.disabled to false"
        if storage.deleting:
            return f"{field}: Storage {mount.storage} is being deleted: name another one"
        if storage.status.state == MISSING:
            return f"{field}: {storage.status.message}"
        if namespace not in storage.namespaces:
            return (
                f"{field}: Storage {mount.storage} does not allow namespace {namespace}: "
                "add it to the Storage's spec.allowedNamespaces"
            )
        if not {Content.ROOT_DIR, Content.ISO} & set(storage.content):
            return (
                f"{field}: Storage {mount.storage} has content {', '.join(storage.content)}, and a container needs RootDir "
                "(or ISO, read-only): add it to the Storage's spec.content or name another one"
            )
        if storage.claim is not None and storage.claim[0] != namespace:
            return (
                f"{field}: Storage {mount.storage} is the claim {'/'.join(storage.claim)}, and a claim can be mounted "
                f"in its own namespace only: move the guest to {storage.claim[0]} or name a claim in {namespace}"
            )
    return None
