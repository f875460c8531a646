"""What is watched for workloads: exactly the namespaces that have some, and only as long as they have."""

import asyncio
from typing import Any

import kopf
import pytest
from kubernetes.aio.client import Configuration

from quorate.core.types import GuestKey, Uid
from quorate.core.workloads import WorkloadKind, WorkloadTarget
from quorate.core.world import GuestSpec, GuestView, Template
from quorate.kube import observe_workloads
from quorate.kube.client import Api, Login
from quorate.kube.store import Store


def protects(store: Store, namespace: str) -> None:
    key = GuestKey(namespace, "db")
    target = WorkloadTarget(WorkloadKind.STATEFUL_SET, "db")
    store.workloads.mind(key, GuestView(key, Uid(namespace), GuestSpec(Template(""), workload=target)))


class Operators:
    """kopf, as far as it is asked: where each run watched, and whether it goes on."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.began = asyncio.Event()
        self.goes_on = True
        self.fails = False

    async def __call__(self, *, namespaces: list[str], stop_flag: asyncio.Event, **_: Any) -> None:
        self.runs.append(namespaces)
        self.began.set()
        if self.fails:
            self.fails = False
            raise RuntimeError("the API server is gone")
        if self.goes_on:
            await stop_flag.wait()


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Operators:
    made = Operators()
    monkeypatch.setattr(kopf, "operator", made)
    monkeypatch.setattr(observe_workloads, "AGAIN_S", 0.0)
    return made


def begin(store: Store, stop: asyncio.Event) -> "asyncio.Task[None]":
    api = Api(Login(Configuration(host="http://127.0.0.1:1"), "this test"))
    return asyncio.create_task(observe_workloads.watch_workloads(store, api, stop))


async def run_again(operators: Operators) -> None:
    async with asyncio.timeout(30):
        await operators.began.wait()
    operators.began.clear()


async def test_the_namespaces_that_have_some_are_watched(operators: Operators) -> None:
    store, stop = Store(lambda: None), asyncio.Event()
    watching = begin(store, stop)
    await asyncio.sleep(0)
    assert operators.runs == []
    protects(store, "shop")
    await run_again(operators)
    protects(store, "bank")
    await run_again(operators)
    store.workloads.mind(GuestKey("shop", "db"), None)
    await run_again(operators)
    stop.set()
    await asyncio.wait_for(watching, 30)
    assert operators.runs == [["shop"], ["bank", "shop"], ["bank"]]


async def test_a_failure_does_not_end_it_and_a_signal_that_kopf_took_does(operators: Operators) -> None:
    store, stop = Store(lambda: None), asyncio.Event()
    protects(store, "shop")
    operators.fails, operators.goes_on = True, False
    await asyncio.wait_for(begin(store, stop), 30)
    assert (len(operators.runs), stop.is_set()) == (2, True)


def test_pods_of_container_guests_are_left_to_the_other_watch() -> None:
    watching = observe_workloads.selective().watching
    assert (list(watching.label_selectors.values()), len(watching.field_selectors)) == (["!quorate.dev/guest"], 0)
