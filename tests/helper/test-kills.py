#!/usr/bin/python3
"""dream-helper is killed in the middle of changes, under a real systemd: at a moment of its own choosing in one verb, or
anywhere in the whole change, and again while what was left is being cleared up. What runs in the end is the old
configuration or the new one, in both units, and never one of each."""
import os
import random
import select
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bed import *

SEED = int(os.environ.get("SEED", "1"))
SOAK = bool(os.environ.get("DREAM_SOAK"))
KILLS = int(os.environ.get("KILLS", "300" if SOAK else "50"))
NAMES = ("first.service", "second.service")


def set_up():
    boot()
    for name in NAMES:
        unit(name, "Type=exec\nEnvironment=UTIL=100\nExecStart=/bin/sleep infinity\n")
        adopt(name, "util=UTIL 100..100000000")
    for name in NAMES:
        must("systemctl", "restart", name)


class Killer:
    """SIGKILL to the helper after a while, from beside."""

    def __init__(self, r):
        self.r = r
        self.kills = 0
        self.timer = None
        self.process = None  # a descriptor: it is ended when that can be read

    def arm(self, seconds):
        self.join()
        try:
            self.process = os.pidfd_open(pid_of("dream-helper.service"))
        except (OSError, ValueError):
            return

        def kill():
            try:
                signal.pidfd_send_signal(self.process, signal.SIGKILL)
                self.kills += 1
            except ProcessLookupError:
                pass

        self.timer = threading.Timer(seconds, kill)
        self.timer.start()

    def join(self):
        """Nobody is killed after that, and nothing more is heard by one that was."""
        if self.timer:
            self.timer.join()
            select.select([self.process], [], [], 30)
        if self.process is not None:
            os.close(self.process)
        self.timer = self.process = None


def story(c, killer, r, value, before):
    """A whole change; True: its commit was acknowledged. The kill comes in it."""
    verb = r.choice(["prepare", "begin", "flip", "restart", "commit", "any", "any"])
    if verb == "any":
        killer.arm(r.uniform(0, 0.25))

    def ask(do, **members):
        if do == verb:
            killer.arm(r.uniform(0, 0.008))
        return c.ask(do, **members)

    to = ask("prepare", values={"util": value})["generation"]
    ask("begin", rollout=f"r{value}", **{"from": before})
    ask("flip", rollout=f"r{value}", to=to)
    for name in NAMES:
        assert ask("restart", unit=name)["result"] == "done"
    ask("commit", rollout=f"r{value}")
    return True


def clear_up(killer, r):
    """What a daemon does that finds an open change: undo, and every unit anew. Killed in it now and then, it does it again."""
    for attempt in range(6):
        try:
            with Client() as c:
                if attempt < 2 and r.random() < 0.4:
                    killer.arm(r.uniform(0, 0.1))
                if r.random() < 0.3:  # the machine comes up again instead
                    if os.path.exists(STATE + "/.boot"):
                        os.unlink(STATE + "/.boot")
                    must("/srv/dream-helper", "--recover")
                if c.ask("status")["change"]:
                    c.ask("undo")
                for name in NAMES:
                    assert c.ask("restart", unit=name)["result"] == "done"
            killer.join()
            return
        except (ConnectionError, OSError):
            killer.join()
    raise AssertionError("it cannot be cleared up")


def one_kill(killer, r, n):
    with Client() as c:
        before = c.ask("status")
        old = before["values"]["first.service"]["util"]
        assert before["change"] is None
        value = str(1000 + n)
        try:
            committed = story(c, killer, r, value, before["current"])
        except (ConnectionError, OSError):
            committed = False
    killer.join()
    clear_up(killer, r)
    with Client() as c:
        after = c.ask("status")
        now = after["values"]["first.service"]["util"]
        assert after["change"] is None
        assert after["values"]["second.service"]["util"] == now
        assert now in (old, value), (old, value, now)
        assert not committed or now == value, "what was committed is gone"
        for name in NAMES:
            back = c.ask("readback", unit=name)["readback"]
            assert back["same"], back
    return now == value


def nothing_is_mixed_however_often_it_is_killed():
    r = random.Random(SEED)
    killer = Killer(r)
    new = n = 0
    while killer.kills < KILLS:
        new += one_kill(killer, r, n)
        n += 1
    print(f"# SEED={SEED}: {killer.kills} kills in {n} changes; {n - new} ended old, {new} new, 0 mixed")
    left = [name for name in os.listdir(STATE) if name not in ("gen", "current", "intent.log", ".boot", ".changing", ".current.new")]
    assert left == [], left


set_up()
run_cases([nothing_is_mixed_however_often_it_is_killed])
