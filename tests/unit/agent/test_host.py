"""Whether the host goes down, and what comes then, read from files as systemd and the lab write them."""

import pytest

from quorate.agent import host
from quorate.core.types import Going

NOW_S = 1_800_000_000.0
PLANNED = "USEC={}\nWARN_WALL=1\nMODE={}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("", Going.SHUTDOWN),
        ("System is going down. Unprivileged users are not permitted to log in anymore.", Going.SHUTDOWN),
        ("reboot", Going.REBOOT),
        ("poweroff", Going.POWER_OFF),
        (PLANNED.format(int((NOW_S - 1) * 1e6), "reboot"), Going.REBOOT),
        (PLANNED.format(int((NOW_S - 1) * 1e6), "kexec"), Going.REBOOT),
        (PLANNED.format(int((NOW_S - 1) * 1e6), "halt"), Going.POWER_OFF),
        (PLANNED.format(int((NOW_S + 600) * 1e6), "reboot"), ""),
    ],
)
def test_what_comes_then(tmp_path, text, expected):
    """A shutdown that is planned for later is none yet."""
    flag = tmp_path / "flag"
    if text is not None:
        flag.write_text(text)
    assert host.going([flag], NOW_S) == expected


def test_the_file_that_says_more_counts(tmp_path):
    silent, clear = tmp_path / "nologin", tmp_path / "scheduled"
    silent.write_text("")
    clear.write_text("MODE=poweroff")
    assert host.going([silent, clear], NOW_S) == Going.POWER_OFF


def test_a_file_that_cannot_be_read_says_nothing(tmp_path):
    assert host.going([tmp_path], NOW_S) == ""
