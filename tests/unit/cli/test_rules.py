"""`quorate rules`, and what rules have to say to `quorate relocate`."""

import pytest

from quorate.core.status import IgnoredRule
from tests.unit.cli.stub import Answer
from tests.unit.view import pictures

PROD = "/apis/quorate.dev/v1alpha1/clusters/prod"
ADD = ("rules", "add", "db", "--guests", "web,shop/db")
APART = {
    "name": "db",
    "guests": {"names": ["ct:shop/web", "ct:shop/db"]},
    "guestAffinity": {"affinity": "Apart", "topology": "Node"},
    "disabled": False,
}
ON = {"name": "on", "guests": {"names": ["shop/web"]}, "nodeAffinity": {"nodes": [{"name": "n1"}], "strict": True}}


@pytest.fixture
def ruled(prod):
    """Two rules, and a second guest."""

    def put(*rules, **status):
        prod.objects[PROD]["spec"]["rules"] = list(rules)
        if status:
            from quorate.api.wire import to_wire

            prod.objects[PROD]["status"] = to_wire(pictures.cluster_status(**status))
        return prod

    other = pictures.guest()
    other["metadata"] = {**other["metadata"], "name": "db", "uid": "db"}
    prod.put(other)
    return put


def test_a_rule_is_written_whole(run, ruled):
    stub = ruled(ON)
    ended = run(*ADD, "--apart", "--comment", "one each")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("rule db is added: ct:shop/web, ct:shop/db apart. Next:")
    (write,) = stub.writes
    assert write.body["spec"]["rules"] == [
        ON,
        {
            "name": "db",
            "guests": {"names": ["ct:shop/web", "ct:shop/db"]},
            "guestAffinity": {"affinity": "Apart"},
            "comment": "one each",
        },
    ]


def test_nodes_have_priorities(run, ruled):
    stub = ruled()
    assert run(*ADD, "--nodes", "n1:2,n2", "--strict").code == 0
    assert stub.writes[0].body["spec"]["rules"][0]["nodeAffinity"] == {
        "nodes": [{"name": "n1", "priority": 2}, {"name": "n2"}],
        "strict": True,
    }


def test_one_that_contradicts_the_others_is_refused_and_nothing_is_written(run, ruled):
    stub = ruled(APART)
    ended = run("rules", "add", "pair", "--guests", "web,db", "--together")
    assert ended.code == 1
    assert ended.err == (
        "error: refused: rules db, pair: ct:shop/db, ct:shop/web would have to be together and apart\n"
    )
    assert not stub.writes


def test_what_is_hardly_meant_is_noted(run, ruled):
    ruled()
    ended = run("rules", "add", "on", "--guests", "web,nobody", "--nodes", "n1,n9")
    assert ended.code == 0
    assert "note: rule on names guests that do not exist: ct:shop/nobody" in ended.err
    assert "note: rule on names nodes that are not in the cluster: n9" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rules add db --apart", "whom is it about?"),
        ("rules add db --guests web,db", "what is wished of them?"),
        ("rules add db --guests web,db --apart --together", "do not go together"),
        ("rules add db --guests web,db --apart --strict", "--strict belongs to --nodes"),
        ("rules add db --guests web --nodes n1 --by-zone", "--by-zone belongs to"),
        ("rules add db --guests web --nodes n1:high", "'n1:high' is not NODE or NODE:PRIORITY"),
        ("rules set on", "nothing to set"),
    ],
)
def test_half_a_rule_is_a_wrong_command_line(run, ruled, words, said):
    stub = ruled(ON)
    ended = run(*words.split())
    assert (ended.code, said in ended.err, stub.writes) == (64, True, [])


def test_set_replaces_what_was_given_and_nothing_else(run, ruled):
    stub = ruled(ON, APART)
    assert run("rules", "set", "db", "--disable").code == 0
    assert stub.writes[0].body["spec"]["rules"] == [ON, {**APART, "disabled": True}]


def test_a_rule_that_is_not_there_names_the_one_that_was_meant(run, ruled):
    stub = ruled(ON, APART)
    ended = run("rules", "set", "dbb", "--disable")
    assert (ended.code, stub.writes) == (1, [])
    assert "no rule is named 'dbb' (rules: db, on). Did you mean db?" in ended.err


def test_remove(run, ruled):
    stub = ruled(ON, APART)
    ended = run("rules", "remove", "db", "-y")
    assert ended.out.splitlines()[-1] == "rule db is removed. Its guests stay where they are"
    assert stub.writes[0].body["spec"]["rules"] == [ON]


def test_list_says_what_has_become_of_each(run, ruled):
    ignored = IgnoredRule("db", "TogetherAndApart", "rules db, pair: it cannot be")
    ruled(ON, APART, rules="1 in use, 1 ignored", ignored_rules=(ignored,))
    out = run("rules", "list").out
    assert "! db" in out
    assert "rules db, pair: it cannot be" in out
    assert "on n1, nowhere else" in out


def test_config_as_proxmox_writes_it(run, ruled):
    ruled(ON, APART)
    assert run("rules", "config", "-o", "pve").out == (
        "resource-affinity: db\n\tresources ct:shop/web,ct:shop/db\n\taffinity negative\n\n"
        "node-affinity: on\n\tresources ct:shop/web\n\tnodes n1\n\tstrict 1\n"
    )


def test_check_has_an_exit_code(run, ruled):
    ruled(ON, APART)
    assert run("rules", "check").out == "2 rules, all in use\n"
    ruled(ON, {**APART, "guests": {"names": ["shop/web"]}})
    ended = run("rules", "check")
    assert (ended.code, "ignored: rule db: it is about ct:shop/web, and" in ended.out) == (1, True)


def test_a_relocation_against_a_rule_is_refused_before_it_is_written(run, ruled):
    stub = ruled(ON)
    ended = run("relocate", "web", "n2")
    assert (ended.code, stub.writes) == (1, [])
    assert "node n2: rule on allows only n1" in ended.err


def test_who_may_not_see_all_guests_may_still_write_rules(run, ruled):
    stub = ruled()
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
    stub.answer("GET", "/apis/quorate.dev/v1alpha1/haresources", Answer(403, forbidden))
    ended = run(*ADD, "--apart")
    assert ended.code == 0
    assert "note: it could not be judged here" in ended.err
