"""The agent's smaller parts: boots, orders, the runtime, the start gate."""

import json
import subprocess
import sys
import time

import pytest

from quorate.agent import answer, boot, drivers, gate, runtime
from quorate.agent.api import AccessError, from_kubeconfig
from quorate.agent.orders import parse
from quorate.agent.pace import Pace
from quorate.core.types import WRONG_BOOT_EXIT


class TestBoot:
    def test_the_same_boot_has_the_same_nonce_and_another_machine_another(self):
        machines = [subprocess.Popen(["sleep", "60"]), None]
        time.sleep(0.05)  # start times are counted in hundredths of a second
        machines[1] = subprocess.Popen(["sleep", "60"])
        try:
            first, again, second = (boot.read(machines[index].pid) for index in (0, 0, 1))
            assert first.nonce == again.nonce
            assert first.nonce != second.nonce
            assert boot.kernel_of(first.nonce) == boot.kernel_of(second.nonce)
            assert first.shared_kernel
            assert 0 <= first.uptime_s() < 60
        finally:
            for machine in machines:
                machine.kill()
                machine.wait()

    def test_the_machines_own_name_is_the_first_that_is_there_or_empty(self, tmp_path):
        firmware, installed, none = tmp_path / "uuid", tmp_path / "machine-id", tmp_path / "none"
        firmware.write_text("AB-CD\n")
        installed.write_text("ef\n")
        machine = subprocess.Popen(["sleep", "60"])
        try:
            assert boot.read(machine.pid, [firmware, installed]).system_uuid == "ab-cd"
            assert boot.read(machine.pid, [none, installed]).system_uuid == "ef"
            assert boot.read(machine.pid, [none]).system_uuid == ""
        finally:
            machine.kill()
            machine.wait()

    def test_a_process_with_blanks_and_brackets_in_its_name(self, tmp_path):
        assert boot.start_ticks(1) >= 0


class TestRuntime:
    UID = "0b2b4a38-7d9f-4c8e-9d0a-3f6c5a4b1e2d"

    @pytest.mark.parametrize(
        "cgroup",
        [
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{under}.slice/cri-containerd-ab.scope",
            "0::/../../kubepods-besteffort-pod{under}.slice/cri-containerd-ab.scope",
            "12:cpu:/kubepods/burstable/pod{plain}/ab\n1:name=systemd:/kubepods/burstable/pod{plain}/ab",
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{under}.slice/cri-containerd-ab.scope",
        ],
    )
    def test_a_pod_is_known_by_its_cgroup(self, tmp_path, cgroup):
        process = tmp_path / "proc" / "77"
        process.mkdir(parents=True)
        text = cgroup.format(under=self.UID.replace("-", "_"), plain=self.UID)
        (process / "cgroup").write_text(text)
        (tmp_path / "proc" / "meminfo").write_text("")
        (tmp_path / "pods" / self.UID).mkdir(parents=True)
        found = runtime.CgroupRuntime(tmp_path / "proc", tmp_path / "pods")
        assert found.running() == {self.UID}
        assert found.known() == {self.UID}

    def test_other_processes_are_no_pods(self, tmp_path):
        for number, text in enumerate(["0::/init.scope", "0::/system.slice/podman.service", "0::/"]):
            (tmp_path / str(number)).mkdir()
            (tmp_path / str(number) / "cgroup").write_text(text)
        assert runtime.CgroupRuntime(tmp_path, tmp_path).running() == set()

    def test_our_own_machine_can_be_read(self):
        assert isinstance(runtime.CgroupRuntime().running(), frozenset)

    @pytest.mark.parametrize(
        ("record", "runs"),
        [('{"state": "running"}', True), ('{"state": "starting"}', True), ('{"state": "exited"}', False), ("{", True)],
    )
    def test_only_an_exited_record_proves_an_end(self, tmp_path, record, runs):
        (tmp_path / "u").mkdir()
        (tmp_path / "u" / "main.json").write_text(record)
        found = runtime.RecordRuntime(tmp_path)
        assert found.running() == ({"u"} if runs else set())
        assert found.known() == {"u"}

    def test_a_directory_that_is_not_there_yet(self, tmp_path):
        assert runtime.RecordRuntime(tmp_path / "none").running() == set()

    @pytest.mark.parametrize("spec", ["cgroup:/x", "pids:", "docker", ""])
    def test_what_is_no_runtime_is_refused(self, spec):
        with pytest.raises(ValueError, match="use cgroup or pids:DIRECTORY"):
            runtime.named(spec)


NODE = {
    "status": {
        "arming": {"generation": 3, "wanted": True},
        "orders": {"renewEvery": "1s", "timeout": "1.5s", "watchdog": "5s"},
        "asks": ["u1"],
        "term": 7,
    }
}


