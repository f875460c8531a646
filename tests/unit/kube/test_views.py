"""Pods, nodes and Leases as the kubelet and others write them -> views."""

from dataclasses import replace

import pytest

from quorate.core.load import Size
from quorate.core.stopped import GUESSED
from quorate.kube import views
from tests.unit.core.worlds import beat, said


def pod(status=None, spec=None, **metadata):
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7", **metadata},
        "spec": {
            "nodeName": "n1",
            "initContainers": [{"name": "gate"}],
            "containers": [{"name": "main"}],
            **(spec or {}),
        },
        "status": status or {},
    }


OURS = {
    "labels": {"quorate.dev/guest": "web"},
    "annotations": {
        "quorate.dev/instance": "i1",
        "quorate.dev/boot-nonce": "b1",
        "quorate.dev/template-hash": "t1",
        "quorate.dev/node": "n9",
    },
    "finalizers": ["quorate.dev/instance", "example.org/backup"],
    "ownerReferences": [{"uid": "other"}, {"uid": "har", "controller": True}],
}


def test_a_pod_of_ours():
    view = views.pod(pod(**OURS))
    assert (view.instance, view.nonce, view.template_hash, view.owner) == ("i1", "b1", "t1", "har")
    assert (view.held, view.foreign_finalizers, view.bound) == (True, ("example.org/backup",), True)


def test_what_a_node_can_allocate():
    raw = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "3920m", "memory": "1Gi", "pods": "110"}}}
    assert views.kube_node(raw).size == Size(3920, 1 << 30)
    assert views.kube_node({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "many"}}}).size is None
    assert views.kube_node({"metadata": {"name": "n1"}}).size is None


def test_one_without_our_label_is_nobodys_instance():
    assert views.pod(pod(annotations=OURS["annotations"])).instance is None


def test_one_that_the_scheduler_has_yet_to_bind_is_for_the_node_it_was_made_for():
    view = views.pod(pod(spec={"nodeName": None}, **OURS))
    assert (view.node, view.bound) == ("n9", False)


def test_containers_that_the_kubelet_does_not_mention_are_unknown():
    assert [one.state for one in views.pod(pod()).containers] == ["unknown", "unknown"]


def containers(*statuses, init=()):
    return views.pod(pod({"containerStatuses": list(statuses), "initContainerStatuses": list(init)})).containers


def test_running_and_waiting():
    running = {"name": "main", "state": {"running": {"startedAt": "now"}}, "ready": True}
    assert containers(running)[1].started
    waiting = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    (_, main) = containers(waiting)
    assert (main.state, main.reason, main.message, main.started) == (
        "waiting",
        "ImagePullBackOff",
        "no such image",
        False,
    )


def test_a_container_that_never_ran_is_terminated_too_when_its_pod_is_deleted():
    """Kubelet 1.34, a Pod deleted while its image was being pulled (measured)."""
    state = {"terminated": {"exitCode": 137, "reason": GUESSED, "startedAt": None, "finishedAt": None}}
    assert not containers({"name": "main", "state": state})[1].started
    ran = {"terminated": {"exitCode": 1, "startedAt": "2026-01-01T00:00:00Z", "containerID": "containerd://x"}}
    assert containers({"name": "main", "state": ran})[1].started


def test_one_that_was_restarted_has_started():
    waiting = {"name": "main", "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}}
    assert containers(waiting)[1].started
    assert containers({"name": "main", "state": {"waiting": {}}, "restartCount": 2})[1].started


def test_a_sidecar_counts_as_a_main_container():
    spec = {"initContainers": [{"name": "gate"}, {"name": "proxy", "restartPolicy": "Always"}]}
    assert [one.init for one in views.pod(pod(spec=spec)).containers] == [True, False, False]


def test_the_words_of_the_scheduler_while_nothing_else_is_said():
    status = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}
    assert views.pod(pod(status)).message == "0/3 nodes are available"


def test_a_kubernetes_node():
    view = views.kube_node(
        {
            "metadata": {"name": "n1", "labels": {"a": "b"}},
            "spec": {
                "unschedulable": True,
                "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
            },
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        }
    )
    assert (view.ready, view.unschedulable, view.control_plane, dict(view.labels)) == (False, True, True, {"a": "b"})
    assert views.kube_node({"metadata": {"name": "n1"}}).ready is None


def test_objects_that_anybody_may_have_written_do_not_raise():
    assert views.lease(None, {"metadata": {"annotations": {"quorate.dev/attestation": "{"}}}, 1.0).attestation is None
    assert views.pod({"metadata": {}}).containers == ()


@pytest.mark.parametrize(
    ("changes", "is_news"), [({"trouble": "busy"}, True), ({"sequence": 51, "uptime_s": 501}, False)]
)
def test_what_an_agent_says_besides_that_it_is_there_is_worth_a_round(changes, is_news):
    before = beat("n1")
    assert views.material(before, beat("n1", attestation=replace(said("n1"), **changes))) is is_news


@pytest.mark.parametrize(
    ("annotations", "taints", "who"),
    [
        ({}, [], ""),
        ({}, [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}], ""),
        ({}, [{"key": "medik8s.io/remediation", "effect": "NoExecute"}], "medik8s is at work on it"),
        ({}, [{"key": "medik8s.io/fence-agents-remediation", "effect": "NoExecute"}], "medik8s is at work on it"),
        ({"cluster.x-k8s.io/machine": "w-1"}, [], "Cluster API has it as Machine w-1"),
        ({"cluster.x-k8s.io/machine": "w-1", "quorate.dev/sole-remediator": "true"}, [], ""),
    ],
)
def test_who_else_takes_a_lost_machine_in_hand(annotations, taints, who):
    raw = {"metadata": {"name": "n1", "annotations": annotations}, "spec": {"taints": taints}}
    found = views.kube_node(raw).remediator
    assert found.startswith(who)
    assert bool(found) == bool(who)
