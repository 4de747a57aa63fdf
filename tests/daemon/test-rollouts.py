#!/usr/bin/python3
"""The daemon at work, under a systemd of its own: dream.service and dream-helper.service as they are shipped, the simulated
box's servers as production. Promotions go through it, it is killed in the middle, it finds what has drifted."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "story"), str(HERE.parent / "cli")]
import production  # noqa: E402

os.environ["DREAM"] = production.DREAM
from production import (ADOPTIONS, BUILD, DIR, answering, configure, install_connect, private, running, set_up, sh,  # noqa: E402
                        show, wait, write)
from tap import run_cases  # noqa: E402

# Whether a change is worse is the judge's business, and its tests'; on a busy machine it would rightly take its time here.
production.CONFIG = re.sub(r"max_regression: \S+", "max_regression: 5", production.CONFIG)
CONFIG = f"{DIR}/dream.yaml"
OLD = {"vllm_memory_util": 0.50, "judge_allocator": "none", "whisper_model_size": "small"}
AS_DREAM = ["setpriv", "--reuid=dream", "--regid=dream", "--init-groups"]
# The program and the simulated card are in places that the shipped unit hides or does not allow.
LOCAL = f"""[Service]
ExecStart=
ExecStart={BUILD}/dream daemon --system --config {CONFIG}
Environment=LD_LIBRARY_PATH={production.NVML} TWIN_GPU={DIR}/card TWIN_BOX={production.SOURCE}/boxes/rtx3060.yaml
PrivateTmp=no
ProtectHome=no
ReadWritePaths={DIR}
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