class TestOrders:
    def test_what_the_manager_asks(self):
        found = parse(NODE)
        assert (found.member, found.generation, found.armed, found.asks, found.highest_term) == (
            True,
            3,
            True,
            ("u1",),
            7,
        )
        assert found.timing.watchdog_s == 5

    def test_it_lets_go_under_guests_only_where_it_is_told_so(self):
        released = {"generation": 4, "wanted": False, "released": True}
        assert parse({"status": {**NODE["status"], "arming": released}}).released
        assert not parse(NODE).released

    def test_which_boot_is_to_end(self):
        request = {"id": "r1", "nonce": "n1.1", "guest": "ct:default/web", "at": "2026-01-01T00:00:00Z"}
        assert parse({"status": {**NODE["status"], "resetRequest": request}}).reset == "n1.1"
        assert parse({"status": {**NODE["status"], "resetRequest": request | {"failed": True}}}).reset is None
        assert parse(NODE).reset is None

    def test_a_new_member_is_asked_nothing(self):
        assert parse({"spec": {}}).member
        assert not parse({}).armed

    @pytest.mark.parametrize("watchdog_time", ["4s", "soon", None])
    def test_times_that_make_no_sense_are_not_followed(self, watchdog_time):
        orders = {**NODE["status"]["orders"], "watchdog": watchdog_time}
        with pytest.raises((ValueError, TypeError)):
            parse({"status": {**NODE["status"], "orders": orders}})


class TestGate:
    def environment(self, **changes):
        nonce = f"{boot.kernel_part(boot.BOOT_ID.read_text())}.12345678"
        found = {"QUORATE_NONCE": nonce, "QUORATE_SHARED_KERNEL": "no", "QUORATE_HOST_IP": "127.0.0.1"}
        return {**found, "QUORATE_AGENT_PORT": "1", **changes}

    def test_a_kernel_of_its_own_is_told_by_its_boot_id(self):
        assert gate.verdict(self.environment()) is True
        assert gate.verdict(self.environment(QUORATE_NONCE="another.12345678")) is False

    def test_where_nodes_share_a_kernel_the_agent_is_asked_and_no_answer_waits(self):
        assert gate.verdict(self.environment(QUORATE_SHARED_KERNEL="yes")) is None

    @pytest.mark.parametrize(("part", "expected"), [("12345678", True), ("87654321", False)])
    def test_the_agents_answer_decides(self, part, expected):
        nonce = f"{boot.kernel_part(boot.BOOT_ID.read_text())}.{part}"
        server = answer.serve("127.0.0.1:0", "n1", boot.Boot(nonce, 0.0, "", shared_kernel=True), lambda: b"")
        try:
            port = str(server.server_address[1])
            environment = self.environment(QUORATE_SHARED_KERNEL="yes", QUORATE_AGENT_PORT=port)
            assert gate.verdict(environment) is expected
        finally:
            server.shutdown()
            server.server_close()

    def test_its_exit_codes(self):
        def run(**changes):
            command = [sys.executable, "-m", "quorate.agent.gate"]
            return subprocess.run(command, env=self.environment(**changes), capture_output=True, text=True, check=False)

        assert run().returncode == 0
        wrong = run(QUORATE_NONCE="another.1")
        assert wrong.returncode == WRONG_BOOT_EXIT
        assert "another boot of the node" in wrong.stdout


class TestAccess:
    def test_a_kubeconfig_that_points_nowhere(self, tmp_path):
        with pytest.raises(AccessError, match="set --kubeconfig to a readable file"):
            from_kubeconfig(tmp_path / "none")

    def test_one_without_the_context_it_names(self, tmp_path):
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps({"current-context": "a", "contexts": [], "clusters": []}))
        with pytest.raises(AccessError, match="KeyError"):
            from_kubeconfig(file)


@pytest.mark.parametrize("spec", ["external:", "softdog", "", "/dev/watchdog"])
def test_what_is_no_watchdog_is_refused(spec):
    with pytest.raises(ValueError, match="use linux:DEVICE, linux:DIRECTORY, external:SOCKET or none"):
        drivers.named(spec, "n1", shared_kernel=False)


class TestPace:
    def test_one_slow_renewal_in_a_thousand_does_not_count_and_two_in_a_hundred_do(self):
        calm, slow = Pace(), Pace()
        for second in range(1000):
            calm.took(second, 1.0 if second == 950 else 0.01)
            slow.took(second, 1.0 if second % 50 == 0 else 0.01)
        assert (calm.latency_s(1000), slow.latency_s(1000)) == (0.01, 1.0)

    def test_what_is_older_than_ten_minutes_is_forgotten(self):
        pace = Pace()
        for second in range(2000):
            pace.took(second, 1.0 if second < 1000 else 0.01)
        assert pace.latency_s(2000) == 0.01
