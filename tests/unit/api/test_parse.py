"""Objects -> views: templates, and objects that cannot be understood."""

import json
from dataclasses import replace

import pytest

from quorate.api import parse
from quorate.core.load import Size
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState
from quorate.core.world import AutoRebalance, Scheduling


def haresource(pod=None, **spec):
    pod = pod if pod is not None else {"containers": [{"name": "web", "image": "nginx:1.29"}]}
    return {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "HAResource",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2},
        "spec": {"guest": {"container": {"spec": pod}}, **spec},
    }


def test_a_guest():
    view = parse.guest(haresource(maxRestart=3, startTimeout="90s", state="Stopped"))
    assert view.key.sid == "ct:shop/web"
    assert (view.spec.max_restart, view.spec.start_timeout_s, view.spec.wanted) == (3, 90, "Stopped")
    assert (view.spec.stop_timeout_s, view.spec.stop_timeout_policy) == (60, "Wait")
    assert (view.resource_version, view.generation, view.deleting, view.held) == ("7", 2, False, False)


def test_the_hash_covers_all_that_makes_the_pod_another_one():
    plain = parse.guest(haresource()).spec.template.hash
    assert parse.guest(haresource(comment="new words", maxRestart=9)).spec.template.hash == plain
    assert parse.guest(haresource({"containers": [{"name": "web", "image": "nginx:1.30"}]})).spec.template.hash != plain
    assert parse.guest(haresource(storage=[{"name": "nfs", "path": "/data"}])).spec.template.hash != plain
    labelled = haresource()
    labelled["spec"]["guest"]["container"]["metadata"] = {"labels": {"a": "b"}}
    assert parse.guest(labelled).spec.template.hash != plain


def test_the_order_of_keys_does_not_make_a_template_another_one():
    one = haresource({"containers": [{"name": "web", "image": "i"}], "hostname": "h"})
    two = haresource({"hostname": "h", "containers": [{"image": "i", "name": "web"}]})
    assert parse.guest(one).spec.template.hash == parse.guest(two).spec.template.hash


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"nodeName": "n1"}, "nodeName is set: Quorate chooses the node"),
        ({"schedulerName": "mine"}, "schedulerName is set"),
        ({"restartPolicy": "Always"}, "restartPolicy is Always: a rebooted kubelet would start it behind"),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            "affinity.podAntiAffinity is required: it is not honoured here",
        ),
    ],
)
def test_fields_that_cannot_be_honoured_are_named_with_their_remedy(field, words):
    problem = parse.guest(haresource({"containers": [], **field})).spec.template.problem
    assert problem.startswith("spec.guest.container.spec.")
    assert words in problem


def test_what_placement_must_know():
    pod = {
        "containers": [{"resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}}],
        "nodeSelector": {"b": "2", "a": "1"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "x", "value": "y", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
                        }
                    ]
                }
            }
        },
    }
    template = parse.guest(haresource(pod)).spec.template
    assert template.node_selector == (("a", "1"), ("b", "2"))
    assert template.size == Size(250, 1 << 30)
    assert str(template.node_terms[0]) == "zone=a, metadata.name=n1"
    assert [one.operator for one in template.tolerations] == ["Exists", "Equal"]


@pytest.mark.parametrize("pod", [{"tolerations": 7}, {"affinity": []}, {"nodeSelector": "ssd"}, {"containers": "web"}])
def test_what_is_no_pod_spec_is_left_to_the_api_server_to_refuse(pod):
    assert parse.guest(haresource(pod)).spec.template.hash


def test_a_spec_that_cannot_be_read_names_object_field_and_finding():
    with pytest.raises(parse.UnreadableError, match=r"HAResource shop/web: spec.maxRestart: .* found 'many'"):
        parse.guest(haresource(maxRestart="many"))


def test_a_status_that_cannot_be_read_is_an_error_too():
    broken = {**haresource(), "status": {"state": "Flying"}}
    with pytest.raises(parse.UnreadableError, match="nothing is done with this object"):
        parse.guest(broken)


def test_what_was_written_is_what_is_read_and_nothing_else():
    status = GuestStatus(state=GuestState.STARTED, restarts=1, message="runs on n1")
    encoded = parse.written("u", status)
    answer = {**haresource(), "status": encoded}
    assert parse.guest(answer).status is status
    assert parse.guest({**answer, "status": json.loads(json.dumps(encoded))}).status is status
    assert parse.guest({**answer, "status": {**encoded, "restarts": 2}}).status == replace(status, restarts=2)
    other = parse.guest({**answer, "metadata": {**answer["metadata"], "uid": "another"}})
    assert other.status is not status
    assert other.status == status


