"""Production for a test that kills: three services that start in milliseconds, two of which share a parameter, adopted; the
units of data/ around the programs that were built; what really runs and what was written of it."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../sandbox"))
from box import DAEMON_SOCKET, ask_daemon, daemon_rests, environ_of, must, private, sh, show  # noqa: E402
from box import units_as_shipped, wait, write  # noqa: E402

BUILD = os.environ["DREAM_BUILD"]
SOURCE = os.environ["DREAM_SOURCE"]
SERVER = os.environ["DREAM_KILLS_SERVER"]
DREAM = f"{BUILD}/dream"
DIR = "/tmp/box"  # the sandbox's own
CONFIG = f"{DIR}/dream.yaml"
STORE = "/var/lib/dream/dream.db"
PRODUCTION = "/var/lib/dream-production"
POWER_CUT = "/run/power-cut"  # while it is there nothing starts
AS_DREAM = ["setpriv", "--reuid=dream", "--regid=dream", "--init-groups"]

# unit: its port, and the variable of each of its parameters. Two of them have a figure of their own in common with another.
UNITS = {"first.service": (18001, {"mode": "MODE"}), "second.service": (18002, {"mode": "MODE", "level": "LEVEL"}),
         "third.service": (18003, {"level": "LEVEL"})}
OURS = ("dream.service", "dream-helper.service")

# Two experiments that differ in how long they watch: nothing is certain in a second, so that one always takes it back. Only
# one unit's answers are judged, since each figure more needs more of them.
PLAN = """version: 1
run: {{seed: 7, artifact_root: {dir}/artifacts, logdir: {dir}/logs}}
daemon: {{approvers: root, probe_every: 0}}
experiments:
{experiments}
"""
EXPERIMENT = """  - name: {name}
    search_space:
      mode: {{values: [1, 2, 3]}}
      level: {{values: [1, 2, 3, 9]}}
    baseline: {{mode: 1, level: 1}}
    evaluator: {{kind: gpu_allocation, as: units, state: {dir}/state}}
    budget: {{allow_gpu: false}}
    services:
      second:
        kind: command
        unit: second.service
        from_unit: second.service
        url: http://127.0.0.1:18002
        params: {{mode: mode, level: level}}
        places: {{mode: {{env: MODE}}, level: {{env: LEVEL}}}}
    apply:
      mode: [{{unit: first.service, env: MODE}}, {{unit: second.service, env: MODE}}]
      level: [{{unit: second.service, env: LEVEL}}, {{unit: third.service, env: LEVEL}}]
    rollout:
      stages: [production, cold_start]
      observe: {observe}
      watch: {watch}
      probation: 0 s
      probe_every: 50 ms
      probe_limit: 5 s
      ready: {ready}
      budget: 10 min
      max_regression: 10
      false_alarms: 0.2
      on_inconclusive: undo
      memory_model: false
"""

# How long production is observed and a change is watched, and how long a start may take.
TIMES = {"whole": ("8 s", "10 s", "20 s"), "quick": ("1 s", "1 s", "20 s")}

# The programs are in places that the shipped units do not allow, and a test cannot wait for seconds.
LOCAL = {
    "dream.service": f"""[Unit]
