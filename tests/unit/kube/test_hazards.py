"""What may not cost a guest its place or its state: bugs in one deed, objects that cannot be read, labels taken off."""

import pytest

from quorate.api import parse
from quorate.api.wire import to_wire
from quorate.core.actions import CreatePod, Note, Plan, SetFinalizer, StatusWrite, StopPod, TakeLease
from quorate.core.status import GuestStatus, Instance, NodeStatus
from quorate.core.types import (
    IN_USE_FINALIZER,
    GuestKey,
    GuestState,
    IncidentId,
    InstanceId,
    Instant,
    Kind,
    NodeName,
    NodeState,
    Nonce,
    Ref,
    Uid,
)
from quorate.kube.act import Actor
from quorate.kube.calls import Conflict, NotFound, Permanent, Transient
from quorate.kube.deeds import Deeds
from quorate.kube.guests.pod import UnrenderableError, bind, render, template_of
from quorate.kube.resources import HARESOURCES, LEASES, NODES, PODS, STORAGES
from quorate.kube.store import Store
from tests.unit.kube import test_pod
from tests.unit.kube.test_store import guest, lease, member

INSTANCE = Instance(InstanceId("i1"), NodeName("n1"), Nonce("b1"), "t1", Instant(0))


@pytest.fixture
def store():
    return Store(lambda: None, clock=lambda: 100.0)


def pod(version=1, uid="p1", *, ours=True):
    metadata = {"namespace": "default", "name": "web", "uid": uid, "resourceVersion": str(version)}
    annotations = {"quorate.dev/instance": "i1", "quorate.dev/boot-nonce": "b1"}
    labels = {"quorate.dev/guest": "web"} if ours else {}
    return {"metadata": {**metadata, "labels": labels, "annotations": annotations}, "spec": {"nodeName": "n1"}}


class TestOneDeedWithABug:
    class BuggyDeeds:
        def __init__(self):
            self.done = []

        async def create_pod(self, action):
            if action.guest.name == "bad":
                raise KeyError("nfs")
            self.done.append(action.guest.name)

    async def test_costs_no_other_object_its_round_and_is_said_on_its_own(self, store):
        for name in ("bad", "good"):
            store.put(HARESOURCES, guest(name=name, uid=name))
        deeds = self.BuggyDeeds()
        actor = Actor(None, store, deeds, lambda: True)
        actions = tuple(CreatePod(GuestKey("default", name), INSTANCE) for name in ("bad", "good"))
        done = await actor.carry_out(Plan(actions=actions))
        assert done.again
        assert deeds.done == ["good"]
        said = {view.key.name: view.trouble for view in store.guests()}
        assert "report it: KeyError('nfs')" in said["bad"]
        assert said["good"] == ""


class TestTemplatesThatCannotBeRendered:
    def test_a_storage_that_is_gone_is_named(self):
        one = test_pod.guest()
        with pytest.raises(UnrenderableError, match=r"Storage 'nfs'.*create it again"):
            render(one, template_of(one), {}, test_pod.GATE, "prod")

    @pytest.mark.parametrize("spec", [{"containers": ["x"]}, {"volumes": "x"}, {"tolerations": 5}])
    def test_what_is_no_pod_spec_is_said_to_be_none(self, spec):
        one = test_pod.guest(**spec)
        with pytest.raises(UnrenderableError, match="not a PodSpec"):
            render(one, template_of(one), test_pod.STORAGES, test_pod.GATE, "prod")

    async def test_the_dry_run_of_such_a_template_rejects_it(self, store):
        raw = guest(storage=[{"name": "nfs", "path": "/data"}])
        store.put(HARESOURCES, raw)
        deeds = Deeds(None, store, test_pod.GATE, "prod", "m1")
        await deeds.check_template(type("Check", (), {"guest": GuestKey("default", "web"), "template_hash": "t"}))
        (view,) = store.guests()
        assert not view.verdict.accepted
        assert "nfs" in view.verdict.message


