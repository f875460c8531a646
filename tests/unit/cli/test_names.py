import pytest

from quorate.access.errors import CliError, UsageError
from quorate.access.names import guest_key, the_cluster
from quorate.core.types import GuestKey


@pytest.mark.parametrize(
    ("text", "namespace", "meant"),
    [
        ("web", None, GuestKey("default", "web")),
        ("web", "shop", GuestKey("shop", "web")),
        ("shop/web", None, GuestKey("shop", "web")),
        ("shop/web", "shop", GuestKey("shop", "web")),
        ("ct:shop/web", None, GuestKey("shop", "web")),
        ("ct:web", "shop", GuestKey("shop", "web")),
    ],
)
def test_a_guest_can_be_named_in_many_ways(text, namespace, meant):
    assert guest_key(text, namespace, "default") == meant


@pytest.mark.parametrize(
    ("text", "namespace", "found"),
    [
        ("qm:100", None, "kind is 'qm'"),
        ("shop/web", "lab", "namespace 'shop', and -n says 'lab'"),
        ("Shop/web", None, "namespace is 'Shop'"),
        ("web_1", None, "name is 'web_1'"),
        ("a/b/c", None, "namespace is 'a/b'"),
        ("w" * 64, None, "at most 63"),
        ("", None, "name is ''"),
        ("shop/", None, "name is ''"),
    ],
)
def test_a_name_that_is_none_says_what_was_found_and_what_to_write(text, namespace, found):
    with pytest.raises(UsageError) as refused:
        guest_key(text, namespace, "default")
    assert found in str(refused.value)
    assert text in str(refused.value)


def clusters(*names: str) -> list[dict]:
    return [{"metadata": {"name": name}} for name in names]


def test_the_only_cluster_need_not_be_named():
    assert the_cluster(clusters("prod"), None)["metadata"]["name"] == "prod"


def test_one_of_several_must_be_named():
    with pytest.raises(UsageError, match=r"several Clusters \(lab, prod\)\. Name one of them with --cluster"):
        the_cluster(clusters("prod", "lab"), None)
    assert the_cluster(clusters("prod", "lab"), "lab")["metadata"]["name"] == "lab"


def test_a_cluster_that_does_not_exist():
    with pytest.raises(CliError, match=r"no Cluster is named 'x' \(known: prod\)"):
        the_cluster(clusters("prod"), "x")
    with pytest.raises(CliError, match="quorate cluster create NAME"):
        the_cluster([], None)
