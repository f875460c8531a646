"""`spec.rules` of a Cluster: where guests may run."""

from typing import Annotated, Final

from pydantic import Field
from pydantic.config import JsonDict

from quorate.api.common import LabelSelector, Model, Name, ObjectName, Text, rule, schema_extra
from quorate.core.rules import Affinity, Topology

SidText = Annotated[
    str,
    Field(
        max_length=320,
        pattern=r"^([a-z]+:)?[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    ),
]
"""NAMESPACE/NAME of a guest, as in `ct:shop/db`; the kind may be left out."""


class RuleGuests(Model):
    """Whom a rule is about: the guests that are named, and those whose HAResource has these labels."""

    names: Annotated[list[SidText], Field(max_length=128), schema_extra(**{"x-kubernetes-list-type": "set"})] = []
    """Guests by name: NAMESPACE/NAME or ct:NAMESPACE/NAME."""
    selector: LabelSelector | None = None
    """Guests by the labels of their HAResources, in every namespace. Whoever may create HAResources can give them these
    labels. One without requirements selects none."""


class RuleNode(Model):
    """A node and how much it is preferred."""

    name: ObjectName
    """Name of the node."""
    priority: Annotated[int, Field(ge=0, le=1000)] = 0
    """The larger the better."""


class NodeAffinityModel(Model):
    """The guests run on these nodes."""

    nodes: Annotated[
        list[RuleNode],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """The nodes. Among those that can run a guest, the largest priority wins; it returns to a better one (failback)."""
    strict: bool = False
    """True: nowhere else, also at the first start; while none of them can run a guest it waits. False: elsewhere when none
    of them can."""


class GuestAffinityModel(Model):
    """The guests run together, or apart."""

    affinity: Affinity
    """Together: on one node; those that are not, join each other. Apart: never two of them on one node; one that finds no
    node waits."""
    topology: Topology = Topology.NODE
    """Node, or Zone: together in one zone, or apart in different ones (spec.zone of the Node)."""


class RuleModel(Model):
    """One rule: either a nodeAffinity or a guestAffinity."""

    name: Name
    """Names the rule."""
    guests: RuleGuests
    """Whom it is about."""
    node_affinity: NodeAffinityModel | None = None
    """On which nodes they run."""
    guest_affinity: GuestAffinityModel | None = None
    """Whether they run together or apart."""
    disabled: bool = False
    """True: the rule is as good as not there."""
    comment: Text = ""
    """Free text."""


SpecRules = Annotated[
    list[RuleModel],
    Field(
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
RULES_RULES: Final[tuple[JsonDict, ...]] = (
    rule(
        "!has(self.rules) || self.rules.all(r, has(r.nodeAffinity) != has(r.guestAffinity))",
        "each of spec.rules has exactly one of nodeAffinity and guestAffinity",
    ),
    rule(
        "!has(self.rules) || self.rules.all(r, has(r.guests.names) || has(r.guests.selector))",
        "each of spec.rules says whom it is about: guests.names, guests.selector, or both",
    ),
)
