"""Which watchdog device there is, what kind it is of, and which of several is taken."""

import os

import pytest

from quorate.agent import linux_watchdog
from quorate.agent.watchdog import StuckWatchdogError
from quorate.agent.watchdog_facts import IPMI, SET_TIMEOUT, Machine
from quorate.core.types import WatchdogKind
from tests.unit.agent.kernel import Kernel


class TestKinds:
    @pytest.mark.parametrize(
        ("files", "virtual"),
        [
            ({"proc/cpuinfo": "flags\t\t: fpu hypervisor sse\n"}, True),
            ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, True),
            ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "m7g.large\n"}, True),
            ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "m7g.metal\n"}, False),
            ({"sys/class/dmi/id/product_name": "Google Compute Engine\n"}, True),
            ({"sys/class/dmi/id/product_name": "OpenStack Nova\n"}, True),
            ({"sys/class/dmi/id/product_name": "VMware7,1\n"}, True),
            ({"sys/hypervisor/type": "xen\n"}, True),
            ({"proc/device-tree/hypervisor/compatible": "linux,kvm"}, True),
            ({"proc/cpuinfo": "flags\t\t: fpu vmx\n", "sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}, False),
        ],
    )
    def test_a_machine_that_can_be_frozen_with_its_watchdog(self, kernel, files, virtual):
        for path, text in files.items():
            kernel.write(path, text)
        assert kernel.device().kind is (WatchdogKind.VIRTUAL_SOFTDOG if virtual else WatchdogKind.SOFTDOG)
        kernel.entry(identity="iTCO_wdt")
        assert kernel.device().kind is (WatchdogKind.VIRTUAL_HARDWARE if virtual else WatchdogKind.HARDWARE)

    def test_what_the_device_says_counts(self, kernel, device):
        """Without sysfs nothing is known of it before."""
        kernel.no_entry()
        kernel.write("sys/module/softdog/refcnt", "1")
        kernel.identity = "iTCO_wdt"
        assert device.kind is WatchdogKind.SOFTDOG
        device.open(8)
        assert device.kind is WatchdogKind.HARDWARE


class TestIpmi:
    """A driver of the old kind: not in sysfs, and it says of itself that it can do nothing."""

    @pytest.fixture
    def ipmi(self, tmp_path):
        made = Kernel(tmp_path, "watchdog", IPMI, options=0)
        made.no_entry()
        made.write("sys/module/ipmi_watchdog/parameters/nowayout", "N\n")
        made.write("sys/module/ipmi_watchdog/parameters/action", "reset\n")
        yield made
        made.end()

    def test_is_known_to_be_fit(self, ipmi):
        device = ipmi.device()
        assert device.kind is WatchdogKind.HARDWARE
        assert device.open(8) == 8
        device.close()
        assert (ipmi.asked, ipmi.written()) == (["set 8", "pet"], b"V")

    def test_does_not_reset_with_another_action(self, ipmi):
        ipmi.write("sys/module/ipmi_watchdog/parameters/action", "none\n")
        assert "action=none" in ipmi.device().trouble

    def test_nowayout_is_asked_of_its_module(self, ipmi):
        ipmi.write("sys/module/ipmi_watchdog/parameters/nowayout", "Y\n")
        device = ipmi.device()
        device.open(8)
        with pytest.raises(StuckWatchdogError):
            device.close()
        device.let_go()

    def test_is_not_taken_for_the_one_that_sysfs_shows_as_the_first(self, ipmi):
        """It has the name /dev/watchdog; watchdog0 is the chipset's, which has a way out and is not active."""
        Kernel(ipmi.root, "watchdog0", "iTCO_wdt").end()
        ipmi.write("sys/module/ipmi_watchdog/parameters/nowayout", "Y\n")
        device = ipmi.device()
        device.open(8)
        with pytest.raises(StuckWatchdogError):
            device.close()
        device.let_go()
        assert ipmi.written() == b""


class TestADirectory:
    def test_the_hardware_comes_before_softdog(self, kernel):
        other = Kernel(kernel.root, "watchdog1", "iTCO_wdt")
        try:
            assert Machine(kernel.root).names(kernel.root / "dev") == ["watchdog1", "watchdog0"]
            device = other.device("dev")
            assert device.kind is WatchdogKind.HARDWARE
            device.open(8)
            assert kernel.asked == []
            device.close()
            assert other.written() == b"V"
        finally:
            other.end()

    def test_one_that_is_not_fit_is_passed_over(self, kernel):
        Kernel(kernel.root, "watchdog1", "iTCO_wdt", SET_TIMEOUT).end()
        assert kernel.device("dev").kind is WatchdogKind.SOFTDOG

    def test_one_that_another_process_has_is_passed_over(self, kernel):
        """systemd may guard the kernel with the hardware's, and Quorate the node with softdog."""
        other = Kernel(kernel.root, "watchdog1", "iTCO_wdt")
        other.entry(state="active")
        other.write("proc/1/comm", "systemd")
        (kernel.root / "proc/1/fd").mkdir()
        (kernel.root / "proc/1/fd/9").symlink_to(other.path)
        device = kernel.device("dev")
        assert device.kind is WatchdogKind.SOFTDOG
        kernel.entry(options=hex(SET_TIMEOUT))
        kernel.clock.sleep(linux_watchdog.LOOK_EVERY_S)
        assert device.kind is None
        assert "watchdog1: busy: it is open in systemd (PID 1)" in device.trouble, "of the best one"
        other.end()

    def test_the_one_without_a_number_is_the_first(self, kernel):
        os.mkfifo(kernel.root / "dev/watchdog")
        assert Machine(kernel.root).names(kernel.root / "dev") == ["watchdog0"]

    def test_one_that_may_count_on_is_the_one_that_is_opened_again(self, kernel):
        device = kernel.device("dev")
        device.open(8)
        device.let_go()
        kernel.entry(state="active")
        Kernel(kernel.root, "watchdog1", "iTCO_wdt").end()
        assert device.kind is WatchdogKind.SOFTDOG
        kernel.entry(state="inactive")
        kernel.clock.sleep(linux_watchdog.LOOK_EVERY_S)
        assert device.kind is WatchdogKind.HARDWARE

    def test_none(self, kernel):
        kernel.path.unlink()
        assert "there is none" in kernel.device("dev").trouble

    def test_one_that_another_process_opened_is_gone_on_with(self, kernel):
        """Though it is not what would be chosen now."""
        Kernel(kernel.root, "watchdog1", "iTCO_wdt").end()
        before = kernel.device()
        before.open(8)
        again = kernel.device("dev")
        again.inherit(before.descriptor())
        assert again.kind is WatchdogKind.SOFTDOG
        again.close()
        assert kernel.written() == b"V"
