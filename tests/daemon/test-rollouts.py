#!/usr/bin/python3
"""The daemon at work, under a systemd of its own: dream.service and dream-helper.service as they are shipped, the simulated
box's servers as production. Promotions go through it, it is killed in the middle, it finds what has drifted."""
import ctypes
import os
import re
import signal
import subprocess
import time

from shipped import *  # noqa: F403
from tap import run_cases  # noqa: E402

# Whether a change is worse is the judge's business, and its tests'. Here a promotion is to go through, and a policy that lets
# much pass needs few answers to be certain of it.
production.CONFIG = re.sub(r"max_regression: \S+", "max_regression: 5", production.CONFIG)


def it_knows_what_production_runs():
    s = boot(lambda: configure(stages="production, cold_start", watch="8 s", observe="10 s"))
    assert s["production"]["version"] == 1 and s["production"]["why"] == "adopted", s["production"]
    assert s["drift"]["lines"] == [] and s["drift"]["failure"] is None, s["drift"]
    assert s["production"]["current"] == s["production"]["generation"], s["production"]
    assert s["watch"]["watched"] and s["watch"]["services"] == 2, s["watch"]


def what_is_not_approved_is_refused_at_once():
    promotion = new_promotion("vllm_memory_util=0.55")
    waiting = status()["waiting"]
    assert [w["id"] for w in waiting] == [promotion] and waiting[0]["decision"] is None, waiting
    refused = ask_daemon(do="rollout", promotion=promotion)
    assert not refused["ok"] and "not approved" in refused["message"], refused
    assert running() == OLD
    s = status()
    assert s["rollout"] is None and s["watch"]["watched"], s
    good("reject", promotion, root=True)
    assert status()["waiting"] == []


def begin(value):
    """As people do it: proposed by hand, approved, and handed to the daemon."""
    promotion = new_promotion(f"vllm_memory_util={value}")
    good("approve", promotion, "--reason", "a test", root=True)
    begun = good("rollout", promotion, root=True)
    assert "dream status --follow" in begun.out, begun
    return promotion


def a_promotion_goes_through_the_daemon_to_a_new_version_of_the_baseline():
    began = time.monotonic()
    promotion = begin("0.55")
    seen = []

    def over(s):
        if s["rollout"] and s["rollout"]["phase"] not in seen:
            seen.append(s["rollout"]["phase"])
            assert s["rollout"]["steps"] and not s["watch"]["watched"], s
            assert "rollout" in good("status", root=True).out
        return s["rollout"] is None
    s = until(over, 240)
    told = [body["words"] for _, body in records("rollout") if body["promotion"] == promotion and body.get("words")]
    print(f"# {time.monotonic() - began:.0f} s, seen: {', '.join(seen)}", *told, sep="\n# ", flush=True)
    assert {"observe", "watch"} <= set(seen), (seen, journal())
    assert s["alerts"][-1]["kind"] == "committed", (s["alerts"], journal())
    assert s["production"]["version"] == 2 and s["production"]["why"] == "rollout", s["production"]
    assert s["production"]["promotion"] == promotion and s["production"]["params"]["vllm_memory_util"] == "0.55", s["production"]
    assert running() == {**OLD, "vllm_memory_util": 0.55}, running()
    phases = [body["phase"] for _, body in records("rollout") if body["promotion"] == promotion]
    assert "cold_start" in phases and phases.index("cold_start") < phases.index("commit"), phases
    assert s["waiting"] == [] and "committed" in good("promotions", "-c", CONFIG).out
    assert good("lineage", "verify", "-c", CONFIG)
    until(lambda s: s["watch"]["watched"] and not s["drift"]["lines"] and
          s["production"]["current"] == s["production"]["generation"])


def a_rollback_takes_no_longer_than_a_restart():
    began = time.monotonic()
    good("rollback", "1", root=True)
    s = until(ended, 60)
    print(f"# {time.monotonic() - began:.1f} s", flush=True)
    assert running() == OLD, running()
    assert s["production"]["version"] == 3 and s["production"]["why"] == "rollback", s["production"]


def is_running(values):
    return running_now() == values


def in_the_middle():
    wait("the new configuration runs", lambda: is_running({**OLD, "vllm_memory_util": 0.60}), 60)


