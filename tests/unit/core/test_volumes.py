"""What is made of an NFS Storage, and what is taken away: recorded first, never what is somebody else's, never data."""

from dataclasses import replace

import pytest

from quorate.core.actions import ProvideVolume, RemoveVolume, SetFinalizer
from quorate.core.housekeeping import tidy
from quorate.core.storage import NfsExport, Volume, nfs_claim, nfs_volume, own_claim
from quorate.core.types import GuestKey, Kind, Ref, StorageType, Uid
from quorate.core.volumes import Seen, Thing
from quorate.core.world import StorageView
from tests.unit.core.test_housekeeping import house, written

NFS = StorageView(
    "media",
    Uid("s"),
    StorageType.NFS,
    namespaces=("default", "shop"),
    nfs=NfsExport("nas", "/guests"),
    resource_version="1",
    held=True,
    used_by=("ct:default/web",),
)
MADE = Volume("default", nfs_volume("media", "default"), "quorate-media")
CLAIM = Thing(Uid("c"), ours=True, bound=True)
VOLUME = Thing(Uid("v"), ours=True, bound=True, holder=Uid("c"))
WHOLE = Seen(VOLUME, CLAIM)


def with_volumes(*volumes, **changes):
    return replace(NFS, status=replace(NFS.status, volumes=volumes), **changes)


def seen(storage, one):
    return house(storages=(storage,), sight={("media", "default"): one})


def deeds(made):
    return [action for action in tidy(made).actions if not isinstance(action, SetFinalizer)]


def test_it_is_recorded_before_it_is_made():
    made = seen(NFS, Seen())
    assert deeds(made) == []
    (volume,) = written(made)["media"].volumes
    assert volume == replace(MADE, problem="it is being made")
    (deed,) = deeds(seen(with_volumes(volume), Seen()))
    assert deed == ProvideVolume(Ref(Kind.STORAGE, "media"), volume, None)


def test_nothing_is_made_before_the_storage_is_held():
    assert deeds(seen(with_volumes(MADE, held=False), Seen())) == []


def test_once_its_claim_is_bound_guests_may_use_it():
    pending = Seen(replace(VOLUME, bound=False), replace(CLAIM, bound=False))
    (volume,) = written(seen(with_volumes(MADE), pending))["media"].volumes
    assert volume.problem == "PersistentVolumeClaim default/quorate-media is not bound yet"
    (volume,) = written(seen(with_volumes(volume), WHOLE))["media"].volumes
    assert volume.problem == ""
    assert deeds(seen(with_volumes(MADE), WHOLE)) == []


def test_what_is_missing_of_the_two_is_made():
    (deed,) = deeds(seen(with_volumes(MADE), Seen(None, CLAIM)))
    assert (type(deed), deed.claim) == (ProvideVolume, Uid("c"))
    (deed,) = deeds(seen(with_volumes(MADE), Seen(replace(VOLUME, holder=None), None)))
    assert (type(deed), deed.claim) == (ProvideVolume, None)


@pytest.mark.parametrize("claim", [None, replace(CLAIM, uid=Uid("other"))])
def test_a_volume_that_is_held_for_a_claim_that_is_gone_is_made_anew(claim):
    (deed,) = deeds(seen(with_volumes(MADE), Seen(VOLUME, claim)))
    assert (type(deed), deed.volume_uid, deed.claim_uid) == (RemoveVolume, Uid("v"), None)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (Seen(replace(VOLUME, ours=False), None), "there is a PersistentVolume quorate-media-default-"),
        (Seen(None, replace(CLAIM, ours=False)), "there is a PersistentVolumeClaim default/quorate-media that is not"),
        (Seen(replace(VOLUME, ours=False), CLAIM), "that is not this Storage's, and it is left alone"),
        (
            Seen(VOLUME, replace(CLAIM, ours=False)),
            "there is a PersistentVolumeClaim default/quorate-media that is not",
        ),
        (
            Seen(replace(VOLUME, holder=None), replace(CLAIM, deleting=True)),
            "is being deleted, and made anew once it is gone",
        ),
    ],
)
def test_what_stands_in_the_way_is_left_alone_and_said(what, words):
    storage = with_volumes(MADE)
    assert deeds(seen(storage, what)) == []
    found = written(seen(storage, what))["media"]
    assert words in found.volumes[0].problem
    assert (found.state, words in found.message) == ("Degraded", True)


def test_when_no_guest_is_left_both_go_and_then_the_record():
    idle = with_volumes(MADE, used_by=())
    (deed,) = deeds(seen(idle, WHOLE))
    assert (type(deed), deed.volume_uid, deed.claim_uid) == (RemoveVolume, Uid("v"), Uid("c"))
    going = Seen(replace(VOLUME, deleting=True), replace(CLAIM, deleting=True))
    assert deeds(seen(idle, going)) == []
    assert len(written(seen(idle, going))["media"].volumes) == 1
    assert written(seen(idle, Seen()))["media"].volumes == ()


def test_somebody_elses_is_never_taken_away():
    foreign = Seen(replace(VOLUME, ours=False), replace(CLAIM, ours=False))
    assert deeds(seen(with_volumes(MADE, used_by=()), foreign)) == []
    assert written(seen(with_volumes(MADE, used_by=()), foreign))["media"].volumes == ()


def test_what_could_not_be_looked_at_is_left_as_it_is():
    for used_by in ((), ("ct:default/web",)):
        storage = with_volumes(MADE, used_by=used_by)
        assert deeds(house(storages=(storage,))) == []
        assert written(house(storages=(storage,)))["media"].volumes == (MADE,)


def test_a_namespace_that_is_not_allowed_gets_none():
    assert written(seen(replace(NFS, used_by=("ct:lab/web",)), Seen()))["media"].volumes == ()


def test_it_is_held_until_nothing_that_was_made_is_left():
    deleting = with_volumes(MADE, used_by=(), deleting=True)
    assert not [one for one in tidy(seen(deleting, WHOLE)).actions if isinstance(one, SetFinalizer)]
    assert written(seen(deleting, WHOLE))["media"].message.endswith(
        "claims are taken away first: default/quorate-media"
    )
    gone = with_volumes(used_by=(), deleting=True)
    assert [one.present for one in tidy(seen(gone, Seen())).actions] == [False]


def test_names_tell_apart_what_hyphens_do_not():
    assert nfs_volume("a-b", "c") != nfs_volume("a", "b-c")
    assert own_claim(GuestKey("x", "a-b"), "c") != own_claim(GuestKey("x", "a"), "b-c")
    assert nfs_claim("media") == "quorate-media"
    assert len(nfs_volume("s" * 63, "n" * 63)) <= 253


@pytest.mark.parametrize(
    ("options", "port", "mount_port", "versions"),
    [
        ((), 2049, 0, (4, 3)),
        (("nfsvers=4.2", "hard"), 2049, 0, (4,)),
        (("vers=3", "port=12049", "mountport=635"), 12049, 635, (3,)),
        (("port=0", "mountport=99999", "vers=2"), 2049, 0, (4, 3)),
        (("port=²",), 2049, 0, (4, 3)),
    ],
)
def test_where_an_agent_is_to_look_is_read_from_the_options(options, port, mount_port, versions):
    found = NfsExport("nas", "/x", options)
    assert (found.port, found.mount_port, found.versions) == (port, mount_port, versions)
