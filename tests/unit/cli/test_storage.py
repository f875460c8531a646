"""`quorate storage add|status`: what is written, what is refused and why, and how it is shown."""

import json

import pytest
import yaml

from tests.unit.cli.stub import Answer

WHERE = "/apis/quorate.dev/v1alpha1/storages"


def written(stub):
    return [write.body for write in stub.writes if write.path == WHERE]


def added(run, stub, *words):
    ended = run("storage", "add", "media", *words)
    assert ended.code == 0, ended
    (body,) = written(stub)
    assert (body["kind"], body["metadata"]["name"]) == ("Storage", "media")
    return body["spec"]


def test_an_nfs_export(run, stub):
    words = ("--nfs", "nas:/export/guests", "--option", "nfsvers=4.2,hard", "--on-loss", "relocate", "-n", "shop,lab")
    assert added(run, stub, *words) == {
        "type": "NFS",
        "nfs": {"server": "nas", "export": "/export/guests", "options": ["nfsvers=4.2", "hard"]},
        "allowedNamespaces": ["shop", "lab"],
        "onLoss": "Relocate",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--nfs", "[fd00::9]:/x"), {"type": "NFS", "nfs": {"server": "fd00::9", "export": "/x"}}),
        (("--claim", "shop/data"), {"type": "Claim", "claim": {"namespace": "shop", "name": "data"}}),
        (("--class", "ssd"), {"type": "StorageClass", "storageClass": {"name": "ssd"}}),
        (
            ("--class", "ssd", "--size", "20Gi"),
            {"type": "StorageClass", "storageClass": {"name": "ssd", "size": "20Gi"}},
        ),
        (("--local", "/srv/x"), {"type": "Local", "local": {"path": "/srv/x"}}),
        (
            ("--local", "/srv/x", "--content", "iso", "--node-selector", "disk=ssd"),
            {
                "type": "Local",
                "local": {"path": "/srv/x"},
                "content": ["ISO"],
                "nodes": {"matchLabels": {"disk": "ssd"}},
            },
        ),
    ],
)
def test_each_type(run, stub, words, expected):
    assert added(run, stub, *words, "-n", "shop") == {**expected, "allowedNamespaces": ["shop"]}


def test_what_to_do_next_is_said(run, stub):
    said = run("storage", "add", "media", "--nfs", "nas:/x", "-n", "shop").out
    assert said == (
        "Storage media is added, for guests in shop. Next: see who reaches it with quorate storage status media; use it "
        "with quorate add GUEST --storage media:/PATH\n"
    )


def test_a_dry_run_prints_it_and_makes_nothing(run, stub):
    ended = run("storage", "add", "media", "--nfs", "nas:/x", "-n", "shop", "--dry-run")
    assert yaml.safe_load(ended.out)["spec"]["nfs"] == {"server": "nas", "export": "/x"}
    assert written(stub) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say where it is by one of --nfs, --claim, --class, --local (found none)"),
        (("--nfs", "nas:/x", "--local", "/y"), "(found --nfs and --local)"),
        (("--nfs", "nas"), "--nfs: 'nas' is not SERVER:/EXPORT. Write for example nas.example.org:/export/guests"),
        (("--nfs", ":/x"), "is not SERVER:/EXPORT"),
        (("--claim", "data"), "--claim: 'data' is not NAMESPACE/NAME. Write for example shop/data"),
        (("--local", "/x", "--option", "hard"), "--option belongs to --nfs, and this is --local"),
        (("--local", "/x", "--size", "1Gi"), "--size belongs to --class, and this is --local"),
        (("--class", "ssd", "--size", "big"), "Storage media: spec.storageClass.size: String should match pattern"),
        (("--nfs", "nas;x:/y"), "Storage media: spec.nfs.server: String should match pattern"),
        (("--local", "/x", "--content", "backup"), "'backup' is not one of"),
    ],
)
def test_a_wrong_command_line_names_option_finding_and_remedy(run, stub, words, said):
    ended = run("storage", "add", "media", *words, "-n", "shop")
    assert ended.code != 0
    assert said in ended.err
    assert written(stub) == []


def test_one_that_is_there_already(run, stub):
    stub.answer("POST", WHERE, Answer(409, {"reason": "AlreadyExists"}))
    ended = run("storage", "add", "media", "--nfs", "nas:/x", "-n", "shop")
    assert "Storage media exists already. See it with quorate storage status media, change it with" in ended.err


def storage(**status):
    found = {
        "shared": True,
        "content": "Images, RootDir",
        "nodes": "2/3",
        "unreached": [{"node": "n3", "why": "nas: no route to host"}],
        "used": "41% of 3.6 TiB",
        "volumes": [{"namespace": "shop", "volume": "quorate-media-shop-1", "claim": "quorate-media"}],
        "usedBy": ["ct:shop/db"],
        "state": "Degraded",
        "message": "used by 1 guest; n3 does not reach it (nas: no route to host)",
    }
    return {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "Storage",
        "metadata": {"name": "media", "uid": "m", "resourceVersion": "1"},
        "spec": {"type": "NFS", "nfs": {"server": "nas", "export": "/x"}},
        "status": {**found, **status},
    }


def test_all_of_them_in_a_line_each(run, stub):
    stub.put(storage())
    head, line = run("storage", "status").out.splitlines()
    assert head.split() == ["STORAGE", "TYPE", "SHARED", "CONTENT", "NODES", "USED", "STATUS", "WHY"]
    words = "! media NFS yes Images, RootDir 2/3 41% of 3.6 TiB degraded used by 1 guest; n3 does not reach it"
    assert " ".join(line.split()).startswith(words)


def test_one_with_everything_about_it(run, stub):
    stub.put(storage())
    lines = run("storage", "status", "media").out.splitlines()
    assert lines[0] == "Storage     media  NFS, shared"
    assert "Nodes       2/3 reach it" in lines
    assert "            n3 does not: nas: no route to host" in lines
    assert "Claims      shop/quorate-media of volume quorate-media-shop-1: bound" in lines
    assert lines[-1] == "Used by     ct:shop/db"


def test_for_programs(run, stub):
    stub.put(storage())
    (found,) = json.loads(run("storage", "status", "-o", "json").out)["storages"]
    assert (found["name"], found["nodes"], found["unreached"][0]["node"]) == ("media", "2/3", "n3")
    assert yaml.safe_load(run("storage", "status", "media", "-o", "yaml").out)["used"] == "41% of 3.6 TiB"


def test_none_and_one_that_nobody_knows(run, stub):
    said = "there is no Storage yet: quorate storage add NAME --nfs SERVER:/EXPORT\n"
    assert run("storage", "status").out == said
    stub.put(storage())
    ended = run("storage", "status", "tape")
    assert ended.err == "error: no Storage is named 'tape' (known: media). Add one: quorate storage add --help\n"
