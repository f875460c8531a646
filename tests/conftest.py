"""What holds for every test: on a machine that is busy a slow example is no failure (nothing here asserts time), and no
test, nor what it starts, ever resets this machine or opens one of its watchdogs.
"""

import os

from hypothesis import HealthCheck, settings

from quorate.agent.resetting import NEVER_VARIABLE

os.environ[NEVER_VARIABLE] = "tests"

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
