"""The connection: what is retried, what is refused in which words, and what the server is told about us."""

import socket
import time

import pytest

from quorate.access import client, exec_plugin
from quorate.access.client import Api
from quorate.access.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotInstalledError,
    TransientError,
    UnreachableError,
)
from quorate.access.kubeconfig import Credentials, KubeconfigError, Login
from tests.unit.cli.stub import Answer, Stub, serve

PATH = "/apis/quorate.dev/v1alpha1/clusters/prod"
SECRET = "s"


@pytest.fixture
def served():
    with serve() as stub:
        yield stub


def api(stub: Stub, budget_s: float = 5.0, **credentials: object) -> Api:
    login = Login(stub.url, "context test of kubeconfig x", "ada", credentials=Credentials(**credentials))
    return Api(login, budget_s=budget_s)


def refusal(code: int, reason: str = "", message: str = "", **details: str) -> Answer:
    return Answer(code, {"kind": "Status", "reason": reason, "message": message, "details": details})


class TestWords:
    def refused(self, stub: Stub, answer: Answer, path: str = PATH) -> ApiError:
        stub.answer("GET", path, answer)
        with pytest.raises(ApiError) as found:
            api(stub).get(path)
        return found.value

    def test_401_says_who_we_said_we_are(self, served):
        error = self.refused(served, refusal(401))
        assert "does not know us (context test of kubeconfig x, user ada). Sign in again" in str(error)

    def test_403_is_the_servers_own_words_and_whom_to_ask(self, served):
        error = self.refused(served, refusal(403, message='clusters "prod" is forbidden: User "ada" cannot get'))
        assert isinstance(error, ForbiddenError)
        assert 'not allowed: clusters "prod" is forbidden' in str(error)

    def test_404_of_an_object(self, served):
        assert isinstance(self.refused(served, refusal(404, "NotFound", "no prod", name="prod")), NotFoundError)

    def test_404_of_our_kinds_means_that_quorate_is_not_installed(self, served):
        error = self.refused(served, Answer(404, {"message": "404 page not found"}))
        assert isinstance(error, NotInstalledError)
        assert error.code == 3
        assert "Quorate is not installed there. Apply crds/" in str(error)

    def test_404_of_another_kind_does_not(self, served):
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        assert isinstance(self.refused(served, Answer(404, {}), path), NotFoundError)

    def test_409(self, served):
        assert isinstance(self.refused(served, refusal(409, "Conflict", "modified")), ConflictError)

    def test_422_is_what_the_server_found(self, served):
        assert str(self.refused(served, refusal(422, "Invalid", "spec.votes: too many"))) == "spec.votes: too many"

    def test_an_answer_that_is_no_json(self, served):
        assert "code 418" in str(self.refused(served, Answer(418, {})))


