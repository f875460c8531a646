"""What whoever is signed in may do, as the API server says: what may not be done is not shown.

Asked by reviews of the user's own rights, and kept for a minute. The API server judges every deed again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quorate.access.errors import ForbiddenError, NotFoundError
from quorate.core.types import GROUP

if TYPE_CHECKING:
    from quorate.access.client import Api

REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ASKED: Final = 100
"""So many namespaces are asked about, one by one, where nothing is allowed in all of them."""
READ: Final = ("clusters", "nodes", "haresources", "storages")


@dataclass(frozen=True, slots=True)
class Rights:
    """`clusters`, `nodes`: may they be changed; `fence`: may a person vouch for a node. The others are namespaces, "" for
    all of them: where guests may be given commands, changed, and made.
    """

    clusters: bool = False
    nodes: bool = False
    fence: bool = False
    command: frozenset[str] = frozenset()
    change: frozenset[str] = frozenset()
    create: frozenset[str] = frozenset()

    def may_command(self, namespace: str) -> bool:
        return bool(self.command & {"", namespace})

    def may_change(self, namespace: str) -> bool:
        return bool(self.change & {"", namespace})

    @property
    def may_create(self) -> bool:
        return bool(self.create)


ALL: Final = Rights(True, True, True, frozenset({""}), frozenset({""}), frozenset({""}))


def ask(api: "Api", namespaces: Iterable[str]) -> Rights:
    """The rights of whose login that is. An API server that has no such reviews (the lab's own) forbids nothing."""
    try:
        clusters = _may(api, "patch", GROUP, "clusters")
    except NotFoundError:
        return ALL
    places = sorted(namespaces)[:ASKED]
    nodes = _may(api, "patch", GROUP, "nodes")
    command = _where(api, "patch", GROUP, "haresources", places)
    create = _where(api, "create", GROUP, "haresources", places)
    able = command | create
    pods = _where(api, "create", "", "pods", places if "" in able else sorted(able)) if able else able
    return Rights(
        clusters=clusters,
        nodes=nodes,
        fence=nodes and _may(api, "fence", GROUP, "nodes"),
        command=command,
        change=_both(command, pods),
        create=_both(create, pods),
    )


def refuse_unless_reader(api: "Api") -> None:
    """The page shows all of Quorate's objects: who may not list them is not let in. Raises ForbiddenError, CliError."""
    for kind in READ:
        try:
            allowed = _may(api, "list", GROUP, kind)
        except NotFoundError:
            return
        if not allowed:
            raise ForbiddenError(
                f"this user may not list {kind}.{GROUP}, and the page shows them all. Ask who manages the cluster for the "
                "verb list on clusters, nodes, haresources and storages"
            )


def _both(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if "" in one:
        return other
    return one if "" in other else one & other


def _where(api: "Api", verb: str, group: str, resource: str, places: Iterable[str]) -> frozenset[str]:
    if _may(api, verb, group, resource):
        return frozenset({""})
    return frozenset(place for place in places if _may(api, verb, group, resource, place))


def _may(api: "Api", verb: str, group: str, resource: str, namespace: str = "") -> bool:
    attributes = {"verb": verb, "group": group, "resource": resource}
    if namespace:
        attributes["namespace"] = namespace
    body: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.create(REVIEWS, body, managed=False)
    return bool((answer.get("status") or {}).get("allowed"))
