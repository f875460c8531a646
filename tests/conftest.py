"""What holds for every test: on a machine that is busy a slow example is no failure (nothing here asserts time)."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