ConditionPathExists=!{POWER_CUT}
StartLimitIntervalSec=0
[Service]
ExecStart=
ExecStart={DREAM} daemon --system --config {CONFIG}
ReadWritePaths={DIR}
RestartSec=100ms
""",
    "dream-helper.service": f"[Unit]\nConditionPathExists=!{POWER_CUT}\n",
}


# --- The machine --------------------------------------------------------------------------------


def configure():
    experiments = "".join(EXPERIMENT.format(name=name, dir=DIR, observe=observe, watch=watch, ready=ready)
                          for name, (observe, watch, ready) in TIMES.items())
    write(CONFIG, PLAN.format(dir=DIR, experiments=experiments))


def install():
    units_as_shipped(BUILD, SOURCE)
    for name, text in LOCAL.items():
        write(f"/run/systemd/system/{name}.d/local.conf", text)
    os.symlink(CONFIG, "/etc/dream/dream.yaml")


def boot():
    private("/etc/dream", PRODUCTION, "/var/lib/dream", "/var/log/dream")
    shutil.chown("/var/lib/dream", "dream", "dream")
    os.makedirs(f"{DIR}/logs")
    for path in (DIR, f"{DIR}/logs"):
        os.chmod(path, 0o755)
        shutil.chown(path, "dream", "dream")
    shutil.copy(SERVER, f"{DIR}/server")
    for unit, (port, parameters) in UNITS.items():
        variables = " ".join(f"{variable}=1" for variable in parameters.values())
        write(f"/run/systemd/system/{unit}", f"[Unit]\nConditionPathExists=!{POWER_CUT}\nStartLimitIntervalSec=0\n[Service]\n"
              f"Type=exec\nEnvironment={variables}\nExecStart={DIR}/server {port}\nRestart=on-failure\nRestartSec=1\n")
    configure()
    install()
    must("systemctl", "daemon-reload")
    must("systemctl", "start", *UNITS)
    for unit, (_, parameters) in UNITS.items():
        allow = [word for parameter in parameters for word in ("--allow", f"{parameter}=1..9")]
        must(DREAM, "adopt", "--yes", unit, *[f"{p}={v}" for p, v in parameters.items()], *allow, env=environment(), cwd="/")
    must("systemctl", "restart", *UNITS)
    must("systemctl", "start", "dream-helper.socket", "dream.service")
    wait("what was adopted is version 1 of the baseline", lambda: os.path.exists(STORE) and records("baseline"))
    must("systemctl", "stop", "dream.service")


def environment():
    env = dict(os.environ, XDG_STATE_HOME="/var/lib", HOME=DIR, COLUMNS="120")
    env.pop("XDG_RUNTIME_DIR", None)
    return env


def dream(*args, root=False, timeout=60):
    p = subprocess.run([*([] if root else AS_DREAM), DREAM, *args], env=environment(), cwd="/", stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=timeout)
    return p.returncode, p.stdout + p.stderr


def good(*args, **kw):
    code, text = dream(*args, **kw)
    assert code == 0, (args, code, text)
    return text


def new_promotion(experiment, **values):
    text = good("promotion", "new", "-c", CONFIG, "-e", experiment, *[f"{name}={value}" for name, value in values.items()])
    name = re.search(r"\b(\S*promotion-\S*)", text)[1].rstrip(":")
    good("approve", name, "--reason", "a test", "-c", CONFIG, root=True)
    return name


# --- What runs, and what was written of it ------------------------------------------------------


def pids_of(unit):
    """All processes of a unit, without asking its manager."""
    try:
        with open(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs") as f:
            return [int(line) for line in f if int(line) > 0]
    except OSError:
        return []


def running():
    """{unit: {parameter: value}} of the processes themselves."""
    values = {}
    for unit, (_, parameters) in UNITS.items():
        about = dict(line.split("=", 1) for line in must("systemctl", "show", "--property=ActiveState,MainPID", unit).splitlines())
        assert about["ActiveState"] == "active", (unit, about)
        pairs = environ_of(about["MainPID"])
        values[unit] = {parameter: pairs.get(variable) for parameter, variable in parameters.items()}
    return values


def values_of(params):
    return {unit: {p: params[p] for p in parameters} for unit, (_, parameters) in UNITS.items()}


def records(kind):
    db = sqlite3.connect(STORE, timeout=30)
    try:
        return [json.loads(body) for body, in db.execute("SELECT body FROM record WHERE kind = ? ORDER BY seq", (kind,))]
    finally:
        db.close()


def phase_since(n):
    """Of the last step that was written down, when there were n before."""
    steps = records("rollout")[n:]
    return steps[-1]["phase"] if steps else "before"


def ask_helper(do):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(60)
        s.connect("/run/dream-helper.sock")
        s.send(json.dumps({"do": do}).encode())
        reply = s.recv(1 << 17)
        assert reply, "the helper has closed the connection"
        reply = json.loads(reply)
        assert reply["ok"], reply
        return reply


def kill(*pids):
    """How many of them were there to be killed."""
    n = 0
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            n += 1
        except ProcessLookupError:
            pass
    return n


def helper_below(parent):
    """The helper that this process has started, or 0."""
    found = 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/comm") as f:
                if f.read().strip() != "dream-helper":
                    continue
            at = int(entry)
            while at > 1 and at != parent:
                with open(f"/proc/{at}/stat") as f:
                    at = int(f.read().rpartition(")")[2].split()[1])
            if at == parent:
                found = int(entry)
        except OSError:
            continue
    return found


def journal(lines=60):
    return sh("journalctl", "-u", "dream.service", "-u", "dream-helper.service", "-n", str(lines), "--no-pager", "-o", "cat")