def test_the_gate_asks_the_agent_where_a_runtime_class_may_bring_its_own_kernel():
    one = test_pod.guest(runtimeClassName="kata")
    made = bind(
        render(one, template_of(one), test_pod.STORAGES, test_pod.GATE, "prod"),
        test_pod.INSTANCE,
        shared_kernel=False,
        scheduler=False,
    )
    environment = {one["name"]: one.get("value") for one in made["spec"]["initContainers"][0]["env"]}
    assert environment["QUORATE_SHARED_KERNEL"] == "yes"


@pytest.mark.parametrize(
    "container",
    [{"restartPolicy": "Always"}, {"restartPolicy": "OnFailure"}, {"restartPolicyRules": [{"action": "x"}]}],
)
def test_a_container_that_the_kubelet_would_start_again_is_refused(container):
    """It is seen terminated, and runs again a moment later."""
    raw = guest()
    raw["spec"]["guest"]["container"]["spec"]["containers"][0] |= container
    assert "containers[0] has a restartPolicy of its own" in parse.guest(raw).spec.template.problem


class TestALabelTakenOff:
    """Whoever takes our label off a guest's Pod lets it leave the watch, which says that it was deleted."""

    def test_and_put_back_the_pod_is_seen_again(self, store):
        store.put(HARESOURCES, guest())
        store.put(PODS, pod(5))
        store.gone(PODS, ("default", "web"), "p1", 6)
        assert store.guests()[0].pod is None
        store.put(PODS, pod(7))
        assert store.guests()[0].pod.uid == "p1"

    def test_a_late_event_of_a_deleted_one_still_counts_for_nothing(self, store):
        store.put(HARESOURCES, guest())
        store.put(PODS, pod(5))
        store.gone(PODS, ("default", "web"), "p1", 9)
        store.put(PODS, pod(8))
        assert store.guests()[0].pod is None

    async def test_what_stands_in_the_way_of_a_new_pod_is_seen_whatever_was_heard(self, store):
        class TakenApi:
            async def create(self, path, body, query=None):
                raise Conflict(f"POST {path}", 409, "AlreadyExists", "pods web already exists")

            async def get(self, path, query=None):
                if "persistentvolumeclaims" in path:
                    raise NotFound(f"GET {path}", 404, "", "")
                return pod(6, ours=False)

        raw = guest()
        store.put(HARESOURCES, raw)
        store.put(PODS, pod(5))
        store.gone(PODS, ("default", "web"), "p1", 6)
        drawn = Instance(InstanceId("i2"), NodeName("n1"), Nonce("b1"), parse.guest(raw).spec.template.hash, Instant(0))
        await Deeds(TakenApi(), store, test_pod.GATE, "prod", "m1").create_pod(
            CreatePod(GuestKey("default", "web"), drawn)
        )
        assert store.guests()[0].pod.uid == "p1"


class TestObjectsThatCannotBeRead:
    def status(self, **changes):
        return to_wire(GuestStatus(state=GuestState.STARTED, instance=INSTANCE, **changes))

    def test_a_guest_whose_spec_cannot_be_read_keeps_its_newest_status(self, store):
        """Else each plan would begin from the state before, and write over what the last one has recorded."""
        store.put(HARESOURCES, guest(5))
        store.put(HARESOURCES, {**guest(6, maxRestart="many"), "status": self.status()})
        (view,) = store.guests()
        assert (view.resource_version, view.status.instance) == ("6", INSTANCE)
        assert "spec.maxRestart" in view.trouble

    def test_so_does_a_node(self, store):
        store.put(NODES, member(5))
        unreadable = {**member(6), "spec": {"clusterName": 7}, "status": to_wire(NodeStatus(state=NodeState.FENCE))}
        store.put(NODES, unreadable)
        assert store.nodes()[0].status.state is NodeState.FENCE

    def test_nothing_can_be_written_over_a_status_that_cannot_be_read(self, store):
        """A newer version wrote it. The version that was last understood makes every write of ours a conflict."""
        store.put(HARESOURCES, {**guest(5), "status": self.status()})
        store.put(HARESOURCES, {**guest(6), "status": {"state": "Hibernating"}})
        (view,) = store.guests()
        assert view.resource_version == "5"
        assert "Hibernating" in view.trouble


