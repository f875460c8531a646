"""`cluster create` and `cluster expected`."""

from dataclasses import replace

import pytest

from quorate.access import expected
from quorate.access.errors import CliError
from quorate.api.wire import to_wire
from quorate.core.override import Override, OverrideState
from quorate.core.quorum import Rule
from quorate.core.status import VotesStatus
from quorate.view.build import build
from tests.unit.cli.conftest import fill
from tests.unit.cli.stub import Answer, Stub
from tests.unit.view import pictures

CLUSTERS = "/apis/quorate.dev/v1alpha1/clusters"
PROD = f"{CLUSTERS}/prod"


class TestCreate:
    def test_the_least(self, run, stub):
        ended = run("cluster", "create", "prod")
        assert ended.out == (
            "Cluster prod is created. Next: every worker node joins and votes; watch it with quorate status -w\n"
        )
        (write,) = stub.writes
        assert (write.path, write.query) == (CLUSTERS, {"fieldManager": ["quorate-cli"]})
        assert write.body["spec"] == {"timing": {"profile": "Auto"}}

    def test_every_option(self, run, stub):
        selected = "--node-selector rack=2,tier=a --node-selector x="
        line = f"cluster create rack --profile fast {selected} --accept-watchdog external"
        assert "Next: every node that matches joins and votes" in run(*line.split()).out
        assert stub.writes[0].body["spec"] == {
            "timing": {"profile": "Fast"},
            "nodeSelector": {"matchLabels": {"rack": "2", "tier": "a", "x": ""}},
            "fencing": {"acceptedWatchdogs": ["Hardware", "Softdog", "External"]},
        }

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("--node-selector rack", "'rack' is not KEY=VALUE"),
            ("--profile slow", "'slow' is not one of"),
            ("--profile custom", "Apply a Cluster with spec.timing.custom"),
            ("--accept-watchdog dog", "'dog' is not one of"),
        ],
    )
    def test_options_that_mean_nothing(self, run, stub, options, said):
        ended = run("cluster", "create", "prod", *options.split())
        assert ended.code == 64
        assert said in ended.err
        assert not stub.writes

    def test_it_is_there_already(self, run, stub):
        stub.answer("POST", CLUSTERS, Answer(409, {"reason": "AlreadyExists"}))
        ended = run("cluster", "create", "prod")
        assert ended.code == 1
        assert "Cluster prod exists already. See it with quorate status" in ended.err