class TestTrying:
    @pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
    def test_a_read_is_tried_again(self, served, code):
        served.objects[PATH] = {"metadata": {"name": "prod"}}
        served.answer("GET", PATH, Answer(code, {}, {"Retry-After": "0"}, times=2))
        assert api(served).get(PATH)["metadata"]["name"] == "prod"

    def test_a_write_is_tried_again_only_when_nothing_was_done(self, served):
        served.objects[PATH] = {"metadata": {}}
        served.answer("PATCH", PATH, Answer(503, {}, {"Retry-After": "0"}))
        api(served).merge(PATH, {"spec": {"a": 1}})
        assert len(served.writes) == 1
        served.answer("PATCH", PATH, Answer(500, {"message": "etcd"}))
        with pytest.raises(ApiError, match="code 500: etcd"):
            api(served).merge(PATH, {})
        assert len(served.writes) == 1

    def test_it_gives_up_within_its_budget(self, served):
        served.answer("GET", PATH, Answer(503, {"message": "starting"}, {"Retry-After": "0"}, times=9999))
        with pytest.raises(TransientError, match="starting"):
            api(served, budget_s=0.2).get(PATH)

    def test_nobody_listens(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            server = f"http://127.0.0.1:{taken.getsockname()[1]}"
            login = Login(server, "context test of kubeconfig x", "ada")
            with pytest.raises(UnreachableError) as found:
                Api(login, budget_s=0.3).get(PATH)
        assert f"cannot reach the API server {server} (context test of kubeconfig x): Connection refused" in str(
            found.value
        )

    def test_a_server_that_never_answers_is_not_asked_twice(self, monkeypatch):
        """Who waits for it once has waited long enough: `READ_S` is no less than `BUDGET_S`."""
        assert client.READ_S >= client.BUDGET_S
        assert client.READ_S + client.CONNECT_S / 2 <= 5
        monkeypatch.setattr(client, "READ_S", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            login = Login(f"http://127.0.0.1:{silent.getsockname()[1]}", "context test of kubeconfig x", "ada")
            with pytest.raises(UnreachableError, match="timed out"):
                Api(login, budget_s=0.3).get(PATH)
            silent.setblocking(False)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()

    def test_a_name_that_nobody_knows(self):
        login = Login("http://api.invalid:6443", "context test of kubeconfig x", "ada")
        with pytest.raises(UnreachableError, match=r"cannot reach the API server http://api\.invalid:6443"):
            Api(login, budget_s=0.1).get(PATH)

    def test_a_server_that_speaks_no_tls(self, served):
        login = Login(served.url.replace("http:", "https:"), "context test of kubeconfig x", "ada")
        with pytest.raises(UnreachableError, match="cannot reach the API server"):
            Api(login, budget_s=0.1).get(PATH)


class TestProxy:
    """The stub as a proxy: what it is asked for is a whole URL."""

    @pytest.fixture
    def proxied(self, served, monkeypatch):
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", served.url)
        served.objects[PATH] = {"metadata": {"name": "through the proxy"}}
        return served

    def get(self, server: str, **more: str):
        return Api(Login(server, "context test of kubeconfig x", "ada", **more), budget_s=0.1).get(PATH)

    def test_the_environments(self, proxied):
        assert self.get("http://api.invalid")["metadata"]["name"] == "through the proxy"

    def test_not_for_hosts_that_it_excludes(self, proxied, monkeypatch):
        monkeypatch.setenv("no_proxy", "api.invalid")
        with pytest.raises(UnreachableError, match=r"http://api\.invalid"):
            self.get("http://api.invalid")

    def test_not_for_this_machine(self, proxied, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert self.get(proxied.url)["metadata"]["name"] == "through the proxy"

    def test_the_kubeconfigs_own(self, proxied, monkeypatch):
        monkeypatch.delenv("http_proxy")
        assert self.get("http://api.invalid", proxy=proxied.url)["metadata"]["name"] == "through the proxy"


class TestIdentity:
    def test_a_token(self, served):
        api(served, token=SECRET).items("/apis/quorate.dev/v1alpha1/clusters")
        assert served.seen_headers[-1]["authorization"] == f"Bearer {SECRET}"

    def test_name_and_password(self, served):
        api(served, username="ada", password=SECRET).items("/apis/quorate.dev/v1alpha1/clusters")
        assert served.seen_headers[-1]["authorization"] == "Basic YWRhOnM="

    def test_impersonation(self, served):
        acting = {"as": "bob", "as-uid": "7", "as-groups": ["ops", "dev"], "as-user-extra": {"scopes/x": ["view"]}}
        api(served, impersonate=acting).items("/apis/quorate.dev/v1alpha1/clusters")
        headers = served.seen_headers[-1]
        assert headers["impersonate-user"] == "bob"
        assert headers["impersonate-uid"] == "7"
        assert headers["impersonate-group"] == "ops, dev"
        assert headers["impersonate-extra-scopes%2fx"] == "view"

    def test_a_token_file_is_read_anew_when_the_token_has_run_out(self, served, tmp_path):
        (tmp_path / "token").write_text("old\n")
        served.objects[PATH] = {"metadata": {}}
        client = api(served, token_file=tmp_path / "token")
        client.get(PATH)
        (tmp_path / "token").write_text("new\n")
        served.answer("GET", PATH, refusal(401))
        client.get(PATH)
        assert served.seen_headers[-1]["authorization"] == "Bearer new"

    def test_a_plugin_is_asked_once(self, served, monkeypatch):
        asked = []
        monkeypatch.setattr(exec_plugin, "ask", lambda *_: asked.append(1) or Credentials("p"))
        client = api(served, exec={"command": "login"})
        client.items("/apis/quorate.dev/v1alpha1/clusters")
        client.items("/apis/quorate.dev/v1alpha1/clusters")
        assert served.seen_headers[-1]["authorization"] == "Bearer p"
        assert len(asked) == 1

    def test_a_token_file_that_is_not_there(self, served, tmp_path):
        with pytest.raises(KubeconfigError, match="token: No such file"):
            api(served, token_file=tmp_path / "token").get(PATH)

    def test_certificates_that_are_none(self):
        login = Login("https://127.0.0.1:1", "context test of kubeconfig x", "ada", authority=b"nonsense")
        with pytest.raises(KubeconfigError, match="its certificates cannot be used"):
            Api(login).get(PATH)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_who_is_sent_elsewhere_has_done_nothing_and_does_not_go_there(served, method):
    with serve() as elsewhere:
        served.answer(method, PATH, Answer(302, {}, {"Location": f"{elsewhere.url}{PATH}"}))
        with pytest.raises(UnreachableError, match="does not answer as an API server does"):
            api(served).get(PATH) if method == "GET" else api(served).merge(PATH, {})
        assert not elsewhere.seen_headers


def test_a_page_to_sign_in_is_no_answer(served):
    served.answer("PATCH", PATH, Answer(200, "<html>sign in</html>"))  # type: ignore[arg-type]
    with pytest.raises(UnreachableError, match="wants a sign-in"):
        api(served).merge(PATH, {})


def test_writes_name_their_field_manager_and_are_merge_patches(served):
    served.objects[PATH] = {"metadata": {}}
    api(served).merge(PATH, {"spec": {"a": 1}})
    (write,) = served.writes
    assert write.query == {"fieldManager": ["quorate-cli"]}
    assert write.content_type == "application/merge-patch+json"


def test_time_is_the_servers(served):
    served.objects[PATH] = {}
    client = api(served)
    client.get(PATH)
    assert abs(client.now() / 1000 - time.time()) < 2
    served.answer("GET", PATH, Answer(200, {}, {"Date": "Sun, 22 Nov 2026 16:43:00 GMT"}))
    ours = time.time()
    client.get(PATH)
    # 2026-11-22T16:43:00Z, and as much later as has passed since.
    assert abs(client.now() / 1000 - 1_795_365_780) < 2 + (time.time() - ours)
