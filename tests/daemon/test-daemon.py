#!/usr/bin/python3
"""`dream daemon` from outside: what it tells systemd, what people may ask, what it keeps over its own death. SEED and
KILLS say how it is killed at random."""
import json
import os
import pathlib
import random
import select
import signal
import socket
import stat
import subprocess
import threading
import time

from service import PATIENCE_S, Daemon, until
from tap import DREAM, run_cases

SOON_S = 20  # TimeoutStopSec of dream.service


def it_says_when_it_is_ready_and_what_it_does():
    with Daemon() as d:
        d.start()
        d.wait_told("STATUS=")
        s = d.status()
        assert s["schema"] == "dream.status/v1"
        assert s["daemon"]["pid"] == d.process.pid and s["daemon"]["mode"] == "user"
        assert s["paused"] is None and s["waiting"] == [] and s["rollout"] is None
        assert stat.S_IMODE(d.socket.stat().st_mode) == 0o660


def sigterm_ends_it_within_seconds_and_leaves_no_socket():
    for sig in (signal.SIGTERM, signal.SIGINT):
        with Daemon() as d:
            d.start()
            began = time.monotonic()
            assert d.stop(sig) == 0, d.said()
            assert time.monotonic() - began < SOON_S
            d.wait_told("STOPPING=1")
            assert not d.socket.exists()


def there_is_only_one():
    with Daemon() as d:
        d.start()
        other = d.dream("daemon", "--user", "--config", d.config, "--socket", d.path / "other.sock")
        assert other.code == 1 and "another daemon" in other.err, other
        assert d.status()["ok"]


def a_socket_that_a_killed_one_left_is_replaced():
    with Daemon() as d:
        d.start()
        d.stop(signal.SIGKILL)
        assert d.socket.exists()
        d.start()
        assert d.status()["ok"]


def a_configuration_with_mistakes_is_none():
    with Daemon("  run_window: sometimes\n") as d:
        d.spawn()
        assert d.process.wait(PATIENCE_S) == 2
        assert "run_window" in d.said(), d.said()
    with Daemon() as d:
        d.config.write_text("version: 1\nexperiments: 7\n")
        d.spawn()
        assert d.process.wait(PATIENCE_S) == 2, d.said()