def cluster_with(live: int, total: int = 3, **changes: object):
    status = pictures.cluster_status(quorate=False, votes=VotesStatus(total, total, live, total // 2 + 1), **changes)
    return build(replace(pictures.quorum_lost(), clusters=(pictures.cluster(status),)), pictures.NOW).clusters[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("live", "total", "votes", "said"),
        [
            (2, 3, 1, "a real majority is alive: 2 of 3 votes, and floor(3 / 2) + 1 = 2 are enough"),
            (3, 3, 3, "a real majority is alive"),
            (3, 5, 1, "floor(5 / 2) + 1 = 3 are enough"),
            (0, 3, 1, "none of its 3 votes is alive"),
            (1, 3, 2, "with 2 expected votes floor(2 / 2) + 1 = 2 are needed, and 1 is alive"),
            (2, 7, 5, "with 5 expected votes floor(5 / 2) + 1 = 3 are needed, and 2 are alive"),
            (2, 7, 5, "At most 3 would do"),
            (0, 0, 1, "no manager has counted its votes yet"),
        ],
    )
    def test_with_the_arithmetic(self, live, total, votes, said):
        with pytest.raises(CliError) as refused:
            expected.refuse(cluster_with(live, total), votes)
        assert said in str(refused.value)
        assert "Cluster prod" in str(refused.value)

    @pytest.mark.parametrize(("live", "total", "votes"), [(1, 3, 1), (2, 5, 3), (2, 5, 2), (1, 2, 1)])
    def test_not_when_it_is_needed_and_helps(self, live, total, votes):
        expected.refuse(cluster_with(live, total), votes)


def waiting(live: int):
    votes = VotesStatus(3, 3, live, 2, rule=Rule.WAITING_FOR_ALL)
    status = pictures.cluster_status(quorate=False, votes=votes)
    return build(replace(pictures.quorum_lost(), clusters=(pictures.cluster(status),)), pictures.NOW).clusters[0]


def test_while_all_are_waited_for_a_majority_may_go_on_by_a_persons_word():
    expected.refuse(waiting(2), 2)
    assert "it waits until all have been heard at once: no HA" in expected.meaning(waiting(2), 2)[0]
    with pytest.raises(CliError, match="with 3 expected it would go on waiting"):
        expected.refuse(waiting(2), 3)


class TestQuorum:
    def test_without_options_it_says_what_is_set(self, run, prod):
        prod.objects[PROD]["spec"] = {
            "quorum": {"waitForAll": True, "lastManStanding": {"window": "10s"}, "twoNode": False, "expectedVotes": {}}
        }
        ended = run("cluster", "quorum")
        assert ended.out == (
            "Cluster prod: options of quorum: lastManStanding (window 10s), waitForAll. Drawn: quorate status -v\n"
        )
        assert not prod.writes

    def test_every_option(self, run, prod):
        line = "--no-wait-for-all --tie-breaker n2 --tie-breaker n1 --last-man-standing off --device third --two-node"
        assert run("cluster", "quorum", *line.split()).code == 0
        (write,) = prod.writes
        assert write.body["spec"]["quorum"] == {
            "waitForAll": False,
            "twoNode": True,
            "autoTieBreaker": True,
            "autoTieBreakerNodes": ["n2", "n1"],
            "lastManStanding": None,
            "device": {"name": "third", "votes": None},
        }

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ("--last-man-standing soon", "Write for example 10s, or off"),
            ("--device-votes 2", "--device-votes belongs to --device NAME"),
        ],
    )
    def test_options_that_mean_nothing(self, run, prod, options, said):
        ended = run("cluster", "quorum", *options.split())
        assert ended.code == 64
        assert said in ended.err
        assert not prod.writes


def test_what_it_means():
    assert expected.meaning(cluster_with(1), 1) == [
        "Cluster prod: 1 of 3 votes live, floor(3 / 2) + 1 = 2 needed: no HA.",
        "With 1 expected: floor(1 / 2) + 1 = 1 needed: HA acts again, without a majority.",
        "Not heard from: n1 (1 guest), n2 (1 guest). Their guests recover elsewhere once each node is proven dead.",
        "It ends by itself as soon as 2 of 3 votes live again.",
    ]


def judging(state: OverrideState):
    """A manager that has judged every new request so."""

    def manager(stub: Stub, path: str) -> None:
        wish = stub.objects[path]["spec"]["quorum"]["expectedVotes"]
        status = pictures.cluster_status(
            override=Override(wish["generation"], wish["votes"], state), message="quorate (1 of 1 votes, need 1)"
        )
        stub.objects[path]["status"] = to_wire(status)

    return manager


