"""Just before a device switches a node off, three live GETs: do we lead, is it recorded, is the node still silent?"""

from typing import Any

import pytest

from quorate.api.attestation import encode
from quorate.api.wire import to_wire
from quorate.core.actions import AskDevice, Plan
from quorate.core.sequence import Order, Power, Purpose, Sequence, Step, Verb
from quorate.core.status import Incident, NodeStatus
from quorate.core.types import ATTESTATION_ANNOTATION, Stage
from quorate.kube.act import Actor
from quorate.kube.calls import Conflict
from quorate.kube.deeds import Deeds
from quorate.kube.guests.pod import Gate
from quorate.kube.store import Store
from tests.unit.core.worlds import WALL, said

OFF = Order("seq", 3, "n1-x", "n1.1", 1, 1, Verb.OFF, "ipmi", "a")
SEQUENCE = Sequence("seq", 3, Purpose.INCIDENT, "n1-x", "n1.1", 1, "ipmi=a", 1, Step.OFF, WALL, WALL)
INCIDENT = Incident("n1-x", "n1.1", WALL, "lost", Stage.SUSPECTED, 50, 3)


class Begun:
    def __init__(self):
        self.orders = []
        self.kept = []

    def keep(self, orders):
        self.kept.append(set(orders))

    def knows(self, order):
        return order in self.orders

    def begin(self, node, order, timeout_s):
        self.orders.append(order)


class Api:
    """What the three GETs find."""

    def __init__(self, **found: Any) -> None:
        self.leads = found.get("leads", ("m1", 3))
        self.sequence = found.get("sequence", SEQUENCE)
        self.incident = found.get("incident", INCIDENT)
        self.holder, self.heard = found.get("holder", "n1.1"), found.get("heard", 50)
        self.gets: list[str] = []

    async def get(self, path: str) -> dict[str, Any]:
        self.gets.append(path.rpartition("/")[2])
        match self.gets[-1]:
            case "manager-prod":
                return {"spec": {"holderIdentity": self.leads[0], "leaseTransitions": self.leads[1]}}
            case "n1" if "nodes" in path:
                status = NodeStatus(incident=self.incident, power=Power(self.sequence))
                metadata = {"name": "n1", "uid": "u", "resourceVersion": "9", "generation": 1}
                return {"metadata": metadata, "spec": {"clusterName": "prod"}, "status": to_wire(status)}
            case "n1":
                annotations = {ATTESTATION_ANNOTATION: encode(said("n1", self.heard))}
                metadata = {"name": "n1", "namespace": "quorate-agents", "uid": "lease-n1", "resourceVersion": "9"}
                return {"metadata": metadata | {"annotations": annotations}, "spec": {"holderIdentity": self.holder}}
        raise AssertionError(path)


async def ask(api: Api, order: Order = OFF, heard: int = 50) -> list[Order]:
    deeds = Deeds(api, Store(lambda: None), Gate("gate", 1), "prod", "m1")  # type: ignore[arg-type]
    begun = deeds.power = Begun()  # type: ignore[assignment]
    action = AskDevice("n1", order, 20.0, heard)
    await deeds.ask_device(action)
    await deeds.ask_device(action)
    return begun.orders


async def test_all_is_as_it_was_judged():
    api = Api()
    assert await ask(api) == [OFF]
    assert api.gets == ["manager-prod", "n1", "n1"]


@pytest.mark.parametrize(
    "changed",
    [
        {"leads": ("m2", 4)},
        {"leads": ("m1", 4)},
        {"sequence": None},
        {"sequence": Sequence("other", 3, Purpose.INCIDENT, "n1-x", "n1.1", 1, "ipmi=a", 1, Step.OFF, WALL, WALL)},
        {"sequence": Sequence("seq", 4, Purpose.INCIDENT, "n1-x", "n1.1", 1, "ipmi=a", 1, Step.OFF, WALL, WALL)},
        {"incident": None},
        {"incident": Incident("n1-y", "n1.1", WALL, "lost", Stage.SUSPECTED, 50, 3)},
        {"heard": 51},
        {"holder": "n1.2"},
    ],
    ids=str,
)
async def test_what_has_changed_since_keeps_it_on(changed):
    with pytest.raises(Conflict):
        await ask(Api(**changed))


async def test_a_lease_that_a_manager_has_taken_says_nothing_against_it():
    assert await ask(Api(holder="fenced/n1-x/n1.1")) == [OFF]


async def test_a_drill_switches_off_a_node_that_renews():
    assert await ask(Api(heard=99), heard=-1) == [OFF]


async def test_only_off_is_looked_at_so_closely():
    api = Api(leads=("m2", 4))
    status = Order("seq", 3, "n1-x", "n1.1", 1, 1, Verb.STATUS, "ipmi", "a")
    assert await ask(api, status) == [status]
    assert api.gets == []


async def test_a_plan_that_asks_for_nothing_at_all_stops_what_is_under_way():
    deeds = Deeds(Api(), Store(lambda: None), Gate("gate", 1), "prod", "m1")  # type: ignore[arg-type]
    begun = deeds.power = Begun()  # type: ignore[assignment]
    actor = Actor(deeds.api, deeds.store, deeds, lambda: True)
    await actor.carry_out(Plan(actions=(AskDevice("n1", OFF, 20.0, 50),)))
    await actor.carry_out(Plan())
    assert begun.kept == [{OFF}, set()]