def reload_takes_over_what_is_good_and_keeps_the_old_when_it_is_not():
    with Daemon() as d:
        d.start()
        assert d.status()["run"]["window"] is None
        d.configure("  probe_every: 0\n  run_window: 01:00-01:01\n")
        d.process.send_signal(signal.SIGHUP)
        lines = d.wait_told("RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in lines), lines
        d.wait_told("READY=1")
        assert d.status()["run"]["window"] == "01:00-01:01"
        good = d.config.read_text()
        d.config.write_text(good.replace("search_space", "serch_space"))
        d.process.send_signal(signal.SIGHUP)
        d.wait_told("READY=1")
        s = d.status()
        assert s["run"]["window"] == "01:00-01:01"
        assert "search_space" in s["daemon"]["configuration_error"], s["daemon"]
        text = d.dream("status").out
        assert "search_space" in text, text
        d.config.write_text(good)
        d.process.send_signal(signal.SIGHUP)
        d.wait_told("READY=1")
        assert d.status()["daemon"]["configuration_error"] is None


def a_pause_holds_over_a_kill_and_says_who_and_why():
    with Daemon() as d:
        d.start()
        done = d.dream("pause", "exam", "week")
        assert done.code == 0, done
        again = d.dream("pause")
        assert again.code == 1 and "exam week" in again.err, again
        d.stop(signal.SIGKILL)
        d.start()
        p = d.status()["paused"]
        assert p["why"] == "exam week" and p["uid"] == os.getuid() and p["by"], p
        assert "exam week" in d.dream("status").out
        refused = d.ask(do="rollout", promotion="nothing")
        assert not refused["ok"] and refused["error"] == "EBUSY" and "paused" in refused["message"], refused
        assert d.dream("resume").code == 0
        assert d.status()["paused"] is None
        assert d.dream("resume").code == 1


def requests_that_make_no_sense_are_refused_with_a_reason():
    with Daemon() as d:
        d.start()
        for request, error in (
                ({"do": "approve"}, "EINVAL"),
                ({"do": "approve", "promotion": 7}, "EINVAL"),
                ({"do": "approve", "promotion": "x" * 64}, "EINVAL"),
                ({"do": "approve", "promotion": "no-such"}, "ENOENT"),
                ({"do": "approve", "promotion": "p", "reason": "two\nlines"}, "EINVAL"),
                ({"do": "reject", "promotion": "no-such"}, "ENOENT"),
                ({"do": "rollback", "version": -1}, "EINVAL"),
                ({"do": "rollback", "version": "1"}, "EINVAL"),
                ({"do": "rollback", "version": 1 << 40}, "EINVAL"),
                ({"do": "continue"}, "EINVAL"),
                ({"do": "abort"}, "EINVAL"),
                ({"do": "pause", "reason": "r" * 300}, "EINVAL"),
                ({"do": "promotion"}, "EINVAL"),
                ({"do": "promotion", "promotion": "\x1b[31m"}, "EINVAL"),
                ({"do": "promotion", "promotion": "x" * 64}, "EINVAL"),
                ({"do": "promotion", "promotion": "no-such"}, "ENOENT"),
                ({"do": "promotions", "experiment": ["a"]}, "EINVAL"),
                ({"do": "promotions", "experiment": "e" * 5000}, "EINVAL"),
                ({"do": "promotions", "store": "/elsewhere/dream.db"}, "EXDEV"),
                ({"do": "baseline_log", "store": "/" * 60000}, "EINVAL"),
                ({"do": "baseline_diff"}, "ENODATA"),
                ({"do": "baseline_diff", "store": 3}, "EINVAL"),
                ({"do": "preview", "promotion": {"id": 1}}, "EINVAL"),
                ({"do": "preview", "promotion": "no-such"}, "ENOENT"),
                ({"do": "launch"}, "EOPNOTSUPP")):
            answer = d.ask(**request)
            assert not answer["ok"] and answer["error"] == error and answer["message"], (request, answer)
        assert not d.ask(do="rollout", promotion="no-such")["ok"]
        assert not d.ask(do="rollback")["ok"]
        assert d.ask(do="promotions", store=str(d.state / "dream.db"))["promotions"] == []
        assert d.ask(do="baseline_log") == {"ok": True, "schema": "dream.baseline_log/v1", "versions": []}
        assert d.status()["ok"]


def the_watchdog_is_fed_while_the_store_answers():
    with Daemon() as d:
        d.spawn(WATCHDOG_USEC="600000")
        d.wait_told("READY=1")
        for _ in range(4):
            d.wait_told("WATCHDOG=1")
        assert d.stop() == 0


def it_is_not_fed_when_the_loop_stands_still():
    with Daemon() as d:
        d.spawn(WATCHDOG_USEC="300000")
        d.wait_told("WATCHDOG=1")
        d.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(d.process.pid, os.WUNTRACED)[1])
        d.forget_told()
        said = select.select([d.notify], [], [], 0.6)[0]
        assert not said, "a daemon that stands still said something"
        d.process.send_signal(signal.SIGCONT)


def without_the_daemon_status_says_so_and_shows_the_rest():
    with Daemon() as d:
        d.start()
        assert d.dream("pause", "holidays").code == 0
        assert d.stop() == 0
        done = d.dream("status", "-c", d.config)
        assert done.code == 0, done
        assert "down" in done.out and "holidays" in done.out, done
        s = d.json("status", "-c", d.config)
        assert s["schema"] == "dream.status/v1" and not s["daemon"]["running"] and s["paused"]["why"] == "holidays", s
        for verb in ("pause", "resume"):
            done = d.dream(verb)
            assert done.code == 1 and "no daemon" in done.err, done


def a_run_is_started_in_its_window_and_what_it_proposes_waits():
    with Daemon("  probe_every: 0\n  run_window: 00:00-24:00\n  run_every: 1 h\n") as d:
        d.start()
        until(lambda: d.status()["run"]["result"], 120)
        s = d.status()
        assert not s["run"]["running"] and s["run"]["ended_at_us"], s["run"]
        assert "better" in s["run"]["result"], s["run"]
        next_us = s["run"]["next_at_us"] - s["run"]["ended_at_us"]
        assert next_us == 3600 * 1000000, next_us
        if "proposed" in s["run"]["result"]:
            assert len(s["waiting"]) == 1 and s["waiting"][0]["decision"] is None, s["waiting"]
            promotion = s["waiting"][0]["id"]
            assert promotion in d.dream("status").out
            # Nothing is adopted: there is no version of production that a decision could be about.
            decided = d.ask(do="reject", promotion=promotion, reason="not this week")
            assert not decided["ok"] and "no unit is adopted" in decided["message"], decided
        d.stop(signal.SIGKILL)
        d.start()
        run = d.status()["run"]
        assert not run["running"] and run["ended_at_us"] == s["run"]["ended_at_us"], run


