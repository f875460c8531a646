"""The driver of the kernel's watchdog devices: what it asks of them, in which order, and what it says when they refuse."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.agent import linux_watchdog, resetting
from quorate.agent import linux_watchdog as driver
from quorate.agent.drivers import kinds, named
from quorate.agent.linux_watchdog import LinuxWatchdog
from quorate.agent.watchdog import (
    ClosedWatchdogError,
    StuckWatchdogError,
    UnchangedWatchdogError,
    UnusableWatchdogError,
    WatchdogError,
)
from quorate.agent.watchdog_facts import ALARM_ONLY, KEEPALIVE, MAGIC_CLOSE, SET_TIMEOUT
from quorate.core.types import WatchdogKind
from tests.unit.agent.kernel import ALL, Kernel


class TestOneThatDoesAsItIsTold:
    def test_it_is_opened_set_read_back_and_petted(self, kernel, device):
        assert device.kind is WatchdogKind.SOFTDOG
        assert device.descriptor() is None
        assert device.open(8) == 8
        assert kernel.asked == ["set 8", "pet"]
        assert kernel.written() == b""
        assert not os.get_inheritable(device.descriptor()), "a process that is started must not keep it open"

    def test_an_hour_of_pets(self, kernel, device):
        device.open(8)
        for _ in range(1800):
            kernel.clock.sleep(2)
            device.pet()
        assert kernel.asked == ["set 8", *["pet"] * 1801]
        assert kernel.written() == b""

    def test_one_without_the_ioctl_is_petted_by_a_byte(self, kernel, device):
        kernel.options = SET_TIMEOUT | MAGIC_CLOSE
        device.open(8)
        device.pet()
        assert kernel.asked == ["set 8"]
        assert kernel.written() == b"\0\0", "and never by the one that disarms"

    def test_it_is_disarmed_by_magic_close(self, kernel, device):
        device.open(8)
        device.close()
        assert kernel.written() == b"V"
        assert device.descriptor() is None

    def test_to_let_go_disarms_nothing(self, kernel, device):
        device.open(8)
        device.let_go()
        assert kernel.written() == b""
        assert device.descriptor() is None

    def test_it_rounds_up_and_what_is_read_back_counts(self, kernel, device):
        kernel.grain = 5
        assert device.open(8) == 10
        assert device.set_timeout(12.5) == 15
        assert kernel.asked[-1] == "set 13"

    def test_it_is_not_asked_for_what_it_cannot(self, kernel, device):
        kernel.entry(min_timeout="10", max_timeout="15")
        assert device.open(5) == 10
        assert device.set_timeout(60) == 15

    def test_another_process_goes_on_with_it(self, kernel, device):
        device.open(8)
        kernel.asked.clear()
        again = kernel.device()
        again.inherit(os.dup(device.descriptor()))
        device.let_go()
        assert again.kind is WatchdogKind.SOFTDOG
        again.pet()
        assert again.set_timeout(5) == 5
        again.close()
        assert (kernel.asked, kernel.written()) == (["pet", "set 5"], b"V")

    def test_after_it_has_reset_the_node_that_is_said(self, kernel, device, caplog):
        kernel.status = linux_watchdog.CARD_RESET
        device.open(8)
        assert "the boot before this one ended by it" in caplog.text


class TestOneThatIsSet:
    def test_to_what_it_does_not_take_counts_on_as_before(self, kernel, device):
        device.open(8)
        kernel.fails[driver.SET_TIMEOUT] = errno.EINVAL
        with pytest.raises(UnchangedWatchdogError, match=r"cannot be set to 60s \(EINVAL, .*spec.timing.profile"):
            device.set_timeout(60)
        device.pet()

    def test_and_cannot_be_is_disarmed_again_and_not_armed_once_more(self, kernel, device):
        kernel.fails[driver.SET_TIMEOUT] = errno.EOPNOTSUPP
        with pytest.raises(
            ClosedWatchdogError, match=r"Software Watchdog cannot be set to 8s \(\w+, Operation not supported"
        ):
            device.open(8)
        assert kernel.written() == b"V"
        assert device.kind is None
        assert "cannot be set to 8s" in device.trouble
        with pytest.raises(UnusableWatchdogError, match="cannot be set"):
            device.open(8)
        assert kernel.written() == b"", "it was not opened"

    def test_and_does_not_say_to_what_is_lost(self, kernel, device):
        device.open(8)
        kernel.fails[driver.GET_TIMEOUT] = errno.EOPNOTSUPP
        with pytest.raises(WatchdogError, match="cannot be read back"):
            device.set_timeout(8)

    def test_a_pet_that_fails_names_the_error(self, kernel, device):
        device.open(8)
        kernel.fails[driver.KEEP_ALIVE] = errno.EIO
        with pytest.raises(WatchdogError, match=r"watchdog .*/dev/watchdog0: EIO, Input/output error as it was petted"):
            device.pet()

    def test_one_that_fails_as_it_is_opened_may_be_tried_again(self, kernel, device):
        kernel.fails[driver.KEEP_ALIVE] = errno.EIO
        with pytest.raises(ClosedWatchdogError, match="EIO"):
            device.open(8)
        assert kernel.written() == b"V"
        kernel.fails.clear()
        assert device.open(8) == 8


class TestNoWayOut:
    @pytest.fixture(autouse=True)
    def no_way_out(self, kernel):
        kernel.entry(nowayout="1")

    def test_it_is_said_when_it_is_armed(self, kernel, device, caplog):
        assert device.open(8) == 8
        assert "nowayout is set, so it cannot be disarmed once it was armed" in caplog.text

    def test_it_is_not_closed(self, kernel, device):
        device.open(8)
        with pytest.raises(StuckWatchdogError, match=r"goes on petting it.*nowayout=0") as found:
            device.close()
        assert found.value.timeout_s == 8
        assert kernel.written() == b""
        device.pet()

    def test_nor_when_it_was_set_later(self, kernel, device):
        kernel.entry(nowayout="0")
        device.open(8)
        kernel.entry(nowayout="1")
        with pytest.raises(StuckWatchdogError):
            device.close()

    def test_one_that_cannot_be_used_stays_open_all_the_same(self, kernel, device):
        kernel.fails[driver.SET_TIMEOUT] = errno.EOPNOTSUPP
        with pytest.raises(StuckWatchdogError, match="cannot be set to 8s") as found:
            device.open(8)
        assert found.value.timeout_s == 60
        device.pet()

    def test_without_magic_close_it_may_be_used(self, kernel, device):
        kernel.options = SET_TIMEOUT | KEEPALIVE
        kernel.entry(options=hex(kernel.options))
        assert device.open(8) == 8


class TestWhatCannotBeUsed:
    def refused(self, kernel: Kernel, device: LinuxWatchdog, words: str) -> None:
        """Said beforehand, and when it is to be opened; and it is not opened for that."""
        assert device.kind is None
        assert words in device.trouble
        with pytest.raises(UnusableWatchdogError) as found:
            device.open(8)
        assert words in str(found.value)
        assert (kernel.asked, kernel.written(), device.descriptor()) == ([], b"", None)

    def test_one_without_magic_close(self, kernel, device):
        kernel.entry(options=hex(SET_TIMEOUT | KEEPALIVE))
        self.refused(kernel, device, "has no magic close, so it stops counting when the agent dies")

    def test_one_without_magic_close_where_sysfs_does_not_tell(self, kernel, device):
        kernel.options = SET_TIMEOUT | KEEPALIVE
        kernel.no_entry()
        with pytest.raises(ClosedWatchdogError, match="has no magic close"):
            device.open(8)
        kernel.written()
        self.refused(kernel, device, "has no magic close")

    def test_one_that_only_raises_an_alarm(self, kernel, device):
        kernel.entry(options=hex(ALL | ALARM_ONLY))
        self.refused(kernel, device, "only raises an alarm")

    @pytest.mark.parametrize(
        ("path", "text", "words"),
        [
            ("sys/module/softdog/parameters/soft_noboot", "1\n", "soft_noboot=1, so it resets nothing"),
            ("proc/cmdline", "quiet softdog.soft_noboot=1 ro", "soft_noboot=1, so it resets nothing"),
            ("etc/modprobe.d/dog.conf", "options softdog soft_margin=9 soft_noboot=1 # test\n", "soft_noboot=1"),
            ("etc/modprobe.d/dog.conf", "options softdog soft_panic=1\n", "kernel.panic is 0"),
            ("etc/modprobe.d/dog.conf", "options softdog soft_reboot_cmd=kexec\n", "may hang"),
        ],
    )
    def test_a_softdog_that_does_not_reset(self, kernel, device, path, text, words):
        kernel.write("proc/sys/kernel/panic", "0\n")
        kernel.write(path, text)
        self.refused(kernel, device, words)

    @pytest.mark.parametrize(
        "text",
        ["options softdog soft_noboot=0\n", "options softdog x='\n", "options iTCO_wdt soft_noboot=1\n", "# it's\n"],
    )
    def test_but_one_that_does_is_taken(self, kernel, device, text):
        kernel.write("etc/modprobe.d/dog.conf", text)
        assert device.kind is WatchdogKind.SOFTDOG

    def test_a_softdog_that_said_so_as_it_was_loaded(self, kernel, device):
        """Its parameters cannot be read, and by hand anything may be given to modprobe."""
        kernel.write("sys/module/softdog/refcnt", "1")
        kernel.write("etc/modprobe.d/dog.conf", "options softdog soft_noboot=0\n")
        kernel.write(
            "dev/kmsg",
            "6,9,5,-;softdog: initialized. soft_noboot=1 soft_margin=60 sec soft_panic=0 (nowayout=0)\n"
            "6,10,6,-;softdog:              soft_reboot_cmd=<not set> soft_active_on_boot=0\n"
            "6,11,7,-;usb 1-1: soft_noboot=0\n",
        )
        self.refused(kernel, device, "soft_noboot=1, so it resets nothing")

    def test_a_softdog_that_panics_is_taken_where_a_panic_reboots(self, kernel, device):
        kernel.write("proc/sys/kernel/panic", "10\n")
        kernel.write("proc/cmdline", "softdog.soft_panic=1")
        assert device.kind is WatchdogKind.SOFTDOG

    def test_one_that_is_not_there(self, kernel, device):
        kernel.path.unlink()
        self.refused(kernel, device, "there is none: load the module of this machine's hardware")

    def test_and_is_found_when_it_comes(self, kernel, device):
        kernel.path.unlink()
        assert device.kind is None
        os.mkfifo(kernel.path)
        kernel.clock.sleep(linux_watchdog.LOOK_EVERY_S)
        assert device.kind is WatchdogKind.SOFTDOG

    def test_a_file_that_is_no_device(self, kernel, device):
        kernel.path.unlink()
        kernel.path.write_text("")
        self.refused(kernel, device, "watchdog0 is no device")

    def test_one_that_does_not_answer_as_a_watchdog(self, kernel, device):
        kernel.fails[driver.GET_SUPPORT] = errno.ENOTTY
        with pytest.raises(ClosedWatchdogError, match=r"does not answer as a watchdog does \(ENOTTY"):
            device.open(8)

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.EPERM, "EPERM, Operation not permitted: the agent must run as root in a privileged container"),
            (errno.ENODEV, "there is none"),
            (errno.EMFILE, "EMFILE, Too many open files"),
        ],
    )
    def test_one_that_does_not_open(self, kernel, device, monkeypatch, number, words):
        def fails(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(linux_watchdog.os, "open", fails)
        with pytest.raises(UnusableWatchdogError, match=words):
            device.open(8)

    def test_one_of_a_host_that_may_not_be_looked_at(self, kernel, monkeypatch):
        """Without CAP_SYS_PTRACE nobody looks through /proc/1/root."""

        def refuses(path, **_: object) -> os.stat_result:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        device = kernel.device("dev")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", refuses)
            assert device.kind is None
        assert "/dev: EACCES, Permission denied: the agent must run as root in a privileged container" in device.trouble

    def test_no_device_of_a_machine_where_tests_run(self):
        assert resetting.never()
        device = LinuxWatchdog(Path("/dev/null"))
        assert f"{resetting.NEVER_VARIABLE} is set" in device.trouble
        with pytest.raises(UnusableWatchdogError):
            device.open(8)

    def test_no_device_where_nodes_share_a_kernel(self):
        device = LinuxWatchdog(Path("/dev/null"), shared_kernel=True)
        assert "give its agent --watchdog=external:SOCKET" in device.trouble


class TestOneThatIsBusy:
    @pytest.fixture
    def busy(self, kernel, monkeypatch):
        """The kernel lets nobody open it twice; who has it is a process of this machine, as /proc tells."""
        opens, taken = os.open, [True]

        def refuses(path, *more):
            if taken[0] and Path(path) == kernel.path:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            return opens(path, *more)

        monkeypatch.setattr(linux_watchdog.os, "open", refuses)
        kernel.entry(state="active")
        return taken

    def holder(self, kernel: Kernel, comm: str, pid: int = 77) -> None:
        kernel.write(f"proc/{pid}/comm", comm + "\n")
        (kernel.root / f"proc/{pid}/fd").mkdir()
        (kernel.root / f"proc/{pid}/fd/5").symlink_to(kernel.path)

    @pytest.mark.parametrize(
        ("comm", "words"),
        [
            ("systemd", "busy: it is open in systemd (PID 77): set RuntimeWatchdogSec=0"),
            ("watchdog-mux", "watchdog-mux (PID 77): this is a node of Proxmox VE HA"),
            ("nobody", "nobody (PID 77): stop it"),
        ],
    )
    def test_who_has_it_is_named_before_it_is_tried(self, kernel, device, busy, comm, words):
        self.holder(kernel, comm)
        assert device.kind is None
        assert words in device.trouble

    def test_and_when_it_is_tried(self, kernel, device, busy):
        assert device.kind is WatchdogKind.SOFTDOG, "active, and nobody is seen who has it: as after a crash"
        with pytest.raises(UnusableWatchdogError, match="busy: it is open in a process that cannot be seen from here"):
            device.open(8)
        assert device.kind is None

    def test_it_is_tried_again_for_a_moment(self, kernel, device, busy):
        """The keeper lets go of it a moment after the loop."""
        waits = device.pause

        def pause(seconds: float) -> None:
            busy[0] = kernel.clock() < 0.1
            waits(seconds)

        device.pause = pause
        assert device.open(8) == 8

    @pytest.mark.parametrize("tells", [True, False])
    def test_it_may_be_used_when_it_is_free(self, kernel, device, busy, tells):
        if not tells:
            kernel.no_entry()
        with pytest.raises(UnusableWatchdogError):
            device.open(8)
        busy[0] = False
        if tells:
            kernel.entry(state="inactive")
        kernel.clock.sleep(linux_watchdog.LOOK_EVERY_S if tells else linux_watchdog.SCAN_EVERY_S)
        assert device.kind is not None
        assert device.open(8) == 8

    def test_the_keeper_is_not_taken_for_another(self, kernel, device, busy):
        self.holder(kernel, "python3", os.getppid())
        assert device.kind is WatchdogKind.SOFTDOG

    def test_one_that_stays_active_after_it_was_closed_may_count_on(self, kernel, device):
        device.open(8)
        kernel.entry(state="active")
        with pytest.raises(WatchdogError, match="closed with magic close and is active all the same"):
            device.close()
        assert kernel.written() == b"V"
        assert device.descriptor() is None


class TestReset:
    def test_by_the_kernel_at_once(self, kernel, device):
        device.open(8)
        kernel.asked.clear()
        with pytest.raises(WatchdogError, match=r"was not reset: .*sysrq-trigger: written, and nothing happened"):
            device.reset()
        assert (kernel.root / "proc/sysrq-trigger").read_text() == "b"

    def test_then_its_time_is_cut_short_once(self, kernel, device):
        device.open(8)
        kernel.asked.clear()
        with pytest.raises(WatchdogError, match="its watchdog fires in 1s"):
            device.reset()
        with pytest.raises(WatchdogError):
            device.reset()
        assert kernel.asked == ["set 1"], "setting is a pet: never again"

    @pytest.mark.parametrize("left", [0, 1, 2])
    def test_but_not_where_that_would_win_it_time(self, kernel, device, left):
        device.open(8)
        kernel.asked.clear()
        kernel.left = left
        with pytest.raises(WatchdogError, match=f"its watchdog fires in {left}s"):
            device.reset()
        assert kernel.asked == []

    def test_nor_where_nobody_knows_what_is_left(self, kernel, device):
        device.open(8)
        kernel.asked.clear()
        kernel.fails[driver.GET_TIME_LEFT] = errno.EOPNOTSUPP
        with pytest.raises(WatchdogError, match="petted no more"):
            device.reset()
        assert kernel.asked == []

    def test_one_that_was_not_armed_is(self, kernel, device):
        """The node must end; guests may run on it."""
        with pytest.raises(WatchdogError, match="its watchdog was armed for that, and fires in 1s"):
            device.reset()
        with pytest.raises(WatchdogError):
            device.reset()
        assert kernel.asked == ["set 1", "pet"]
        device.let_go()

    def test_not_by_the_kernel_where_others_share_it(self, kernel):
        device = kernel.device(shared_kernel=True)
        with pytest.raises(WatchdogError, match="shares its kernel"):
            device.reset()
        device.let_go()
        assert (kernel.root / "proc/sysrq-trigger").read_text() == ""

    def test_the_system_call_comes_second_and_only_for_this_machine(self, monkeypatch, tmp_path):
        said = []
        monkeypatch.setattr(resetting, "never", lambda: False)
        monkeypatch.setattr(resetting, "_is_ours", lambda _: True)
        tried = resetting.reset(tmp_path / "nowhere", lambda: said.append("restart"))
        assert said == ["restart"]
        assert tried == [f"{tmp_path}/nowhere/sysrq-trigger: No such file or directory", "reboot(2): it returned"]
        monkeypatch.setattr(resetting, "_is_ours", lambda _: False)
        resetting.reset(tmp_path / "nowhere", lambda: said.append("restart"))
        assert said == ["restart"]

    def test_this_machine_is_known_by_its_boot(self, kernel):
        (kernel.root / "host").symlink_to("/")
        assert resetting._is_ours(kernel.root / "host/proc")
        assert not resetting._is_ours(kernel.root / "proc")
        kernel.write("proc/sys/kernel/random/boot_id", "another\n")
        assert not resetting._is_ours(kernel.root / "proc")

    def test_this_machine_is_never_reset_by_a_test(self):
        """Nor by a process that a test starts."""
        program = (
            "from pathlib import Path; from quorate.agent import resetting\n"
            "print(resetting.reset(Path('/proc'), lambda: print('restart')))"
        )
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert found.stdout == f"['{resetting.NEVER_VARIABLE} is set: this machine is not reset']\n"


class TestTheFlag:
    def test_names_the_device(self):
        assert named("linux", "n1", shared_kernel=False).path == Path("/dev/watchdog")
        assert named("linux:/dev/watchdog1", "n1", shared_kernel=False).path == Path("/dev/watchdog1")
        assert named("none", "n1", shared_kernel=False) is None

    def test_the_machine_is_the_one_of_that_path(self):
        root = named("linux:/proc/1/root/dev/watchdog", "n1", shared_kernel=False).machine.root
        assert root == Path("/proc/1/root")

    def test_an_armed_device_of_any_kind_of_the_kernel_can_be_gone_on_with(self):
        assert kinds("linux:/dev") == {"Hardware", "Softdog", "VirtualHardware", "VirtualSoftdog"}
        assert kinds("external:/socket") == {"External"}
        assert kinds("none") == frozenset()
