"""Renewing the Lease: what counts as success, and what a boot does with a Lease that is not as it left it."""

import copy

import pytest

from quorate.agent.lease import NodeLease, Outcome
from quorate.api import attestation
from quorate.core.selffence import Guard
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import Nonce
from tests.unit.agent.fakes import Clock, FakeApi
from tests.unit.core.worlds import said

FAST = PROFILES[Profile.FAST]


def attest(uid, sequence):
    return said("n1", sequence, lease_uid=uid)


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def lease(api):
    return NodeLease(api, "n1", Guard(Nonce("me")), Clock())


def renew(lease, *, danger=False, member=True):
    return lease.renew(attest, FAST, danger=danger, member=member)


def attested(api):
    return attestation.decode(api.lease["metadata"]["annotations"]["quorate.dev/attestation"])


def test_a_renewal_is_one_put_and_what_others_wrote_stays(api, lease):
    assert renew(lease).outcome is Outcome.RENEWED
    api.calls.clear()
    assert renew(lease).outcome is Outcome.RENEWED
    assert api.calls == ["PUT"]
    assert api.holder == "me"
    assert api.lease["metadata"]["labels"] == {"a": "b"}
    assert attested(api).sequence == 2
    assert attested(api).lease_uid == api.lease["metadata"]["uid"]
    assert lease.guard.held


def test_no_answer_is_a_failed_renewal(api, lease):
    api.silent = True
    assert renew(lease).outcome is Outcome.FAILED


def test_a_put_that_commits_late_is_looked_at_and_renewed_again(api, lease):
    renew(lease)
    api.next_put = api.commits_but_does_not_answer
    assert renew(lease).outcome is Outcome.FAILED
    late = attested(api).sequence
    found = renew(lease)
    assert found.outcome is Outcome.RENEWED
    assert attested(api).sequence > late


def test_age_counts_from_before_the_put_that_was_confirmed(api, lease):
    renew(lease)

    def somebody_labels_it(body):
        lease.clock.now_s += 1.0
        api.take("me")

    api.next_put = somebody_labels_it
    began = lease.clock.now_s
    assert renew(lease).started_s == began + 1.0


def test_sequences_grow_over_renewals_that_failed(api, lease):
    renew(lease)
    api.silent = True
    renew(lease)
    renew(lease)
    api.silent = False
    renew(lease)
    assert attested(api).sequence == 4


def test_a_boot_that_never_held_it_takes_it_from_the_boot_before(api, lease):
    api.take("fenced/i/the boot before")
    assert renew(lease).outcome is Outcome.RENEWED
    assert api.holder == "me"


def test_a_boot_that_finds_itself_fenced_resets(api, lease):
    renew(lease)
    api.take("fenced/i/me")
    assert renew(lease).outcome is Outcome.RESET
    assert api.holder == "fenced/i/me"


@pytest.mark.parametrize(("danger", "outcome"), [(True, Outcome.RESET), (False, Outcome.LOST)])
def test_a_boot_that_has_held_it_never_takes_it_back(api, lease, danger, outcome):
    renew(lease)
    api.take("a clone")
    assert renew(lease, danger=danger).outcome is outcome
    assert renew(lease, danger=danger).outcome is outcome
    assert api.holder == "a clone"


def test_a_deleted_lease_is_made_again_by_a_member(api, lease):
    renew(lease)
    api.lease = None
    assert renew(lease).outcome is Outcome.RENEWED
    assert attested(api).sequence == 3 or attested(api).sequence == 2
    assert attested(api).lease_uid == api.lease["metadata"]["uid"]


def test_by_nobody_else(api, lease):
    api.lease = None
    assert renew(lease, member=False).outcome is Outcome.IDLE
    assert api.lease is None


@pytest.mark.parametrize("namespace", [None, {"metadata": {"deletionTimestamp": "now"}}])
def test_nor_in_a_namespace_that_is_being_deleted(api, lease, namespace):
    renew(lease)
    api.lease, api.namespace = None, namespace
    assert renew(lease, danger=True).outcome is Outcome.LOST


def test_an_answer_that_names_another_boot_is_no_success(api, lease):
    renew(lease)
    honest = api.put
    api.put = lambda body: honest({**body, "spec": {"holderIdentity": "another"}})
    assert renew(lease).outcome is Outcome.FAILED


def test_a_lease_put_back_from_an_old_copy_is_renewed_over_and_remembered(api, lease):
    renew(lease)
    old = copy.deepcopy(api.lease)
    renew(lease)
    renew(lease)
    api.version += 1
    api.lease = {**old, "metadata": {**old["metadata"], "resourceVersion": str(api.version)}}
    assert renew(lease).outcome is Outcome.RENEWED
    assert attested(api).sequence == 5, "sequences only grow"
    assert lease.guard.rewound == 3, "what had been confirmed"


def test_a_late_commit_is_no_old_copy(api, lease):
    renew(lease)
    api.next_put = api.commits_but_does_not_answer
    renew(lease)
    renew(lease)
    api.take("me")
    renew(lease)
    assert lease.guard.rewound == 0


def test_what_stands_beside_goes_with_the_renewal_and_costs_no_other(api, lease):
    lease.beside = lambda: '{"nonce":"me"}'
    renew(lease)
    api.calls.clear()
    renew(lease)
    assert api.calls == ["PUT"]
    assert api.lease["metadata"]["annotations"]["quorate.dev/storages"] == '{"nonce":"me"}'


@pytest.mark.parametrize(("text", "stands"), [(None, True), ("", False)])
def test_who_has_not_looked_yet_leaves_it_and_who_has_nothing_to_say_takes_it_away(api, lease, text, stands):
    lease.beside = lambda: "said before"
    renew(lease)
    lease.beside = lambda: text
    renew(lease)
    assert ("quorate.dev/storages" in api.lease["metadata"]["annotations"]) is stands
