"""`quorate what-if` and `quorate explain`: the planner's answers, printed."""

import json
from dataclasses import replace

import pytest

from tests.unit.cli.stub import Answer
from tests.unit.view import pictures

PROD = "/apis/quorate.dev/v1alpha1/clusters/prod"
WEB = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/web"
STAYS = "While it runs it stays where it is, unless a rule, a lost Storage or a person moves it."


def lines(ended):
    return [" ".join(line.split()) for line in ended.out.splitlines() if line.strip()]


@pytest.fixture
def tight(prod):
    """n2 and n3 have less memory than the guest on n1 requests."""
    prod.objects[PROD]["spec"]["scheduling"] = {"mode": "Static"}
    for name, memory in (("n1", "8Gi"), ("n2", "1Gi"), ("n3", "1Gi")):
        prod.objects[f"/api/v1/nodes/{name}"]["status"]["allocatable"] = {"cpu": "4", "memory": memory}
    (container,) = prod.objects[WEB]["spec"]["guest"]["container"]["spec"]["containers"]
    container["resources"] = {"requests": {"memory": "2Gi"}}
    return prod


def test_each_node_by_itself(run, prod):
    ended = run("what-if")
    assert ended.code == 0
    assert lines(ended) == ["IF LOST VERDICT GUESTS WITHOUT A NODE", "n1 ok 1 0", "n2 ok 0 0", "n3 ok 0 0"]


def test_who_goes_where(run, prod):
    ended = run("what-if", "--fail", "n1")
    assert ended.code == 0
    assert lines(ended) == ["if n1 is lost: 1 guest recovers elsewhere", "GUEST FROM TO", "ct:shop/web n1 n2"]
    assert lines(run("what-if", "--fail", "n3")) == ["if n3 is lost: no guest is concerned"]
    assert not prod.writes


def test_who_has_no_node_and_why(run, tight):
    ended = run("what-if", "--fail", "n1")
    reason = "n2, n3: it has 1024 MiB of memory left, 2048 MiB are requested"
    assert ended.code == 1
    assert lines(ended) == [
        "if n1 is lost: 0 guests recover elsewhere, 1 guest would have no node",
        "GUEST FROM TO WHY",
        f"! ct:shop/web n1 - {reason}",
    ]
    assert f"! n1 NOT ok 1 1 ct:shop/web: {reason}" in lines(run("what-if"))


def test_pods_that_are_not_under_ha_count(run, tight):
    tight.objects["/api/v1/nodes/n2"]["status"]["allocatable"]["memory"] = "4Gi"
    assert run("what-if", "--fail", "n1").code == 0
    other = {"resources": {"requests": {"memory": "3Gi"}}}
    tight.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "other", "namespace": "shop"},
            "spec": {"nodeName": "n2", "containers": [other]},
        }
    )
    assert run("what-if", "--fail", "n1").code == 1


def test_several_at_once_are_too_many_for_quorum(run, prod):
    for words in (("--fail", "n1,n2"), ("--fail", "n1", "--fail", "n2")):
        ended = run("what-if", *words)
        assert ended.code == 1
        assert lines(ended)[0].startswith("if n1 and n2 are lost: no quorum (1 of 3 votes, need 2)")
        assert lines(ended)[-1] == "ct:shop/web n1 (n3)"


def test_for_programs(run, prod):
    (loss,) = json.loads(run("what-if", "--fail", "n1", "-o", "json").out)["losses"]
    assert (loss["nodes"], loss["survived"]) == (["n1"], True)
    assert loss["moves"] == [{"guest": "ct:shop/web", "from": "n1", "to": "n2", "reason": ""}]
    found = json.loads(run("explain", "web", "-o", "json").out)
    assert (found["guest"], found["best"], [one["node"] for one in found["verdicts"]]) == (
        "ct:shop/web",
        "n2",
        ["n1", "n2", "n3"],
    )


def test_a_node_that_is_not_there(run, prod):
    ended = run("what-if", "--fail", "n1,n9")
    assert ended.code == 1
    assert ended.err == "error: --fail: no node of Cluster prod is named 'n9' (its nodes: n1, n2, n3)\n"


def test_what_may_not_be_read_is_named(run, prod):
    refused = {"kind": "Status", "reason": "Forbidden", "message": 'nodes is forbidden: User "eve" cannot list'}
    prod.answer("GET", "/api/v1/nodes", Answer(403, refused))
    ended = run("what-if")
    assert ended.code == 1
    assert "cannot list" in ended.err


def test_why_a_guest_is_where_it_is(run, prod):
    prod.put(pictures.kube_node("n2", cordoned=True))
    ended = run("explain", "web")
    assert ended.code == 0
    assert lines(ended) == [
        "ct:shop/web started: runs on n1",
        f"If it had to start now, it would start on n3. {STAYS}",
        "NODE CAN START IT WHY",
        "n1 yes it is here; 1 guest",
        "n3 yes, best 0 guests",
        "n2 no it is cordoned; 0 guests",
    ]


def test_rules_and_load_are_given_as_reasons(run, tight):
    on = {"name": "on", "guests": {"names": ["shop/web"]}, "nodeAffinity": {"nodes": [{"name": "n1", "priority": 7}]}}
    tight.objects[PROD]["spec"]["rules"] = [on]
    said = lines(run("explain", "web"))
    assert said[1] == "If it had to start now, it would start on n1 again."
    assert said[3] == (
        "n1 yes, best it is here; priority 7 by rule on; 1 guest, 25% of its memory and 0% of its processor time requested"
    )
    assert said[4].startswith("n2 no it has 1024 MiB of memory left, 2048 MiB are requested; 0 guests")


def test_what_is_awaited_and_until_when(run, stub):
    from tests.unit.cli.conftest import fill

    fill(stub, pictures.node_lost())
    said = lines(run("explain", "web"))
    assert said[0].startswith("ct:shop/web fence: ")
    assert said[1].startswith("This ends no later than 11:06:52 UTC (in 1")


def test_what_a_node_waits_for_and_what_its_guests_say(run, stub):
    from tests.unit.cli.conftest import fill

    fill(stub, pictures.node_lost())
    said = lines(run("explain", "n1"))
    assert said[0].startswith("n1 fence: ")
    assert said[1].startswith("Its guests are released no later than 11:06:52 UTC (in 1")
    assert said[2] == "GUEST STATE WHY"
    assert said[3].startswith("ct:shop/web fence ")
    found = json.loads(run("explain", "n1", "-o", "json").out)
    assert (found["node"], found["status"]["state"], found["guests"][0]["guest"]) == ("n1", "Fence", "ct:shop/web")
    assert lines(run("explain", "n3"))[0].startswith("n3 online: ")
    stub.put(pictures.node("n4.example.org"))
    assert run("explain", "n4.example.org").out.startswith("n4.example.org  online: ")
    assert "its name is 'n5.example.org'" in run("explain", "n5.example.org").err


def test_one_that_no_cluster_looks_after(run, prod):
    prod.put(pictures.guest(replace(pictures.guest_status(), cluster_name="")))
    assert "no Cluster looks after it yet" in run("explain", "web").err
    assert "ct:shop/nix is not under HA" in run("explain", "nix").err