def test_a_cluster_and_its_timing():
    view = parse.cluster(
        {
            "kind": "Cluster",
            "metadata": {"name": "prod", "uid": "u"},
            "spec": {
                "nodeSelector": {
                    "matchLabels": {"ha": "yes"},
                    "matchExpressions": [{"key": "x", "operator": "Exists"}],
                },
                "quorum": {"expectedVotes": {"votes": 1, "reason": "r", "generation": 4}},
                "timing": {"profile": "Custom", "custom": {"renewEvery": "1s", "timeout": "1500ms", "watchdog": "5s"}},
                "fencing": {"acceptedWatchdogs": ["External"]},
                "scheduling": {
                    "mode": "Static",
                    "cpu": "Overcommit",
                    "rebalanceOnStart": True,
                    "autoRebalance": {"threshold": 20, "hold": "1m", "method": "Topsis"},
                },
                "tolerateNodeFailures": 2,
            },
        }
    )
    assert str(view.spec.node_selector) == "ha=yes, x"
    assert view.spec.expected_votes.generation == 4
    assert view.spec.timing.custom.timeout_s == 1.5
    assert view.spec.accepted_watchdogs == ("External",)
    auto = AutoRebalance(threshold=20, margin=10, hold_s=60.0, method="Topsis", max_moves=1)
    assert view.spec.scheduling == Scheduling("Static", "Overcommit", rebalance_on_start=True, auto=auto)
    assert view.spec.tolerate_node_failures == 2


@pytest.mark.parametrize(
    "until", ["2026-01-31T14:00:00Z", "2026-01-31T15:00:00.000000001+01:00", "2026-01-31t14:00:00z"]
)
def test_a_disarm_has_an_end(until):
    wish = {"mode": "Freeze", "reason": "r", "until": until}
    spec = parse.cluster({"kind": "Cluster", "metadata": {"name": "prod"}, "spec": {"disarm": wish}}).spec
    assert spec.disarm.until == 1769868000000


def test_an_end_that_is_no_time_is_named():
    wish = {"mode": "Freeze", "reason": "r", "until": "soon"}
    with pytest.raises(parse.UnreadableError, match=r"Cluster prod: spec\.disarm\.until: 'soon' is no time"):
        parse.cluster({"kind": "Cluster", "metadata": {"name": "prod"}, "spec": {"disarm": wish}})


def test_an_empty_cluster_has_the_defaults():
    spec = parse.cluster({"kind": "Cluster", "metadata": {"name": "prod"}, "spec": {}}).spec
    assert spec.node_selector is None
    assert spec.timing.profile == "Auto"
    assert spec.accepted_watchdogs == ("Hardware", "Softdog")
    assert spec.scheduling == Scheduling("Basic", "Limit", rebalance_on_start=False)


def test_nodes_and_storages():
    node = parse.node(
        {
            "kind": "Node",
            "metadata": {
                "name": "n1",
                "annotations": {"quorate.dev/fence-confirm": "i/n/anna"},
                "finalizers": ["quorate.dev/member"],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"clusterName": "prod", "votes": 0},
        }
    )
    assert (node.votes, node.confirm, node.held, node.deleting) == (0, "i/n/anna", True, True)
    storage = parse.storage(
        {
            "kind": "Storage",
            "metadata": {"name": "s"},
            "spec": {"type": "Claim", "claim": {"namespace": "shop", "name": "data"}, "allowedNamespaces": ["shop"]},
        }
    )
    assert (storage.claim, storage.namespaces) == (("shop", "data"), ("shop",))


def ruled(*rules):
    metadata = {"name": "prod", "uid": "u", "resourceVersion": "7", "generation": 2}
    return {"kind": "Cluster", "metadata": metadata, "spec": {"rules": list(rules)}}


