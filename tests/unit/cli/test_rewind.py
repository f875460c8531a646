"""`cluster accept-history`."""

from dataclasses import replace

import pytest

from quorate.api.wire import to_wire
from quorate.core.status import Rewind
from tests.unit.cli.conftest import fill
from tests.unit.view import pictures

PROD = "/apis/quorate.dev/v1alpha1/clusters/prod"
WHY = "the agents of node1, node2 found their Leases older than they had renewed them"


@pytest.fixture
def backwards(stub):
    """A cluster that was restored from an old copy a minute ago."""
    fill(stub, pictures.whole())
    rewind(stub, Rewind("rewind-4f2a", pictures.ago(60), WHY))
    stub.objects[PROD]["metadata"]["resourceVersion"] = "7"
    return stub


def rewind(stub, found):
    stub.objects[PROD]["status"] = to_wire(pictures.cluster_status(rewind=found, message="history runs backwards"))


def test_it_shows_what_was_noticed_and_writes_its_name_on_the_version_that_was_read(run, backwards):
    ended = run("cluster", "accept-history", "-y")
    assert ended.code == 0
    assert f"rewind-4f2a, noticed 60s ago: {WHY}." in ended.err
    assert "must be stopped by hand" in ended.err
    (write,) = backwards.writes
    assert write.body == {
        "metadata": {"resourceVersion": "7", "annotations": {"quorate.dev/accept-history": "rewind-4f2a"}}
    }
    assert "rewind-4f2a is accepted. Next: every node renews its Lease" in ended.out


def test_without_a_terminal_and_without_y_nothing_is_written(run, backwards):
    assert run("cluster", "accept-history").code == 64
    assert not backwards.writes


def test_a_history_in_order_is_not_accepted(run, stub):
    fill(stub, pictures.whole())
    ended = run("cluster", "accept-history", "-y")
    assert ended.code == 1
    assert "its history is in order, there is nothing to accept" in ended.err
    assert not stub.writes


@pytest.mark.parametrize(("changes", "words"), [({"ended": 1}, "nothing to accept"), ({}, "is accepted already")])
def test_what_was_accepted_is_not_accepted_again(run, backwards, changes, words):
    found = Rewind("rewind-4f2a", pictures.ago(60), WHY, accepted=pictures.ago(30))
    rewind(backwards, replace(found, **{name: pictures.ago(10) for name in changes}))
    ended = run("cluster", "accept-history", "-y")
    assert words in ended.err
    assert not backwards.writes