SLOW = "  probe_every: 0\n  run_window: 00:00-24:00\n"


def slow_down(d):
    """Measuring takes long: a program that sleeps."""
    script = d.path / "slow.sh"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    text = d.config.read_text()
    begin = text.index("    evaluator:")
    d.config.write_text(text[:begin] + f"    evaluator: {{kind: command, command: [{script}]}}\n" +
                        text[text.index("    services:"):])


def a_run_without_a_baseline_is_told_from_one_without_a_winner():
    with Daemon(SLOW) as d:
        slow_down(d)
        (d.path / "slow.sh").write_text("""#!/bin/sh
echo '{"status": "start_failed", "reason": "no such card"}'
""")
        d.start()
        result = until(lambda: d.status()["run"]["result"], 120)
        assert "the baseline could not be measured" in result and "spica_gpu_allocation" in result, result
        assert "no such card" in result and "nothing better" not in result, result
        assert result[:40] in d.dream("status").out, d.dream("status").out
        # And after a restart.
        d.stop()
        d.configure("  probe_every: 0\n")
        d.start()
        assert d.status()["run"]["result"] == result


def a_run_that_measured_nothing_says_so():
    with Daemon(SLOW) as d:
        slow_down(d)
        (d.path / "slow.sh").write_text("#!/bin/sh\necho 'the driver is gone' >&2\nexit 7\n")
        d.start()
        result = until(lambda: d.status()["run"]["result"], 120)
        assert "nothing could be measured" in result and "exit status 7" in result and "driver is gone" in result, result


class SilentHelper:
    """One that is asked and does not answer."""

    def __init__(self, d):
        self.path = d.path / "helper.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        self.listener.settimeout(PATIENCE_S)

    def asked(self):
        """What it was asked, and the connection, which must be kept."""
        at, _ = self.listener.accept()
        at.settimeout(PATIENCE_S)
        return json.loads(at.recv(65536)), at

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.listener.close()


def while_it_takes_back_without_a_store_systemd_waits_and_whoever_ends_it_is_heard():
    with Daemon() as d, SilentHelper(d) as helper:
        (d.state / "dream.db").mkdir()
        d.spawn("--helper", helper.path)
        request, connection = helper.asked()
        with connection:
            assert request["do"] == "status", request
            d.wait_told("EXTEND_TIMEOUT_USEC=")
            began = time.monotonic()
            assert d.stop() == 1
            assert time.monotonic() - began < SOON_S
        assert "asked to end" in d.said(), d.said()


def a_run_ends_with_the_daemon_however_that_ends():
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with Daemon(SLOW) as d:
            slow_down(d)
            d.start()
            until(lambda: d.runs())
            assert d.status()["run"]["running"]
            began = time.monotonic()
            d.stop(sig)
            assert time.monotonic() - began < SOON_S
            until(lambda: not d.runs())
            # It has not had its turn, so it goes on at once.
            d.start()
            until(lambda: d.runs())


def a_paused_daemon_begins_no_run_and_goes_on_when_it_is_resumed():
    with Daemon() as d:
        d.start()
        assert d.dream("pause").code == 0
        d.configure(SLOW)
        slow_down(d)
        d.process.send_signal(signal.SIGHUP)
        d.wait_told("RELOADING=1")
        d.wait_told("READY=1")
        assert not d.status()["run"]["running"] and not d.runs()
        assert d.dream("resume").code == 0
        until(lambda: d.runs())


def hold_the_run(d):
    """It is there, and does not end when it is asked to; only SIGKILL still ends it, or SIGCONT."""
    pid = until(lambda: d.runs())[0]
    until(lambda: d.status()["run"]["running"])
    os.kill(pid, signal.SIGSTOP)
    # Not at once: a SIGTERM that comes before goes first.
    until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
    return pid


