"""What a fence agent may be told, and which agents prove nothing."""

import pytest

from quorate.api.fencing import FenceDeviceModel, refused


@pytest.mark.parametrize("name", ["ip", "pve_node_auto", "resourceGroup", "tls1.0", "ipport", "plug", "ssl_insecure"])
def test_what_it_may_be_told(name):
    assert refused(name) == ""


@pytest.mark.parametrize("name", ["missing_as_off", "network_fencing", "record_only"])
def test_what_makes_it_say_off_of_a_machine_that_may_run(name):
    assert "say off of a machine that may run" in refused(name)


@pytest.mark.parametrize("name", ["ipmitool_path", "password_script", "ssh_options", "exec", "sudo"])
def test_what_makes_it_run_a_program(name):
    assert "names a program for the manager to run" in refused(name)


@pytest.mark.parametrize(
    "name", ["ipmitool-path", " ipmitool_path", "missing-as-off", "debug-file", "#ip", "\u00a0delay"]
)
def test_a_name_that_the_agent_would_read_as_another_one(name):
    assert "letters, digits, _ and . only" in refused(name)


@pytest.mark.parametrize("agent", ["fence_ifmib", "fence_brocade", "fence_heuristics_ping", "fence_scsi"])
def test_an_agent_that_switches_no_power(agent):
    with pytest.raises(ValueError, match="cannot switch a machine's power off"):
        FenceDeviceModel.model_validate({"name": "one", "agent": agent})
