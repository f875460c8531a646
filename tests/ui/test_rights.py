"""The page for a team, on a real API server: it has the roles of manifests/dashboard, and everybody their own."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.core.types import GROUP, GuestKey
from quorate.kube.resources import HARESOURCES
from quorate.lab.apiclient import read_kubeconfig, write_kubeconfig
from quorate.lab.options import Options
from tests import real
from tests.control_plane import manifests
from tests.control_plane.manifests import RBAC, rule, token
from tests.lab.scene import Scene, container, own_cache, played
from tests.ui.browser import Visitor, browser, served, visiting

pytestmark = [pytest.mark.lab, pytest.mark.real]
WEB = GuestKey("default", "web")
OFFERED = "[data-dialog]"


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    real.programs()
    with own_cache():
        yield


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    with played(Options("uir", profile="Fast", control_plane="real", managers=1)) as scene:
        await scene.until_whole()
        scene.create(HARESOURCES, WEB.name, {"guest": container("sleep", "1000")}, WEB.namespace)
        await scene.until("web to run", lambda: scene.guest(WEB).ready)
        manifests.apply(scene.api, "dashboard-rbac.yaml", folder=manifests.DASHBOARD)
        yield scene


def person(scene: Scene, name: str, *rules: object) -> str:
    """Somebody with these rights everywhere, by token."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
    manifests.create(scene.api, account)
    manifests.grant(scene.api, f"system:serviceaccount:default:{name}", *rules)
    return token(scene.api, "default", name)


def also_in(scene: Scene, name: str, namespace: str, *rules: object) -> None:
    """And these in that namespace."""
    role = {
        "apiVersion": RBAC,
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": list(rules),
    }
    manifests.create(scene.api, role)
    binding = {
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    manifests.create(scene.api, binding)


@pytest.fixture
async def visitor(scene: Scene) -> AsyncIterator[Visitor]:
    """Somebody at the door."""
    access = read_kubeconfig(scene.files.kubeconfig)
    kubeconfig = scene.files.root / "dashboard-kubeconfig"
    write_kubeconfig(kubeconfig, replace(access, token=token(scene.api, "quorate-system", "quorate-dashboard")))
    async with browser() as chrome:
        with served(Path(kubeconfig), "--token-sign-in") as address:
            async with visiting(chrome, address) as found:
                yield found


async def sign_in(visitor: Visitor, secret: str) -> None:
    await visitor.page.fill("#token", secret)
    await visitor.page.locator("button.primary").click()


async def offered(visitor: Visitor) -> set[str]:
    """The actions that the page offers."""
    urls = await visitor.page.locator(OFFERED).evaluate_all("all => all.map(one => one.dataset.dialog)")
    return {url.removeprefix("/dialog/").partition("?")[0] for url in urls}


async def test_everybody_as_themselves(scene: Scene, visitor: Visitor) -> None:
    reading = rule("clusters nodes haresources storages", "get list watch", GROUP)
    assert await visitor.barriers() == []
    await sign_in(visitor, "nonsense")
    await visitor.reads("[role=alert]", "does not know this token")

    await sign_in(visitor, person(scene, "nobody"))
    await visitor.reads("[role=alert]", "may not list clusters.quorate.dev")

    await sign_in(visitor, person(scene, "reader", reading))
    await visitor.reads("#guests tr", "ct:default/web")
    await visitor.reads("#cluster-log", "GuestStarted")
    assert await visitor.page.locator("#nodes [data-beat] time").count() == 3
    assert await offered(visitor) == {"why", "node", "loss", "help"}
    assert "Had it to start now" in await visitor.dialog("why-ct:default/web")
    await visitor.page.keyboard.press("Escape")
    await visitor.page.locator("#sign-out").click()
    await visitor.page.locator("#token").wait_for()

    tenant = person(scene, "tenant", reading)
    also_in(scene, "tenant", "default", rule("haresources", "patch", GROUP), rule("pods", "create"))
    await sign_in(visitor, tenant)
    await visitor.reads("#guests tr", "ct:default/web")
    assert await offered(visitor) == {"why", "node", "loss", "help", "move", "stop"}
    await visitor.dialog("stop-ct:default/web")
    assert "stopped gracefully" in await visitor.confirm()
    await visitor.reads("#guests tr", "stopped stopped")
    (writer,) = {
        one["manager"]
        for one in scene.raw(HARESOURCES, WEB.name, WEB.namespace)["metadata"]["managedFields"]
        if "f:state" in str(one["fieldsV1"].get("f:spec", {}))
    }
    assert writer == "quorate-cli"
