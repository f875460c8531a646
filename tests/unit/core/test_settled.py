"""The shortcut for guests that need no round: taken for one that runs as it should, for none that something is about."""

from dataclasses import replace
from unittest.mock import patch

import pytest

from quorate.core import plan as planning
from quorate.core.plan import plan
from quorate.core.pods import ContainerView
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.status import Condition
from quorate.core.types import GuestKey, GuestState, InstanceId, Instant, NodeName, Nonce, Uid, UpdatePolicy, Wanted
from quorate.core.world import Mount, Template
from tests.unit.core.worlds import KEY, guest, incident, instance, node, pod, world

CONDITIONS = (Condition("Ready", "True", "Started", "runs on n1", Instant(1000), 1),)
DESCRIBED = {"message": "runs on n1", "observed_generation": 1, "conditions": CONDITIONS}


def one(**changes):
    """As it is once it runs and was described, with these changes."""
    return guest(**{**changes, "status": {**DESCRIBED, **changes.get("status", {})}})


PEER = replace(one(), key=GuestKey("default", "peer"), uid=Uid("peer"))
BOTH = Guests((KEY, PEER.key))
DISTURBED = {
    "is apart by rule from one on its node": Rule("apart", BOTH, peers=GuestAffinity(Affinity.APART)),
    "is not where a strict rule allows it": Rule(
        "on", BOTH, nodes=NodeAffinity((NodePriority(NodeName("n2")),), strict=True)
    ),
    "would be better elsewhere": Rule("on", BOTH, nodes=NodeAffinity((NodePriority(NodeName("n2")),))),
}


def ruled(*rules):
    made = world(guests=(one(), PEER))
    return replace(made, cluster=replace(made.cluster, spec=replace(made.cluster.spec, rules=rules)))


@pytest.mark.parametrize("rule", DISTURBED.values(), ids=DISTURBED)
def test_so_does_one_that_a_rule_wants_elsewhere(rule):
    with patch.object(planning, "_one_guest", wraps=planning._one_guest) as long_way:
        made = plan(ruled(rule))
    assert long_way.call_count == 2
    with patch.object(planning, "settled", lambda *_: False):
        assert plan(ruled(rule)) == made


def test_one_that_is_where_its_rules_want_it_needs_no_round():
    with patch.object(planning, "_one_guest", wraps=planning._one_guest) as long_way:
        plan(ruled(Rule("together", BOTH, peers=GuestAffinity(Affinity.TOGETHER))))
    assert long_way.call_count == 0


def rounds(*guests, nodes=None):
    """The plan, and how many guests took the long way to it."""
    with patch.object(planning, "_one_guest", wraps=planning._one_guest) as long_way:
        made = plan(world(nodes=nodes, guests=guests))
    return made, long_way.call_count


def test_a_guest_that_runs_as_it_should_needs_no_round():
    assert rounds(one())[1] == 0


UNSETTLED = {
    "is to be stopped": one(spec={"wanted": Wanted.STOPPED}),
    "is to be left alone": one(spec={"wanted": Wanted.IGNORED}),
    "is being deleted": one(deleting=True),
    "has lost our finalizer": one(held=False),
    "has a command": one(command="c1 relocate n2"),
    "is in trouble": one(trouble="its name is taken"),
    "mounts what may be gone": one(spec={"mounts": (Mount("shared", "/data"),)}),
    "has a new template": one(spec={"template": Template("t2"), "update_policy": UpdatePolicy.RECREATE}),
    "runs an older template": one(status={"instance": instance(template_hash="t0")}),
    "has another spec": one(generation=2),
    "was never described": one(status={"conditions": ()}),
    "was stalled": one(status={"conditions": (replace(CONDITIONS[0], type="Stalled"),)}),
    "said something else": one(status={"message": "waiting for n1"}),
    "has counters": one(status={"restarts": 1}),
    "had failed elsewhere": one(status={"failed_nodes": (NodeName("n2"),)}),
    "is not ready any more": one(pod=pod(ready=False)),
    "is ready at last": one(status={"ready": False}),
    "has no Pod": one(pod=None),
    "has another Pod": one(pod=pod(uid=Uid("pod-2"))),
    "has the Pod of another instance": one(pod=pod(instance=InstanceId("i2"))),
    "has a Pod that is being deleted": one(pod=pod(deleting=True)),
    "has a Pod that was declared over": one(pod=pod(phase="Failed")),
    "has ended": one(pod=pod(containers=(ContainerView("main", state="terminated", started=True, exit_code=1),))),
    "has lost one of its containers": one(
        pod=pod(
            containers=(
                ContainerView("main", state="running", started=True),
                ContainerView("log", state="terminated", started=True, exit_code=1),
            )
        )
    ),
    "is recorded as ended": one(status={"instance": instance(ended="it has terminated")}),
    "is being stopped": one(status={"instance": instance(stopping=True)}),
    "is not recorded as started": one(status={"instance": instance(started=False)}),
    "has no instance": one(status={"instance": None}),
    "is on a node without a CR": one(status={"instance": instance("n9")}),
    "is about to be moved": one(status={"target": NodeName("n2")}),
    "is in another state": one(status={"state": GuestState.STARTING}),
}


@pytest.mark.parametrize("found", UNSETTLED.values(), ids=UNSETTLED)
def test_one_that_something_is_about_takes_the_long_way(found):
    assert rounds(found)[1] == 1


def test_so_does_every_guest_of_a_node_that_may_be_lost():
    lost = node("n1", status={"incident": incident("n1", nonce=Nonce("n1.1"))}, beat=None, lease_missing_s=900.0)
    made, long_way = rounds(one(), nodes=(lost, node("n2"), node("n3")))
    assert long_way == 1
    assert any(write.ref.kind == "HAResource" for write in made.statuses)


@pytest.mark.parametrize("found", [one(), *UNSETTLED.values()], ids=["settled", *UNSETTLED])
def test_the_plan_is_the_same_by_either_way(found):
    made = plan(world(guests=(found,)))
    with patch.object(planning, "settled", lambda *_: False):
        assert plan(world(guests=(found,))) == made