async def test_a_lease_that_is_there_again_when_it_is_to_be_made_as_fenced_is_looked_at(store):
    """Its agent was faster: without a look the same deed would fail until the next list."""

    class AgentWasFaster:
        async def create(self, path, body, query=None):
            raise Conflict(f"POST {path}", 409, "AlreadyExists", "leases n1 already exists")

        async def get(self, path, query=None):
            return lease(3, version=9, uid="lease-again")

    store.put(NODES, member())
    store.put(LEASES, lease(2))
    store.gone(LEASES, ("quorate-agents", "n1"), "lease-n1")
    take = TakeLease(NodeName("n1"), IncidentId("n1-x"), Nonce("boot"), None, None)
    with pytest.raises(Conflict):
        await Deeds(AgentWasFaster(), store, test_pod.GATE, "prod", "m1").take_lease(take)
    assert store.nodes()[0].beat.uid == "lease-again"


def test_a_lease_that_was_seen_to_be_deleted_leaves_its_last_word(store):
    store.put(NODES, member())
    store.put(LEASES, lease(2))
    assert store.nodes()[0].missed is None
    store.deleted(LEASES, lease(3))
    assert store.nodes()[0].missed.attestation.sequence == 3, (
        "what the event of its end says, newer than what was known"
    )
    store.put(LEASES, lease(4) | {"metadata": lease(4)["metadata"] | {"uid": "another"}})
    assert store.nodes()[0].missed is None


def test_of_a_lease_that_a_list_misses_nobody_knows_the_last_word(store):
    """It may have been written once more, and nobody have seen that: an agent that disarmed over its guests."""
    store.put(NODES, member())
    store.put(LEASES, lease(2))
    store.sweep(LEASES, [], 10)
    assert store.nodes()[0].missed is None
    assert store.nodes()[0].lease_missing_s is not None
    store.deleted(LEASES, lease(9))
    assert store.nodes()[0].missed.attestation.sequence == 9, "the watch has caught up"


class Answers:
    """An API server for one HAResource: `refuses` is raised by the next write of a status, `stored` is what a GET finds."""

    def __init__(self, refuses=None, stored=None):
        self.refuses = refuses
        self.stored = stored
        self.written = []

    async def replace(self, path, body):
        if self.refuses is not None:
            raise self.refuses
        self.written.append(body)
        return {**guest(9), "status": body["status"]}

    async def get(self, path, query=None):
        if self.stored is None:
            raise NotFound(f"GET {path}", 404, "NotFound", "gone")
        return self.stored


class Recorder:
    """Deeds that only say what they were asked for, and fail where they are told to."""

    power = None

    def __init__(self, **fails):
        self.fails = fails
        self.done = []

    async def create_pod(self, action):
        await self.stop_pod(action)

    async def stop_pod(self, action):
        name = type(action).__name__
        if name in self.fails:
            raise self.fails[name]
        self.done.append(name)

    async def set_finalizer(self, action):
        await self.stop_pod(action)

    async def event(self, note):
        self.done.append(note.reason)


WEB = GuestKey("default", "web")
WRITE = StatusWrite(WEB.ref, "5", GuestStatus(state=GuestState.STARTING, instance=INSTANCE))
STOP = StopPod(WEB, Uid("p1"), "5")
MAKE = CreatePod(WEB, INSTANCE)


