"""A fence agent that does as its parameters say: a real process, spoken to like those of ClusterLabs."""

import stat
import sys
from pathlib import Path

AGENT = f"""#!{sys.executable}
import os, subprocess, sys, time
told = dict(line.rstrip("\\n").split("=", 1) for line in sys.stdin if "=" in line)
action, mood = told["action"], told.get("mood", "")
journal = open(told["journal"], "a", buffering=1)
print(action, os.getpid(), "argv:" + " ".join(sys.argv[1:]), "env:" + ",".join(sorted(os.environ)), file=journal)
state = told["journal"] + ".state"
now = open(state).read() if os.path.exists(state) else "on"
if mood == "hangs":
    subprocess.Popen(["sleep", "600"])
    time.sleep(600)
if mood == "leaves":
    print(subprocess.Popen(["sleep", "600"]).pid, file=journal)
if mood == "fails":
    print("2026-11-29 12:00:00,001 ERROR: Failed: Unable to connect with " + told.get("password", ""), file=sys.stderr)
    sys.exit(1)
if mood == "shouts":
    sys.stdout.write("x" * 5_000_000 + "\\x1b[31m\\x07 in the end")
    sys.exit(1)
if mood == "dies":
    os.kill(os.getpid(), 9)
if action in ("off", "on"):
    open(state, "w").write("slowly" if mood == "slow" else action)
    sys.exit(0)
if now == "slowly":
    open(state, "w").write("off")
    sys.exit(1 if told.get("silent") else 0)
print("Status: " + now.upper())
sys.exit(2 if now == "off" else 0)
"""


def installed(directory: Path, name: str = "fence_test") -> Path:
    """The directory, with the agent in it."""
    program = directory / name
    program.write_text(AGENT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return directory