def killed_in_the_middle_it_comes_back_and_takes_it_back():
    configure(stages="production", watch="60 s", observe="5 s", inconclusive="undo")
    reload()
    before = version()
    begin("0.60")
    in_the_middle()
    restarts = int(show("dream.service", "NRestarts"))
    os.kill(pid_of("dream.service"), signal.SIGKILL)
    wait("the daemon is back", lambda: int(show("dream.service", "NRestarts")) == restarts + 1 and
         show("dream.service", "ActiveState") == "active")
    s = until(ended, 60)
    assert running() == OLD, (running(), journal())
    assert version() == before and s["production"]["change"] is None, s["production"]


def stopped_in_the_middle_it_goes_on_when_it_is_started():
    begin("0.60")
    in_the_middle()
    began = time.monotonic()
    must("systemctl", "stop", "dream.service")
    assert time.monotonic() - began < 10
    assert show("dream.service", "Result") == "success"
    assert running()["vllm_memory_util"] == 0.60  # as it was: nobody decided yet
    must("systemctl", "start", "dream.service")
    until(ended, 60)
    assert running() == OLD, (running(), journal())


def without_the_store_what_is_half_done_is_taken_back():
    begin("0.60")
    in_the_middle()
    os.rename("/var/lib/dream/dream.db", "/var/lib/dream/kept.db")
    os.mkdir("/var/lib/dream/dream.db")
    os.kill(pid_of("dream.service"), signal.SIGKILL)
    wait("production runs what it ran before", lambda: is_running(OLD), 30)
    assert show("dream.service", "ActiveState") != "active"
    must("systemctl", "stop", "dream.service")
    os.rmdir("/var/lib/dream/dream.db")
    os.rename("/var/lib/dream/kept.db", "/var/lib/dream/dream.db")
    must("systemctl", "start", "dream.service")
    s = until(ended, 60)
    assert running() == OLD and any(a["kind"] == "recovered" for a in s["alerts"]), (running(), s["alerts"])


def a_person_takes_it_back_in_the_middle():
    before = version()
    begin("0.60")
    in_the_middle()
    asked(do="rollback")
    s = until(ended, 60)
    assert running() == OLD and s["alerts"][-1]["kind"] == "rolled_back", (running(), s["alerts"])
    assert version() == before, s["production"]


def trials():
    """Processes that measure a trial."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if entry.isdigit() and argv[1:2] == [b"worker"]:
            found.append(int(entry))
    return found


class Deaf:
    """A process that is held where it is, as by a debugger: only SIGKILL still ends it."""

    ATTACH = 16

    def __init__(self, pid):
        self.pid = pid
        ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        assert ptrace(self.ATTACH, pid, None, None) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(pid, 0)

    def let_die(self):
        """Whoever holds it is told of its end first; until then its parent waits. True: it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return pid == self.pid and os.WIFSIGNALED(status)


def a_trial_that_does_not_end_holds_nobody_up():
    configure(stages="isolated, production", observe="5 s", inconclusive="undo")
    reload()
    before = version()
    begin("0.60")
    found = until(lambda s: trials() or (s["rollout"] is None and [journal()]))
    assert isinstance(found[0], int), found[0]
    deaf = Deaf(found[0])
    asked(do="rollback")
    began, slowest, died = time.monotonic(), 0, None
    while True:
        at = time.monotonic()
        s = asked(do="status")
        slowest = max(slowest, time.monotonic() - at)
        if died is None and deaf.let_die():
            died = time.monotonic() - began
        if s["rollout"] is None:
            break
        assert time.monotonic() - began < 60, (s["rollout"], journal())
        time.sleep(0.05)
    print(f"# the trial was killed after {died} s; the slowest answer took {1000 * slowest:.0f} ms", flush=True)
    assert died and 9 < died < 20 and slowest < 1, (died, slowest, journal())
    assert running() == OLD and version() == before, (running(), journal())
    configure(stages="production", watch="60 s", observe="5 s", inconclusive="undo")  # as the next ones want it
    reload()


