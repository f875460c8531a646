"""`spec.quorum` of a Cluster, and what counting writes into its status."""

from typing import Annotated

from pydantic import ConfigDict, Field

from quorate.api.common import DNS_LABEL, Duration, Model, ObjectName, rule
from quorate.core.quorum import Rule

Nodes = Annotated[list[str], Field(max_length=64)]


class ExpectedVotes(Model):
    """How many votes a person says there are (pvecm expected). Refused while a real majority lives; spent once one has
    lived again: acting again takes a larger generation.
    """

    votes: Annotated[int, Field(ge=1, le=3200)]
    """The number of votes to count with."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why; it is kept in the status and in the events."""
    generation: Annotated[int, Field(ge=1, le=2147483647)]
    """A number of your own that grows with every new request, so that an old file never acts twice."""


class LastManStanding(Model):
    """Let those that are left count anew, when some have been silent for the whole window."""

    window: Duration = "10s"
    """How long a smaller Cluster must last before it becomes the whole (votequorum: last_man_standing_window)."""


class QuorumDevice(Model):
    """A vote from outside (QDevice), given by renewing the Lease quorum-device-<name> in quorate-system."""

    name: Annotated[str, Field(min_length=1, max_length=48, pattern=DNS_LABEL)]
    """Its name, and the end of its Lease's name."""
    votes: Annotated[int | None, Field(ge=1, le=100)] = None
    """How many votes it has. Absent: one less than there are nodes, which must then have one vote each, so that one node
    and the device are a majority."""


class QuorumSpec(Model):
    """How votes are counted: the options of corosync's votequorum, and a person's word."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!(has(self.twoNode) && self.twoNode && has(self.device))",
                    "twoNode and device exclude each other: with a device one node and the device are a majority",
                ),
                rule(
                    "!(has(self.twoNode) && self.twoNode && has(self.autoTieBreaker) && self.autoTieBreaker)",
                    "twoNode and autoTieBreaker exclude each other: with twoNode either node may go on",
                ),
                rule(
                    "!(has(self.device) && has(self.autoTieBreaker) && self.autoTieBreaker)",
                    "device and autoTieBreaker exclude each other: the device breaks ties",
                ),
                rule(
                    "!(has(self.device) && has(self.lastManStanding))",
                    "device and lastManStanding exclude each other: the device would outvote the last nodes",
                ),
                rule(
                    "!has(self.autoTieBreakerNodes) || self.autoTieBreakerNodes.size() == 0 || "
                    "(has(self.autoTieBreaker) && self.autoTieBreaker)",
                    "autoTieBreakerNodes belongs to autoTieBreaker: set autoTieBreaker to true, or remove it",
                ),
                rule(
                    "!has(self.lastManStanding) || (has(self.waitForAll) && self.waitForAll)",
                    "lastManStanding needs waitForAll: true, or nodes that were left behind could begin on their own "
                    "after a restart",
                ),
            ]
        }
    )

    expected_votes: ExpectedVotes | None = None
    """An emergency override of the total, for when nodes are lost for good."""
    wait_for_all: bool | None = None
    """After a start of the whole Cluster: not quorate before all votes have been heard at once. Absent: as twoNode."""
    auto_tie_breaker: bool = False
    """With exactly half of the votes: quorate with the tie breaker, the lowest name of the last majority. With an odd
    number of votes it needs waitForAll."""
    auto_tie_breaker_nodes: Annotated[
        list[ObjectName], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = []
    """Who breaks ties instead: the first of these that is heard."""
    last_man_standing: LastManStanding | None = None
    """Count anew with those that are left, as long as they are a majority of what counted before. For nodes with one vote
    each."""
    two_node: bool = False
    """For two nodes with one vote each: one of them is enough, once both have been heard (waitForAll)."""
    device: QuorumDevice | None = None
    """A vote from outside."""


class VotesModel(Model):
    """The count of votes."""

    expected: int = 0
    """The total that counts now: all votes, what expectedVotes says, or what last man standing has left."""
    total: int = 0
    """The votes of all members, and of the device."""
    live: int = 0
    """The votes of those that were heard from."""
    needed: int = 0
    """A majority: floor(expected / 2) + 1; one with twoNode."""
    text: str = ""
    """live/expected."""
    rule: Rule = Rule.MAJORITY
    """What decided: the numbers (Majority, NoMajority) or an option of spec.quorum (TwoNode, TieBreaker, LastManStanding,
    WaitingForAll; OthersStood: those that last man standing left are not these)."""
    tie_breaker: str = ""
    """The node that broke a tie."""


class DeviceModel(Model):
    """The quorum device."""

    name: str
    """Its name."""
    votes: int
    """Its votes."""
    heard: bool
    """Whether it renews its Lease."""


class MemberModel(Model):
    """A node that was heard, in one boot of it."""

    node: str
    """Its name."""
    boot: str = ""
    """Its boot nonce."""


class MemoryModel(Model):
    """What the next count must know of the ones before it, where an option or a person's word needs it."""

    expected: int = 0
    """The total in force."""
    waiting: bool = True
    """Not quorate since the last start of the whole Cluster."""
    left: bool = False
    """A node has left, and the total has not been counted anew."""
    tie_breaker: str = ""
    """The lowest node of the last majority."""
    present: Nodes = []
    """The nodes that were heard last."""
    previous: Nodes = []
    """The nodes that were heard before that."""
    witnesses: Annotated[list[MemberModel], Field(max_length=64)] = []
    """The nodes that were heard when it was quorate last."""
