"""`set`, `relocate` and `reset`, with somebody who answers as the manager would."""

from dataclasses import replace

import pytest

from quorate.api.wire import to_wire
from quorate.core.status import CommandResult, GuestStatus
from quorate.core.types import GuestState, NodeName, NodeState
from tests.unit.cli.conftest import fill
from tests.unit.cli.stub import Answer, Stub
from tests.unit.view import pictures

WEB = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/web"


def answering(result: str, *, accepted: bool = True, **then: object):
    """A manager: it takes the command from the annotation and writes what became of it."""

    def manager(stub: Stub, path: str) -> None:
        found = stub.objects[path]
        command = found["metadata"].get("annotations", {}).get("quorate.dev/command")
        if command:
            name, verb, *_ = command.split()
            status = pictures.guest_status(last_command=CommandResult(name, verb, result, accepted), **then)
            found["status"] = to_wire(status)

    return manager


class TestSet:
    def test_it_says_what_changed_and_what_happens(self, run, prod):
        ended = run("set", "web", "--state", "stopped", "--max-restart", "3")
        assert ended.out == (
            "ct:shop/web: state Started -> Stopped, maxRestart (none) -> 3. "
            "Next: it is stopped gracefully and stays stopped\n"
        )
        (write,) = prod.writes
        assert (write.method, write.path, write.body) == (
            "PATCH",
            WEB,
            {"spec": {"state": "Stopped", "maxRestart": 3}},
        )

    def test_a_comment_can_be_taken_away(self, run, prod):
        prod.put(pictures.guest(comment="old"))
        assert "comment old -> (none)" in run("set", "web", "--comment", "").out
        assert prod.writes[0].body == {"spec": {"comment": ""}}

    def test_what_is_so_already_is_not_written(self, run, prod):
        assert "it is so already" in run("set", "web", "--state", "Started").out
        assert not prod.writes

    def test_nothing_to_set(self, run, prod):
        assert run("set", "web").code == 64

    @pytest.mark.parametrize("verb", ["set nope --state stopped", "relocate nope n2", "reset nope"])
    def test_a_guest_that_is_not_there_names_those_that_are(self, run, prod, verb):
        ended = run(*verb.split())
        assert ended.code == 1
        assert ended.err == (
            "error: ct:shop/nope is not under HA (guests in shop: web). Add it: quorate add shop/nope --image IMAGE\n"
        )


class TestRelocate:
    @pytest.mark.parametrize("verb", ["relocate", "migrate"])
    def test_the_command_is_written_and_the_result_printed(self, run, prod, verb):
        prod.after_write = answering("relocating from n1 to n2", state=GuestState.RELOCATE)
        ended = run(verb, "web", "n2")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith("ct:shop/web: relocating from n1 to n2. Next: it is stopped, then started on n2;")
        (write,) = prod.writes
        command = write.body["metadata"]["annotations"]["quorate.dev/command"]
        assert write.path == WEB
        assert command.split()[1:] == [verb, "n2"]
        assert len(command.split()[0]) == 8

    def test_every_command_has_an_id_of_its_own(self, run, prod):
        prod.after_write = answering("relocating from n1 to n2")
        run("relocate", "web", "n2")
        run("relocate", "web", "n3")
        first, second = (write.body["metadata"]["annotations"]["quorate.dev/command"] for write in prod.writes)
        assert first.split()[0] != second.split()[0]

    def test_waiting_until_it_runs_there(self, run, prod):
        prod.after_write = answering("relocating from n1 to n2", node=NodeName("n2"))
        ended = run("relocate", "web", "n2", "--wait")
        assert (ended.code, ended.out) == (0, "ct:shop/web runs on n2\n")

    @pytest.mark.parametrize(
        ("then", "said"),
        [
            ({"node": NodeName("n3")}, "did not come to run on n2: it is Started, runs on n1"),
            ({"state": GuestState.ERROR, "message": "it failed"}, "did not come to run on n2: it is Error, it failed"),
            (
                {"state": GuestState.STARTING, "message": "pulling"},
                "does not run on n2 after 0.3s: it is Starting, pulling",
            ),
        ],
    )
    def test_waiting_in_vain(self, run, prod, then, said):
        prod.after_write = answering("relocating from n1 to n2", **then)
        ended = run("relocate", "web", "n2", "--wait", "--timeout", "300ms")
        assert ended.code == 1
        assert said in ended.err

    def test_the_manager_has_the_last_word(self, run, prod):
        prod.after_write = answering("refused: n2: its kubelet is not ready", accepted=False)
        ended = run("relocate", "web", "n2")
        assert (ended.code, ended.err) == (1, "error: ct:shop/web: refused: n2: its kubelet is not ready\n")

    @pytest.mark.usefixtures("impatient")
    def test_nobody_answers(self, run, prod):
        ended = run("relocate", "web", "n2")
        assert ended.code == 0
        assert "no manager has answered within 100ms; it is carried out when one does" in ended.out

    def test_it_is_there_already(self, run, prod):
        assert run("relocate", "web", "n1").out == "ct:shop/web runs on n1 already: nothing to do\n"
        assert not prod.writes


