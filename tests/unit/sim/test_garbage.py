"""What a deletion drags along."""

import pytest

from quorate.sim.garbage import Garbage
from tests.unit.sim.conftest import MAPS, NAMESPACES, NODES, PODS, named


@pytest.fixture
def store(store):
    Garbage(store)
    return store


def owned(name, *owners, **metadata):
    return named(
        name,
        ownerReferences=[
            {
                "uid": one["metadata"]["uid"],
                "apiVersion": one["apiVersion"],
                "kind": one["kind"],
                "name": one["metadata"]["name"],
            }
            for one in owners
        ],
        **metadata,
    )


def names(store, kind=MAPS):
    return [one["metadata"]["name"] for one in store.listed(kind)]


def test_a_chain_of_owners_falls_with_its_first(store):
    first = store.create(NODES, "", named("first"))
    second = store.create(MAPS, "default", owned("second", first))
    store.create(MAPS, "default", owned("third", second))
    store.create(MAPS, "default", named("free"))
    store.delete(NODES, ("", "first"))
    assert names(store) == ["free"]


def test_two_that_own_each_other_stay(store):
    one = store.create(MAPS, "default", named("one"))
    two = store.create(MAPS, "default", owned("two", one))
    store.update(
        MAPS, ("default", "one"), lambda old: old | {"metadata": old["metadata"] | owned("one", two)["metadata"]}
    )
    assert names(store) == ["one", "two"]


def test_an_owner_of_a_kind_that_is_not_served_is_believed_in(store):
    """A Pod of a StatefulSet is not garbage because nobody here knows StatefulSets."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u"}
    store.create(PODS, "default", named("db-0", spec={}, ownerReferences=[owner]))
    assert names(store, PODS) == ["db-0"]


def test_an_owner_that_is_only_ending_still_owns(store):
    owner = store.create(NODES, "", named("owner", finalizers=["x/y"]))
    store.create(MAPS, "default", owned("one", owner))
    store.delete(NODES, ("", "owner"))
    assert names(store) == ["one"]
    store.update(NODES, ("", "owner"), lambda old: old | {"metadata": old["metadata"] | {"finalizers": []}})
    assert names(store) == []


def test_a_namespace_goes_when_the_last_thing_in_it_has_gone(store):
    store.create(NAMESPACES, "", named("shop", spec={"finalizers": ["kubernetes"]}))
    store.create(MAPS, "shop", named("free"))
    store.create(PODS, "shop", named("held", spec={"nodeName": "n"}, finalizers=["x/y"]))
    store.delete(NAMESPACES, ("", "shop"))
    assert (names(store), names(store, PODS), names(store, NAMESPACES)) == ([], ["held"], ["default", "shop"])
    store.update(PODS, ("shop", "held"), lambda old: old | {"metadata": old["metadata"] | {"finalizers": []}})
    store.delete(PODS, ("shop", "held"), grace_s=0)
    assert names(store, NAMESPACES) == ["default"]