class TestExpected:
    @pytest.fixture
    def torn(self, stub):
        """A cluster of which one vote of three is alive."""
        fill(stub, pictures.quorum_lost())
        stub.objects[PROD]["metadata"]["resourceVersion"] = "7"
        stub.after_write = judging(OverrideState.ACTIVE)
        return stub

    def test_it_is_written_as_a_compare_and_swap_and_the_outcome_is_said(self, run, torn):
        ended = run("cluster", "expected", "1", "--reason", "they burnt", "-y")
        assert ended.code == 0
        assert ended.out == (
            "Cluster prod: expected votes are 1 (generation 1) and in force. Next: quorate (1 of 1 votes, need 1)\n"
        )
        assert "HA acts again, without a majority" in ended.err
        (write,) = torn.writes
        assert write.body == {
            "metadata": {"resourceVersion": "7"},
            "spec": {"quorum": {"expectedVotes": {"votes": 1, "reason": "they burnt", "generation": 1}}},
        }

    @pytest.mark.parametrize(("in_spec", "in_status", "drawn"), [(4, 2, 5), (0, 6, 7)])
    def test_the_next_generation_is_above_every_one_before(self, run, torn, in_spec, in_status, drawn):
        if in_spec:
            wish = {"votes": 1, "reason": "x", "generation": in_spec}
            torn.objects[PROD]["spec"] = {"quorum": {"expectedVotes": wish}}
        torn.objects[PROD]["status"]["override"] = {"generation": in_status, "votes": 1, "state": "Spent"}
        run("cluster", "expected", "1", "--reason", "x", "-y")
        assert torn.writes[0].body["spec"]["quorum"]["expectedVotes"]["generation"] == drawn

    def test_somebody_was_faster(self, run, torn):
        torn.answer("PATCH", PROD, Answer(409, {"reason": "Conflict", "message": "modified"}))
        assert run("cluster", "expected", "1", "--reason", "x", "-y").code == 0

    def test_while_a_majority_lives_nothing_is_written(self, run, prod):
        ended = run("cluster", "expected", "1", "--reason", "x", "-y")
        assert ended.code == 1
        assert "3 of 3 votes, and floor(3 / 2) + 1 = 2 are enough. Nothing needs an override" in ended.err
        assert not prod.writes

    def test_a_majority_that_comes_back_while_we_ask(self, run, torn, monkeypatch):
        monkeypatch.setattr("quorate.cli.clusters.confirm", lambda *_, **__: fill(torn, pictures.whole()))
        assert run("cluster", "expected", "1", "--reason", "x").code == 1
        assert not torn.writes

    def test_without_a_terminal_and_without_y_nothing_is_written(self, run, torn):
        ended = run("cluster", "expected", "1", "--reason", "x")
        assert ended.code == 64
        assert "There is no terminal to ask on, so nothing was done. Say -y if you are sure" in ended.err
        assert not torn.writes

    @pytest.mark.parametrize(("answer", "code", "writes"), [("y\n", 0, 1), ("n\n", 130, 0), ("\n", 130, 0)])
    def test_on_a_terminal_it_asks(self, run, torn, terminal, answer, code, writes):
        terminal(answer)
        ended = run("cluster", "expected", "1", "--reason", "x")
        assert (ended.code, len(torn.writes)) == (code, writes)
        assert "Count Cluster prod with 1 expected votes?" in ended.err

    def test_the_manager_refuses_all_the_same(self, run, torn):
        torn.after_write = judging(OverrideState.REFUSED)
        ended = run("cluster", "expected", "1", "--reason", "x", "-y")
        assert ended.code == 1
        assert "the manager refused it: a real majority lives" in ended.err

    @pytest.mark.usefixtures("impatient")
    def test_no_manager_answers(self, run, torn):
        torn.after_write = None
        ended = run("cluster", "expected", "1", "--reason", "x", "-y")
        assert ended.code == 0
        assert "No manager has answered within 100ms" in ended.out

    def test_a_silent_manager_is_told(self, run, torn):
        fill(torn, replace(pictures.quorum_lost(), leaders=pictures.leader(age_s=60)))
        torn.objects[PROD]["metadata"]["resourceVersion"] = "8"
        assert "! No manager leads now" in run("cluster", "expected", "1", "--reason", "x", "-y").err

    def test_one_of_several_clusters_must_be_named(self, run, torn):
        torn.put(pictures.cluster(name="lab"))
        assert run("cluster", "expected", "1", "--reason", "x", "-y").code == 64
        assert run("cluster", "expected", "1", "--reason", "x", "-y", "--cluster", "prod").code == 0
        assert "no Cluster is named 'x'" in run("cluster", "expected", "1", "--reason", "x", "--cluster", "x").err