class TestWhatStandsInTheWay:
    def refused(self, run, stub: Stub, node: str = "n2") -> str:
        ended = run("relocate", "web", node)
        assert ended.code == 1
        assert not stub.writes
        heading, *lines = ended.err.splitlines()
        assert heading == f"error: ct:shop/web cannot be relocated to {node}:"
        return "\n".join(lines)

    def test_an_unknown_node(self, run, prod):
        assert self.refused(run, prod, "n9") == "  no node of Cluster prod is named 'n9' (its nodes: n1, n2, n3)"

    def test_a_node_that_is_not_online(self, run, prod):
        prod.put(pictures.node("n2", pictures.node_status(state=NodeState.UNKNOWN)))
        assert self.refused(run, prod) == "  node n2: it is unknown"

    def test_a_node_that_is_cordoned(self, run, prod):
        prod.put(pictures.kube_node("n2", cordoned=True))
        assert self.refused(run, prod) == "  node n2: it is cordoned"

    def test_a_node_whose_kubelet_is_not_ready(self, run, prod):
        prod.put(pictures.kube_node("n2", is_ready=False))
        assert self.refused(run, prod) == "  node n2: its kubelet is not ready"

    def test_a_node_that_kubernetes_does_not_know(self, run, prod):
        del prod.objects["/api/v1/nodes/n2"]
        assert self.refused(run, prod) == "  node n2: Kubernetes does not know it"

    def test_a_node_whose_watchdog_is_not_trusted(self, run, prod):
        del prod.objects["/apis/coordination.k8s.io/v1/namespaces/quorate-agents/leases/n2"]
        assert self.refused(run, prod) == "  node n2: its agent has no watchdog"

    def test_a_node_without_the_guests_storage(self, run, prod):
        local = pictures.storage("media")
        local["spec"]["nodes"] = {"matchLabels": {"disk": "fast"}}
        prod.put(local)
        prod.put(pictures.guest(storage=[{"name": "media", "path": "/srv"}]))
        assert "storage media is not there" in self.refused(run, prod)

    def test_no_quorum_and_a_guest_that_is_not_started(self, run, stub):
        fill(stub, replace(pictures.quorum_lost(), nodes=pictures.whole().nodes, leases=pictures.whole().leases))
        found = self.refused(run, stub).splitlines()
        assert found[0] == "  Cluster prod is not quorate (1 of 3 votes, need 2): nothing is moved"
        assert found[1].startswith("  a guest is relocated while it is Started, it is Fence: waiting for proof")

    def test_no_cluster_looks_after_it(self, run, prod):
        prod.put(pictures.guest(GuestStatus(message="name one of them")))
        assert self.refused(run, prod) == "  no Cluster looks after it yet: name one of them"

    @pytest.mark.parametrize(
        "path", ["/api/v1/nodes/n2", "/apis/coordination.k8s.io/v1/namespaces/quorate-agents/leases/n2"]
    )
    def test_what_we_may_not_see_is_left_to_the_manager(self, run, prod, path):
        prod.answer("GET", path, Answer(403, {"message": "forbidden"}))
        prod.after_write = answering("relocating from n1 to n2")
        assert run("relocate", "web", "n2").code == 0


class TestReset:
    def test_out_of_error(self, run, prod):
        prod.put(pictures.guest(pictures.in_error()))
        prod.after_write = answering("out of Error: it is tried anew", state=GuestState.QUEUED)
        assert run("reset", "web").out.startswith(
            "ct:shop/web: out of Error: it is tried anew. Next: it is started again"
        )
        assert prod.writes[0].body["metadata"]["annotations"]["quorate.dev/command"].endswith(" reset")

    def test_nothing_to_reset(self, run, prod):
        ended = run("reset", "web")
        assert (ended.code, ended.err) == (1, "error: ct:shop/web: nothing to reset, it is Started\n")
        assert not prod.writes