def ask(**request):
    """As root, through the daemon's socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect("/run/dream/control.sock")
        s.sendall(json.dumps(request).encode() + b"\n")
        with s.makefile() as f:
            return json.loads(f.readline())


def asked(**request):
    answer = ask(**request)
    assert answer["ok"], (request, answer, journal())
    return answer


def status():
    return json.loads(good("status", "--json", root=True).out)


def journal():
    return sh("journalctl", "-u", "dream.service", "-n", "60", "--no-pager", "-o", "cat")


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"it did not come to that: {json.dumps(status(), indent=1)[:4000]}\n{journal()}")


def it_knows_what_production_runs():
    set_up()
    private("/var/lib/dream", "/var/log/dream")
    configure(stages="production, cold_start", watch="15 s", observe="30 s", inconclusive="ask")
    good("check", CONFIG)
    for unit, *targets in ADOPTIONS:
        good("adopt", "--yes", unit, *targets, root=True)
    sh("systemctl", "restart", "judge.service", "voice.service")
    wait("production answers", answering)
    for name in ("dream.service", "dream-helper.socket", "dream-helper.service", "dream-recover.service"):
        text = pathlib.Path(BUILD, "data", name).read_text()
        write(f"/run/systemd/system/{name}", re.sub(r"/\S*/libexec/dream-helper", f"{BUILD}/dream-helper", text))
        write(f"/run/systemd/system/{name}.d/visible.conf", "[Service]\nPrivateTmp=no\nProtectHome=no\n"
              if name.endswith("service") else "")
    write("/run/systemd/system/dream.service.d/local.conf", LOCAL)
    install_connect()
    with open("/etc/group", "a") as f:
        f.write("dream-approvers:x:4400:\n")
    os.symlink(CONFIG, "/etc/dream/dream.yaml")
    sh("systemd-tmpfiles", "--create", f"{production.SOURCE}/data/dream-tmpfiles.conf")
    sh("chown", "-R", "dream", f"{DIR}/artifacts", f"{DIR}/logs")
    os.makedirs(f"{DIR}/logs", exist_ok=True)
    sh("chown", "dream", DIR, f"{DIR}/logs", f"{DIR}/card")
    sh("chmod", "755", DIR)
    sh("systemctl", "daemon-reload")
    sh("systemctl", "start", "dream-helper.socket", "dream.service")
    assert show("dream.service", "ActiveState") == "active", journal()
    s = until(lambda: (lambda s: s if s["drift"]["checked_at_us"] and s["watch"]["figures"] else None)(status()))
    assert s["production"]["version"] == 1 and s["production"]["why"] == "adopted", s["production"]
    assert s["drift"]["lines"] == [] and s["drift"]["failure"] is None, s["drift"]
    assert s["production"]["current"] == s["production"]["generation"], s["production"]
    assert s["watch"]["watched"] and s["watch"]["services"] == 2, s["watch"]


def new_promotion(**values):
    done = good("promotion", "new", "-c", CONFIG, *[f"{name}={value}" for name, value in values.items()])
    return re.search(r"\b(\S*promotion\S*|[a-z_]+_\d{8}_\d{6}\S*)\b", done.out)[1].rstrip(":")


def what_is_not_approved_is_refused_at_once():
    promotion = new_promotion(vllm_memory_util="0.55")
    waiting = status()["waiting"]
    assert [w["id"] for w in waiting] == [promotion] and waiting[0]["decision"] is None, waiting
    refused = ask(do="rollout", promotion=promotion)
    assert not refused["ok"] and "not approved" in refused["message"], refused
    assert running() == OLD
    s = status()
    assert s["rollout"] is None and s["watch"]["watched"], s
    good("reject", promotion, root=True)
    assert status()["waiting"] == []


def begin(**values):
    promotion = new_promotion(**values)
    good("approve", promotion, "--reason", "a test", root=True)
    asked(do="rollout", promotion=promotion)
    return promotion


def ended():
    s = status()
    return s if s["rollout"] is None else None


def a_promotion_goes_through_or_a_person_is_asked():
    begin(vllm_memory_util="0.55")
    seen = set()

    def done():
        s = status()
        if s["rollout"]:
            seen.add(s["rollout"]["phase"])
            assert s["rollout"]["steps"] and not s["watch"]["watched"], s
            assert "rollout" in good("status", root=True).out
        return s if s["rollout"] is None or s["rollout"]["phase"] == "asked" else None
    s = until(done, 300)
    assert "watch" in seen, (seen, journal())
    # On a machine that is busy with other things the judge may rightly not be certain: then nothing is committed.
    if s["rollout"]:
        print("# the judge was not certain: a person was asked", flush=True)
        assert s["alerts"][-1]["kind"] == "asked" and running()["vllm_memory_util"] == 0.55, s["alerts"]
        assert "a person decides" in good("status", root=True).out
        asked(do="abort", reason="a test")
        s = until(ended, 60)
        assert s["alerts"][-1]["kind"] == "rolled_back" and version() == 1 and running() == OLD, (s["alerts"], running())
    else:
        assert "cold_start" in seen and s["alerts"][-1]["kind"] == "committed", (seen, s["alerts"], journal())
        assert s["production"]["version"] == 2 and s["production"]["why"] == "rollout", s["production"]
        assert running() == {**OLD, "vllm_memory_util": 0.55}, running()
    until(lambda: (lambda s: s["watch"]["watched"] and not s["drift"]["lines"])(status()))


def version():
    return status()["production"]["version"]


def a_rollback_takes_no_longer_than_a_restart():
    before = version()
    began = time.monotonic()
    asked(do="rollback", version=1)
    s = until(ended, 60)
    print(f"# {time.monotonic() - began:.1f} s", flush=True)
    assert running() == OLD, running()
    # Where nothing was committed there is nothing to go back from, and no new version.
    assert version() == (before + 1 if before > 1 else 1), s["production"]


def is_running(values):
    try:
        return answering() and running() == values
    except (OSError, ValueError, IndexError, KeyError):
        return False  # it is just being restarted


def in_the_middle():
    until(lambda: is_running({**OLD, "vllm_memory_util": 0.60}), 60)


def killed_in_the_middle_it_comes_back_and_takes_it_back():
    configure(stages="production", watch="60 s", observe="5 s")
    sh("systemctl", "reload", "dream.service")
    before = version()
    begin(vllm_memory_util="0.60")
    in_the_middle()
    restarts = int(show("dream.service", "NRestarts"))
    os.kill(int(show("dream.service", "MainPID")), signal.SIGKILL)
    until(lambda: int(show("dream.service", "NRestarts")) == restarts + 1 and
          show("dream.service", "ActiveState") == "active", 20)
    s = until(ended, 60)
    assert running() == OLD, (running(), journal())
    assert version() == before and s["production"]["change"] is None, s["production"]


def stopped_in_the_middle_it_goes_on_when_it_is_started():
    begin(vllm_memory_util="0.60")
    in_the_middle()
    began = time.monotonic()
    sh("systemctl", "stop", "dream.service")
    assert time.monotonic() - began < 10
    assert show("dream.service", "Result") == "success"
    assert running()["vllm_memory_util"] == 0.60  # as it was: nobody decided yet
    sh("systemctl", "start", "dream.service")
    until(ended, 60)
    assert running() == OLD, (running(), journal())


def without_the_store_what_is_half_done_is_taken_back():
    begin(vllm_memory_util="0.60")
    in_the_middle()
    os.rename("/var/lib/dream/dream.db", "/var/lib/dream/kept.db")
    os.mkdir("/var/lib/dream/dream.db")
    os.kill(int(show("dream.service", "MainPID")), signal.SIGKILL)
    wait("production runs what it ran before", lambda: is_running(OLD), 30)
    assert show("dream.service", "ActiveState") != "active"
    sh("systemctl", "stop", "dream.service")
    os.rmdir("/var/lib/dream/dream.db")
    os.rename("/var/lib/dream/kept.db", "/var/lib/dream/dream.db")
    sh("systemctl", "start", "dream.service")
    s = until(ended, 60)
    assert running() == OLD and any(a["kind"] == "recovered" for a in s["alerts"]), (running(), s["alerts"])


def a_person_takes_it_back_in_the_middle():
    before = version()
    begin(vllm_memory_util="0.60")
    in_the_middle()
    asked(do="rollback")
    s = until(ended, 60)
    assert running() == OLD and s["alerts"][-1]["kind"] == "rolled_back", (running(), s["alerts"])
    assert version() == before, s["production"]


def a_paused_daemon_rolls_nothing_out_and_still_goes_back():
    promotion = new_promotion(vllm_memory_util="0.55")
    good("approve", promotion, root=True)
    good("pause", "nobody is here", root=True)
    refused = ask(do="rollout", promotion=promotion)
    assert not refused["ok"] and "nobody is here" in refused["message"], refused
    asked(do="rollback", version=1)
    until(ended, 60)
    assert running() == OLD, running()
    good("resume", root=True)


def what_drifts_is_told_once():
    write("/run/systemd/system/voice.service.d/zz-admin.conf", "[Service]\nEnvironment=ASR_WHISPER_SIZE=tiny\nExecStart=\n"
          f"ExecStart={BUILD}/dream twin whisper --host 127.0.0.1 --port {production.VOICE} --model tiny\n")
    sh("systemctl", "daemon-reload")
    sh("systemctl", "restart", "voice.service")
    wait("production answers", answering)
    before = len(status()["alerts"])
    sh("systemctl", "restart", "dream.service")
    s = until(lambda: (lambda s: s if s["drift"]["lines"] else None)(status()))
    assert any("whisper" in line or "voice" in line for line in s["drift"]["lines"]), s["drift"]
    assert s["alerts"][-1]["kind"] == "drift", s["alerts"]
    sh("systemctl", "restart", "dream.service")
    s = until(lambda: (lambda s: s if s["drift"]["lines"] else None)(status()))
    assert sum(a["kind"] == "drift" for a in s["alerts"]) == 1, s["alerts"]
    assert len(s["alerts"]) >= before
    assert "drift" in good("status", root=True).out


def without_the_daemon_the_store_and_the_helper_tell():
    sh("systemctl", "stop", "dream.service")
    done = good("status", "-c", CONFIG, root=True)
    assert "down" in done.out and "version" in done.out and "generation" in done.out, done


if __name__ == "__main__":
    run_cases([it_knows_what_production_runs, what_is_not_approved_is_refused_at_once, a_promotion_goes_through_or_a_person_is_asked,
               a_rollback_takes_no_longer_than_a_restart, killed_in_the_middle_it_comes_back_and_takes_it_back,
               stopped_in_the_middle_it_goes_on_when_it_is_started, a_person_takes_it_back_in_the_middle,
               without_the_store_what_is_half_done_is_taken_back, a_paused_daemon_rolls_nothing_out_and_still_goes_back, what_drifts_is_told_once,
               without_the_daemon_the_store_and_the_helper_tell])