class TestActor:
    def actor(self, store, api, deeds, *, may_act=True):
        store.put(HARESOURCES, guest(5))
        return Actor(api, store, deeds, lambda: may_act)

    async def test_the_status_is_written_by_its_version_and_read_back_before_the_deed(self, store):
        api, deeds = Answers(), Recorder()
        done = await self.actor(store, api, deeds).carry_out(
            Plan(statuses=(WRITE,), actions=(MAKE,), notes=(Note(WEB.ref, "GuestStarting", "x"),))
        )
        assert api.written[0]["metadata"] == {"name": "web", "namespace": "default", "resourceVersion": "5"}
        assert (store.guests()[0].resource_version, store.guests()[0].status.instance) == ("9", INSTANCE)
        assert deeds.done == ["CreatePod", "GuestStarting"]
        assert not done.again

    @pytest.mark.parametrize("refusal", [Conflict, Transient, Permanent])
    async def test_without_its_status_a_deed_is_left_out_and_so_is_the_news_of_it(self, store, refusal):
        api, deeds = Answers(refusal("PUT", 409, "", "words"), guest(7)), Recorder()
        done = await self.actor(store, api, deeds).carry_out(
            Plan(statuses=(WRITE,), actions=(MAKE,), notes=(Note(WEB.ref, "GuestStarting", "x"),))
        )
        assert deeds.done == []
        assert done.again
        (view,) = store.guests()
        assert view.resource_version == ("7" if refusal is Conflict else "5")
        assert view.trouble == ("its status cannot be written: words" if refusal is Permanent else "")

    async def test_what_is_gone_when_its_status_is_written_is_forgotten(self, store):
        actor = self.actor(store, Answers(NotFound("PUT", 404, "", "")), Recorder())
        done = await actor.carry_out(Plan(statuses=(WRITE,)))
        assert store.guests() == ()
        assert done.again

    async def test_whoever_leads_no_more_writes_nothing_and_does_nothing(self, store):
        api, deeds = Answers(), Recorder()
        done = await self.actor(store, api, deeds, may_act=False).carry_out(Plan(statuses=(WRITE,), actions=(STOP,)))
        assert (api.written, deeds.done) == ([], [])
        assert done.again
        assert (await self.actor(store, api, deeds, may_act=False).carry_out(Plan(statuses=(WRITE,)))).again

    async def test_leading_is_asked_before_each_deed(self, store):
        deeds, answers = Recorder(), [True, False]
        store.put(HARESOURCES, guest(5))
        done = await Actor(Answers(), store, deeds, lambda: answers.pop(0)).carry_out(Plan(actions=(STOP, MAKE)))
        assert deeds.done == ["StopPod"]
        assert done.again

    @pytest.mark.parametrize("refusal", [Conflict, NotFound, Transient, Permanent])
    async def test_the_first_deed_that_fails_ends_those_on_its_object(self, store, refusal):
        deeds = Recorder(StopPod=refusal("DELETE", 409, "", "words"))
        done = await self.actor(store, Answers(stored=guest(7)), deeds).carry_out(Plan(actions=(STOP, MAKE)))
        assert deeds.done == []
        assert done.again
        (view,) = store.guests()
        assert view.resource_version == ("7" if refusal in {Conflict, NotFound} else "5")
        assert view.trouble == ("StopPod failed: words" if refusal is Permanent else "")

    async def test_what_cannot_be_done_with_a_storage_is_told_to_who_plans_its_guests(self, store):
        spec = {"type": "Claim", "claim": {"namespace": "default", "name": "data"}}
        metadata = {"name": "nfs", "uid": "s", "resourceVersion": "1", "generation": 1}
        store.put(STORAGES, {"metadata": metadata, "spec": spec})
        hold = SetFinalizer(Ref(Kind.STORAGE, "nfs"), IN_USE_FINALIZER, present=True)
        actor = self.actor(store, Answers(), Recorder(SetFinalizer=Permanent("PATCH", 403, "", "forbidden")))
        await actor.carry_out(Plan(actions=(hold,)))
        assert [view.trouble for view in store.storages(())] == ["SetFinalizer failed: forbidden"]
        actor.deeds.fails = {}
        await actor.carry_out(Plan(actions=(hold,)))
        assert [view.trouble for view in store.storages(())] == [""]

    async def test_done_at_last_its_trouble_is_over(self, store):
        actor = self.actor(store, Answers(), Recorder(StopPod=Permanent("DELETE", 403, "", "forbidden")))
        await actor.carry_out(Plan(actions=(STOP,)))
        assert store.guests()[0].trouble
        actor.deeds.fails = {}
        done = await actor.carry_out(Plan(actions=(STOP,)))
        assert store.guests()[0].trouble == ""
        assert not done.again