def test_rules():
    nodes = {"nodes": [{"name": "n1", "priority": 2}, {"name": "n2"}], "strict": True}
    peers = {"affinity": "Apart", "topology": "Zone"}
    selector = {"matchLabels": {"tier": "db"}}
    on, apart = parse.cluster(
        ruled(
            {"name": "on", "guests": {"names": ["ct:shop/db", "shop/web.1"]}, "nodeAffinity": nodes},
            {"name": "apart", "guests": {"selector": selector}, "guestAffinity": peers, "disabled": True},
        )
    ).spec.rules
    assert [key.sid for key in on.guests.names] == ["ct:shop/db", "ct:shop/web.1"]
    assert [(one.name, one.priority) for one in on.nodes.nodes] == [("n1", 2), ("n2", 0)]
    assert (on.nodes.strict, on.peers, on.disabled) == (True, None, False)
    assert apart.guests.selector.matches({"tier": "db"})
    assert (apart.peers.affinity, apart.peers.topology, apart.disabled) == ("Apart", "Zone", True)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "r", "guests": {"names": ["db"]}}, "spec.rules.0.guests.names.0: String should match pattern"),
        (
            {"name": "r", "guests": {}, "nodeAffinity": {"nodes": []}},
            "spec.rules.0.nodeAffinity.nodes: List should have",
        ),
        (
            {"name": "r", "guests": {}, "nodeAffinity": {"nodes": [{"name": "n1", "priority": 5000}]}},
            "spec.rules.0.nodeAffinity.nodes.0.priority: Input should be less than or equal to 1000, found 5000",
        ),
        ({"name": "r", "guests": {}, "guestAffinity": {"affinity": "Near"}}, "Input should be 'Together' or 'Apart'"),
    ],
)
def test_a_wrong_rule_names_field_and_finding(rule, words):
    with pytest.raises(parse.UnreadableError, match="Cluster prod") as error:
        parse.cluster(ruled(rule))
    assert words in str(error.value)


def test_labels_failback_and_zone():
    labelled = haresource(failback=False)
    labelled["metadata"]["labels"] = {"tier": "db"}
    view = parse.guest(labelled)
    assert (view.labels, view.spec.failback, parse.guest(haresource()).spec.failback) == ({"tier": "db"}, False, True)
    node = {"kind": "Node", "metadata": {"name": "n1"}, "spec": {"clusterName": "prod", "zone": "rack1"}}
    assert parse.node(node).zone == "rack1"


class TestDrill:
    """The annotation names the boot that is to be switched off."""

    ASKED = "d1/boot/ada"

    def drill(self, **status):
        metadata = {"name": "n1", "annotations": {"quorate.dev/drill": self.ASKED}}
        return parse.node({"kind": "Node", "metadata": metadata, "spec": {"clusterName": "p"}, "status": status}).drill

    def test_of_the_boot_that_it_names(self):
        assert self.drill(nonce="boot") == self.ASKED

    def test_of_no_other_as_when_the_node_came_out_of_a_backup(self):
        assert self.drill(nonce="another") == ""
        assert self.drill() == ""

    def test_under_way_and_over_it_stays_what_it_was(self):
        judged = {"id": self.ASKED, "passed": True, "result": "", "at": "2026-01-01T00:00:00Z"}
        assert self.drill(nonce="another", power={"drilled": judged}) == self.ASKED


def protects(**workload):
    raw = haresource()
    raw["spec"] = {"guest": {"workload": workload}}
    return raw


def test_a_workload():
    view = parse.guest(protects(name="db") | {})
    assert (str(view.spec.workload), view.spec.template.hash, view.created) == ("StatefulSet db", "", None)
    labelled = protects(selector={"matchLabels": {"tier": "gold"}})
    labelled["metadata"]["creationTimestamp"] = "2027-01-15T08:00:00Z"
    view = parse.guest(labelled)
    assert (str(view.spec.workload), view.created) == ("every StatefulSet with tier=gold", 1_800_000_000_000)


@pytest.mark.parametrize(
    "guest",
    [
        {},
        {"container": {"spec": {}}, "workload": {"name": "db"}},
        {"container": {"spec": {}}, "virtualMachine": {"name": "win"}},
    ],
)
def test_a_guest_is_exactly_one_of_its_kinds(guest):
    raw = haresource()
    raw["spec"] = {"guest": guest}
    with pytest.raises(
        parse.UnreadableError,
        match=r"HAResource shop/web: spec.guest: name exactly one of container, virtualMachine and",
    ):
        parse.guest(raw)


def test_a_virtual_machine_has_a_name_of_its_own_kind():
    raw = haresource()
    raw["spec"] = {"guest": {"virtualMachine": {"name": "win-server"}}}
    view = parse.guest(raw)
    assert (view.spec.machine, view.spec.template.hash, view.key.sid) == ("win-server", "", "vm:shop/web")
    assert view.key == GuestKey("shop", "web"), "it is found by whoever names it without its kind"