def whoever_says_bad_while_it_is_watched_takes_it_back():
    configure(stages="production", watch="60 s", observe="5 s", inconclusive="undo")
    reload()
    promotion = begin("0.60")
    in_the_middle()
    until(lambda s: s["rollout"]["phase"] == "watch", 20)
    began = time.monotonic()
    assert "in the middle of rollout-" in good("feedback", "bad", "it stutters", root=True).out
    s = until(ended, 30)
    print(f"# taken back after {time.monotonic() - began:.1f} s", flush=True)
    assert running() == OLD and s["alerts"][-1]["kind"] == "rolled_back", (running(), s["alerts"])
    assert "somebody said that it is bad" in " ".join(good("promotion", "show", promotion, "-c", CONFIG).out.split())


def what_somebody_left_in_the_foreground_is_taken_up():
    promotion = new_promotion("vllm_memory_util=0.60")
    good("approve", promotion, root=True)
    p = subprocess.Popen([production.DREAM, "rollout", "-c", CONFIG, promotion, "--foreground"], cwd="/", stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, env=dict(production.environment(), XDG_STATE_HOME="/var/lib"))
    in_the_middle()
    refused = ask_daemon(do="rollback")
    assert not refused["ok"] and "somebody else is changing production" in refused["message"], refused
    must("systemctl", "restart", "dream.service")  # it looks at once, and leaves alone what goes on
    s = until(lambda s: bool(s["production"]["change"]))
    assert s["rollout"] is None and s["drift"]["lines"] == [] and running()["vllm_memory_util"] == 0.60, s
    p.kill()
    p.wait(timeout=20)
    until(lambda s: s["production"]["change"] is None and is_running(OLD), 60)


def a_paused_daemon_rolls_nothing_out_and_still_goes_back():
    promotion = new_promotion("vllm_memory_util=0.55")
    good("approve", promotion, root=True)
    good("pause", "nobody is here", root=True)
    refused = ask_daemon(do="rollout", promotion=promotion)
    assert not refused["ok"] and "nobody is here" in refused["message"], refused
    asked(do="rollback", version=1)
    until(ended, 60)
    assert running() == OLD, running()
    good("resume", root=True)


def what_drifts_is_told_once():
    write("/run/systemd/system/voice.service.d/zz-admin.conf", "[Service]\nEnvironment=ASR_WHISPER_SIZE=tiny\nExecStart=\n"
          f"ExecStart={BUILD}/dream twin whisper --host 127.0.0.1 --port {production.VOICE} --model tiny\n")
    must("systemctl", "daemon-reload")
    must("systemctl", "restart", "voice.service")
    wait("production answers", answering)
    before = len(status()["alerts"])
    must("systemctl", "restart", "dream.service")
    s = until(lambda s: bool(s["drift"]["lines"]))
    assert any("whisper" in line or "voice" in line for line in s["drift"]["lines"]), s["drift"]
    assert s["alerts"][-1]["kind"] == "drift", s["alerts"]
    must("systemctl", "restart", "dream.service")
    s = until(lambda s: bool(s["drift"]["lines"]))
    assert sum(a["kind"] == "drift" for a in s["alerts"]) == 1, s["alerts"]
    assert len(s["alerts"]) >= before
    assert "drift" in good("status", root=True).out


def without_the_daemon_the_store_and_the_helper_tell():
    must("systemctl", "stop", "dream.service")
    done = good("status", "-c", CONFIG, root=True)
    assert "down" in done.out and "version" in done.out and "generation" in done.out, done


if __name__ == "__main__":
    run_cases([it_knows_what_production_runs, what_is_not_approved_is_refused_at_once, a_promotion_goes_through_the_daemon_to_a_new_version_of_the_baseline,
               a_rollback_takes_no_longer_than_a_restart, killed_in_the_middle_it_comes_back_and_takes_it_back,
               stopped_in_the_middle_it_goes_on_when_it_is_started, a_person_takes_it_back_in_the_middle,
               a_trial_that_does_not_end_holds_nobody_up,
               without_the_store_what_is_half_done_is_taken_back, whoever_says_bad_while_it_is_watched_takes_it_back,
               what_somebody_left_in_the_foreground_is_taken_up, a_paused_daemon_rolls_nothing_out_and_still_goes_back, what_drifts_is_told_once,
               without_the_daemon_the_store_and_the_helper_tell])
