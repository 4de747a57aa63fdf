"""The daemon as it is shipped, under a systemd of its own: dream.service and dream-helper.service around the programs that were
built, with the story's simulated box as production."""
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "story"), str(HERE.parent / "sandbox"), str(HERE.parent / "cli")]
import production  # noqa: E402

os.environ["DREAM"] = production.DREAM
from box import ask_daemon, go_first, must, pid_of, private, show, units_as_shipped, wait, write  # noqa: E402
from production import ADOPTIONS, BUILD, DIR, SOURCE, answering, configure, running, running_now, set_up  # noqa: E402

CONFIG = f"{DIR}/dream.yaml"
STORE = "/var/lib/dream/dream.db"
OLD = {"vllm_memory_util": 0.50, "judge_allocator": "none", "whisper_model_size": "small"}
AS_DREAM = ["setpriv", "--reuid=dream", "--regid=dream", "--init-groups"]
# The program and the simulated card are in places that the shipped unit does not allow, and /tmp is not private here.
LOCAL = f"""[Service]
ExecStart=
ExecStart={BUILD}/dream daemon --system --config {CONFIG}
Environment=LD_LIBRARY_PATH={production.NVML} TWIN_GPU={DIR}/card TWIN_BOX={DIR}/box.yaml
ReadWritePaths={DIR} /tmp
WatchdogSec=10
"""


def dream(*args, root=False, timeout=60):
    env = dict(production.environment(), XDG_STATE_HOME="/var/lib")
    env.pop("XDG_RUNTIME_DIR")
    done = subprocess.run([*([] if root else AS_DREAM), production.DREAM, *args], env=env, cwd="/", stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout)
    return production.Done(done.returncode, done.stdout, done.stderr)


def good(*args, **kw):
    done = dream(*args, **kw)
    assert done.code == 0, (args, done, journal())
    return done


def asked(**request):
    answer = ask_daemon(**request)
    assert answer["ok"], (request, answer, journal())
    return answer


def status():
    return json.loads(good("status", "--json", root=True).out)


def version():
    return status()["production"]["version"]


def journal(lines=60):
    return must("journalctl", "-u", "dream.service", "-n", str(lines), "--no-pager", "-o", "cat")


def records(kind):
    """[(when it was written, its body)] as they are in the store, oldest first."""
    db = sqlite3.connect(STORE, timeout=30)
    try:
        rows = db.execute("SELECT at_us, body FROM record WHERE kind = ? ORDER BY seq", (kind,))
        return [(at_us, json.loads(body)) for at_us, body in rows]
    finally:
        db.close()


def until(what, seconds=30):
    """The first status that is as `what` wants it; what it gives, if that is more than True."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = status()
        got = what(now)
        if got:
            return now if got is True else got
        time.sleep(0.05)
    raise AssertionError(f"it did not come to that within {seconds} s: {json.dumps(now, indent=1)[:4000]}\n{journal()}")


def ended(s):
    return s["rollout"] is None


def reload():
    """What the configuration says now is in effect."""
    def times():
        return journal(1000).count("was read again and is in effect")
    before = times()
    must("systemctl", "reload", "dream.service")
    wait("the configuration is read again", lambda: times() > before)


def new_promotion(*values, experiment=()):
    done = good("promotion", "new", "-c", CONFIG, *experiment, *values)
    return re.search(r"\b(promotion-[a-z0-9_]+-[0-9a-f]+)\b", done.out)[1]


def boot(configure, adoptions=ADOPTIONS):
    """Production runs, is adopted, and the daemon watches over it; its first status that knows all of that."""
    pace = go_first()
    set_up(pace)
    private("/var/lib/dream", "/var/log/dream")
    configure()
    good("check", CONFIG)
    for unit, *targets in adoptions:
        good("adopt", "--yes", unit, *targets, root=True)
    must("systemctl", "restart", "judge.service", "voice.service")
    wait("production answers", answering)
    units_as_shipped(BUILD, SOURCE)
    write("/run/systemd/system/dream.service.d/local.conf", LOCAL + pace)
    os.symlink(CONFIG, "/etc/dream/dream.yaml")
    for folder in ("artifacts", "logs"):
        os.makedirs(f"{DIR}/{folder}", exist_ok=True)
        must("chown", "-R", "dream", f"{DIR}/{folder}")
    must("chown", "dream", DIR, f"{DIR}/card")
    must("chmod", "755", DIR)
    must("systemctl", "daemon-reload")
    must("systemctl", "start", "dream-helper.socket", "dream.service")
    return until(lambda s: s["drift"]["checked_at_us"] and s["watch"]["figures"] and s)
