"""Stopped is a fact, never a wish: what a Pod proves, and everything that looks like proof and is none.

The cases that end in "measured" were seen on a real kubelet 1.34.
"""

import pytest

from quorate.core.pods import ContainerView, PodView
from quorate.core.stopped import GUESSED, LOST, from_pod, guessed
from quorate.core.types import NodeName, Uid

GATE_DONE = ContainerView("quorate-gate", True, "terminated", True, 0, "Completed")


def pod(*containers: ContainerView, **changes: object) -> PodView:
    found = {"uid": Uid("u"), "resource_version": "1", "node": NodeName("n1"), "owner": None, "instance": None}
    return PodView(**{**found, "nonce": None, "containers": containers, **changes})


def main(state: str, code: int | None = None, reason: str = "", **changes: object) -> ContainerView:
    return ContainerView(
        "main", False, state, **{"started": state != "waiting", "exit_code": code, "reason": reason, **changes}
    )


def judge(found: PodView, *, began: bool = True, started: bool = True):
    return from_pod(found, began=began, started=started)


def test_every_container_terminated_is_a_fact():
    fact = judge(pod(GATE_DONE, main("terminated", 1, "Error", message="boom"), phase="Failed"))
    assert fact.text == "every container has terminated (main: exit code 1)"
    assert (fact.exit_code, fact.reason, fact.message, fact.counted) == (1, "Error", "boom", True)


def test_exit_zero_of_a_guest_that_should_run_counts_as_died():
    assert judge(pod(main("terminated", 0, "Completed"), phase="Succeeded")).counted


def test_one_container_that_still_runs_is_enough_to_prove_nothing():
    sidecar = ContainerView("sidecar", False, "running", True)
    assert judge(pod(main("terminated", 1), sidecar, phase="Failed")) is None
    late_init = ContainerView("init", True, "running", True)
    assert judge(pod(late_init, main("terminated", 1))) is None


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Unknown"])
def test_phase_proves_nothing(phase):
    """PodGC sets Failed and deletes by force 57 s after somebody deletes the Node; the containers run on (measured)."""
    assert judge(pod(main("running"), phase=phase, reason="NodeLost")) is None


def test_empty_container_statuses_prove_nothing():
    """Seen while the process ran."""
    assert judge(pod(ContainerView("main"), phase="Failed")) is None
    assert judge(pod(phase="Failed")) is None


@pytest.mark.parametrize(("code", "reason"), [(137, GUESSED), (255, LOST)])
def test_a_guess_of_kubelet_or_runtime_proves_nothing_by_itself(code, reason):
    lost = pod(main("terminated", code, reason), phase="Failed")
    assert judge(lost) is None
    assert guessed(lost)
    assert not guessed(pod(main("running")))
    assert not guessed(pod())


@pytest.mark.parametrize(
    "reason", ["TaintToleration", "NodeAffinity", "OutOfcpu", "UnexpectedAdmissionError", "NodeShutdown"]
)
def test_a_pod_that_the_kubelet_refused_never_ran(reason):
    refused = pod(
        ContainerView("quorate-gate", True), ContainerView("main"), phase="Failed", reason=reason, message="no"
    )
    fact = judge(refused, began=False, started=False)
    assert fact.text == f"the kubelet refused it: {reason}"
    assert fact.counted  # or it would be sent there again and again, without a pause
    assert fact.message == "no"


def test_a_refusal_after_anything_was_reported_started_proves_nothing():
    """A restarted kubelet admits running Pods again, refuses them, and they run on (measured)."""
    refused = pod(ContainerView("main"), phase="Failed", reason="TaintToleration")
    assert judge(refused, began=True, started=False) is None
    assert judge(refused, began=True, started=True) is None


@pytest.mark.parametrize("reason", ["", "NodeLost", "Evicted", "Whatever"])
def test_failed_for_another_reason_than_the_kubelets_own_is_no_refusal(reason):
    assert judge(pod(ContainerView("main"), phase="Failed", reason=reason), began=False, started=False) is None


def test_an_init_container_that_failed_keeps_the_guest_from_running():
    gate = ContainerView("quorate-gate", True, "terminated", True, 0)
    broken = ContainerView("prepare", True, "terminated", True, 3, "Error", "no disk")
    fact = judge(pod(gate, broken, main("waiting"), phase="Failed"), started=False)
    assert fact.text == "init container prepare ended with exit code 3 and no main container started"
    assert fact.counted


def test_the_start_gate_in_another_boot_is_a_fact_and_no_failure():
    gate = ContainerView("quorate-gate", True, "terminated", True, 86, "Error")
    fact = judge(pod(gate, main("waiting"), phase="Failed"), started=False)
    assert fact.wrong_boot
    assert not fact.counted


def test_a_failed_init_container_proves_nothing_once_a_main_one_had_started():
    broken = ContainerView("prepare", True, "terminated", True, 3)
    assert judge(pod(broken, main("waiting"), phase="Failed"), started=True) is None


def test_a_failed_init_container_proves_nothing_while_the_pod_goes_on():
    broken = ContainerView("prepare", True, "terminated", True, 3)
    assert judge(pod(broken, main("waiting"), phase="Pending"), started=False) is None


@pytest.mark.parametrize("reason", ["Evicted", "Terminated", "Preempting"])
def test_an_end_that_somebody_planned_is_not_counted(reason):
    assert not judge(pod(main("terminated", 137, "Error"), phase="Failed", reason=reason)).counted


def test_deleted_before_it_was_bound_is_a_fact():
    """The API server binds no Pod that is being deleted."""
    waiting = pod(ContainerView("main"), bound=False, deleting=True)
    assert judge(waiting, began=False, started=False).reason == "NeverBound"
    assert judge(pod(ContainerView("main"), bound=False), began=False, started=False) is None
