"""What an order becomes for a fence agent: the device as it was judged, with its Secret, and what the answer means."""

import asyncio
import base64

import pytest

from quorate.api import parse
from quorate.core.sequence import Order, Said, Verb
from quorate.kube.calls import Calls, refusal
from quorate.kube.fencers import runner as runners
from quorate.kube.fencers.process import FenceAgentError, FenceAgents
from quorate.kube.fencers.runner import Fencers
from quorate.kube.resources import NODES
from quorate.kube.store import Store
from tests.unit.kube.fencers.agents import installed

LOGIN = {"login": "root", "password": "swordfish\n"}


class Secrets(Calls):
    """An API server that has Secrets only. `version` of all of them; `fails` instead of an answer."""

    def __init__(self):
        self.found, self.version, self.fails = {}, "7", None

    async def request(self, method, path, *_, **__):
        name = path.removeprefix("/api/v1/namespaces/quorate-system/secrets/")
        if self.fails is not None:
            raise refusal(path, self.fails, {"reason": "Forbidden"})
        if name not in self.found:
            raise refusal(path, 404, {})
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.found[name].items()}
        return {"metadata": {"name": name, "uid": "abcdefghijk", "resourceVersion": self.version}, "data": data}


class Bench:
    """A Node with a device, and what speaks to it."""

    def __init__(self, tmp_path, monkeypatch, **device):
        monkeypatch.setattr(runners, "AGAIN_S", 0.01)
        self.api, self.tmp_path = Secrets(), tmp_path
        self.store = Store(lambda: None)
        self.fencers = Fencers(self.store, self.api, FenceAgents(installed(tmp_path)))
        parameters = {"journal": str(tmp_path / "journal"), **device.pop("parameters", {})}
        self.node({"name": "bmc", "agent": "fence_test", "parameters": parameters, "timeout": "3s", **device})

    def node(self, *devices, version="1", **status):
        metadata = {"name": "n1", "uid": "u1", "generation": int(version), "resourceVersion": version}
        spec = {"clusterName": "prod", "fencing": {"devices": list(devices)}}
        self.given = devices
        self.store.put(NODES, {"kind": "Node", "metadata": metadata, "spec": spec, "status": status})

    @property
    def judged(self):
        [view] = self.store.nodes()
        return view.devices[0]

    def ask(self, verb=Verb.STATUS, **changes):
        order = {"sequence": "s", "term": 1, "subject": "i", "nonce": "b", "level": 1, "attempt": 1, **changes}
        spec = order.pop("spec", None) or self.judged.spec
        return asyncio.run(self.fencers.run("n1", Order(**order, verb=verb, device="bmc", spec=spec)))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return lambda **device: Bench(tmp_path, monkeypatch, **device)


def test_off_then_status_then_on(bench):
    one = bench()
    assert [one.ask(verb) for verb in (Verb.OFF, Verb.STATUS, Verb.ON)] == [Said.OFF, Said.OFF, Said.ON]


def test_status_waits_for_a_machine_on_its_way(bench):
    one = bench(parameters={"mood": "slow"})
    assert [one.ask(verb) for verb in (Verb.OFF, Verb.STATUS)] == [Said.OFF, Said.OFF]


def test_and_for_one_whose_controller_is_silent_meanwhile(bench):
    one = bench(parameters={"mood": "slow", "silent": "1"})
    assert [one.ask(verb) for verb in (Verb.OFF, Verb.STATUS)] == [Said.OFF, Said.OFF]


def test_a_machine_that_stays_on_is_said_to_be_on(bench):
    assert bench(timeout="600ms").ask() is Said.ON


@pytest.mark.parametrize("verb", Verb)
def test_an_error_is_no_answer(bench, verb):
    one = bench(parameters={"mood": "fails"}, timeout="600ms")
    with pytest.raises(FenceAgentError, match="exit code 1: ERROR: Failed: Unable to connect"):
        one.ask(verb)


def test_its_secret_is_read_for_each_order_and_never_shown(bench):
    one = bench(secretRef={"name": "bmc"}, parameters={"mood": "fails"}, timeout="600ms")
    one.api.found["bmc"] = LOGIN
    asyncio.run(one.fencers.secret("bmc"))
    with pytest.raises(FenceAgentError) as caught:
        one.ask(Verb.OFF)
    assert "connect with ***" in str(caught.value)


def test_a_device_that_was_changed_since_it_was_judged_is_not_asked(bench):
    one = bench()
    spec = one.judged.spec
    one.node({**one.given[0], "parameters": {**one.given[0]["parameters"], "plug": "9"}}, version="2")
    with pytest.raises(FenceAgentError, match="was changed meanwhile"):
        one.ask(Verb.OFF, spec=spec)
    assert not (one.tmp_path / "journal").exists()


def test_nor_one_whose_secret_was_changed(bench):
    one = bench(secretRef={"name": "bmc"})
    one.api.found["bmc"] = LOGIN
    asyncio.run(one.fencers.secret("bmc"))
    spec, one.api.version = one.judged.spec, "8"
    with pytest.raises(FenceAgentError, match="was changed meanwhile"):
        one.ask(Verb.OFF, spec=spec)
    assert one.judged.spec != spec
    assert one.ask(Verb.OFF) is Said.OFF


def test_a_secret_that_is_missing_is_named(bench):
    one = bench(secretRef={"name": "bmc"})
    assert not one.judged.readable
    with pytest.raises(FenceAgentError, match="Secret quorate-system/bmc does not exist"):
        one.ask()


def test_one_that_cannot_be_read_now_is_what_it_was(bench):
    one = bench(secretRef={"name": "bmc"})
    one.api.found["bmc"] = LOGIN
    asyncio.run(one.fencers.secret("bmc"))
    one.api.fails = 403
    with pytest.raises(FenceAgentError, match=r"cannot be read \(403 Forbidden\)"):
        one.ask()
    assert one.judged.readable


@pytest.mark.parametrize(
    ("data", "why"),
    [({"action": "on"}, "key action: action is set by Quorate"), ({"ipmitool_path": "/x"}, "names a program")],
)
def test_a_secret_gives_parameters_and_no_orders(bench, data, why):
    one = bench(secretRef={"name": "bmc"})
    one.api.found["bmc"] = data
    with pytest.raises(FenceAgentError, match=why):
        one.ask(spec="x")


def test_a_device_that_is_gone_is_not_asked(bench):
    one = bench()
    spec = one.judged.spec
    one.node(version="2")
    with pytest.raises(FenceAgentError, match="no fence device bmc any more"):
        one.ask(spec=spec)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"agent": "fence_dummy"}, "cannot switch"),
        ({"agent": "../bin/sh"}, "pattern"),
        ({"parameters": {"action": "on"}}, "set by Quorate"),
        ({"parameters": {"password_script": "/x"}}, "names a program"),
        ({"parameters": {"a": "b\nc"}}, "pattern"),
        ({"level": 0}, "greater than or equal"),
        ({"timeout": "soon"}, "pattern"),
    ],
)
def test_bad_devices_are_refused_with_the_field(changes, why):
    device = {"name": "bmc", "agent": "fence_ipmilan", **changes}
    raw = {"kind": "Node", "metadata": {"name": "n1"}, "spec": {"clusterName": "p", "fencing": {"devices": [device]}}}
    with pytest.raises(parse.UnreadableError, match=why) as caught:
        parse.node(raw)
    assert "Node n1: spec.fencing.devices.0" in str(caught.value)