def what_waits_for_a_run_is_called_off_by_whoever_goes_back_or_pauses():
    with Daemon(SLOW) as d:
        slow_down(d)
        d.start()
        hold_the_run(d)
        waits = d.ask(do="rollout", promotion="first")
        assert waits["ok"] and "when the scheduled run has ended" in waits["words"], waits
        refused = d.ask(do="rollout", promotion="second")
        assert not refused["ok"] and refused["error"] == "EBUSY", refused
        assert "promotion first had not begun" in d.ask(do="abort")["words"] and "promotion first had not begun" in d.said()
        assert d.ask(do="abort")["error"] == "EINVAL"
        assert d.ask(do="rollout", promotion="second")["ok"]
        back = d.ask(do="rollback")
        assert back["ok"] and "when the scheduled run has ended" in back["words"], back
        assert "promotion second had not begun" in d.said(), d.said()
        until(lambda: "back to the version before did not begin" in d.said())  # nothing is adopted here
        pid = hold_the_run(d)
        assert d.ask(do="rollout", promotion="third")["ok"]
        assert d.dream("pause", "exam week").code == 0
        os.kill(pid, signal.SIGCONT)
        until(lambda: "promotion third did not begin: the daemon is paused" in d.said())


def followers_see_what_happens():
    with Daemon() as d:
        d.start()
        p = subprocess.Popen([DREAM, "status", "--follow"], env=d.env, cwd=d.path, stdout=subprocess.PIPE, bufsize=0)
        try:
            until(lambda: p.stdout.readline().startswith(b"daemon"))  # the last line of the screen: events follow
            # It may not follow yet when the first events come.
            os.set_blocking(p.stdout.fileno(), False)
            said = b""
            for n in range(200):
                assert d.ask(do="pause", reason="look at me")["ok"] and d.ask(do="resume")["ok"]
                said += p.stdout.read() or b""
                if any(b"paused by" in line and b"look at me" in line for line in said.split(b"\n")):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError(said)
        finally:
            p.kill()
            p.wait()


def a_store_that_cannot_be_opened_is_a_reason_not_to_begin():
    with Daemon() as d:
        (d.state / "dream.db").mkdir()
        d.spawn()
        assert d.process.wait(PATIENCE_S) == 1
        assert "dream.db" in d.said(), d.said()


def killed_at_any_moment_it_keeps_what_it_said():
    seed = int(os.environ.get("SEED", "1"))
    kills = int(os.environ.get("KILLS", "200")) if os.environ.get("DREAM_SOAK") else 6
    print(f"# SEED={seed} KILLS={kills}", flush=True)
    rng = random.Random(seed)
    with Daemon() as d:
        now, possible = "", {""}
        for n in range(kills):
            d.start()
            paused = d.status()["paused"]
            now = paused["why"] if paused else ""
            assert now in possible, (n, now, possible)
            killer = threading.Timer(rng.uniform(0, 0.1), d.process.kill)
            killer.start()
            try:
                while True:
                    word = "" if now else f"reason {rng.randrange(1000)}"
                    possible = {now, word}
                    answer = d.ask(do="resume") if now else d.ask(do="pause", reason=word)
                    assert answer["ok"], answer
                    now = word
                    possible = {now}
            except (OSError, ValueError):
                pass  # it died before it answered: the old and the new are both right
            killer.join()
            assert d.process.wait(PATIENCE_S) == -signal.SIGKILL, d.said()
            d.forget_told()
        d.start()
        assert d.stop() == 0
        left = [p.name for p in d.state.iterdir()]
        assert len(left) < 20, left
        verified = d.dream("lineage", "verify", "-c", d.config)
        assert verified.code == 0, verified


if __name__ == "__main__":
    run_cases([it_says_when_it_is_ready_and_what_it_does, sigterm_ends_it_within_seconds_and_leaves_no_socket,
               there_is_only_one, a_socket_that_a_killed_one_left_is_replaced, a_configuration_with_mistakes_is_none,
               reload_takes_over_what_is_good_and_keeps_the_old_when_it_is_not,
               a_pause_holds_over_a_kill_and_says_who_and_why, requests_that_make_no_sense_are_refused_with_a_reason,
               the_watchdog_is_fed_while_the_store_answers, it_is_not_fed_when_the_loop_stands_still,
               without_the_daemon_status_says_so_and_shows_the_rest,
               a_run_is_started_in_its_window_and_what_it_proposes_waits,
               a_run_without_a_baseline_is_told_from_one_without_a_winner,
               a_run_that_measured_nothing_says_so, a_run_ends_with_the_daemon_however_that_ends,
               while_it_takes_back_without_a_store_systemd_waits_and_whoever_ends_it_is_heard,
               a_paused_daemon_begins_no_run_and_goes_on_when_it_is_resumed,
               what_waits_for_a_run_is_called_off_by_whoever_goes_back_or_pauses, followers_see_what_happens,
               a_store_that_cannot_be_opened_is_a_reason_not_to_begin, killed_at_any_moment_it_keeps_what_it_said])
