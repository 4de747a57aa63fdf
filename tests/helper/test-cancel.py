#!/usr/bin/python3
"""A service whose start never ends does not hold up what must be done about it: a restart or a cold start is given up at
once when that is asked for, and production can be taken back and started with what it ran before."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bed import *

# Says that it is ready with the value that it was adopted with, and never with another. Told to, it does not end either.
SERVER = """#!/usr/bin/python3
import os, signal, socket, sys, time
if os.path.exists("/srv/stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[sys.argv.index("--util") + 1] == "0.50":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
while True: time.sleep(1000)
"""
# Nothing but the word ends these starts and stops, so that it ends at all is what counts; each write of an undo may have to
# wait for a disk that others are busy with.
SOON_S = 10


def set_up():
    boot()
    write("/srv/server", SERVER, 0o755)
    write("/srv/plain", "#!/usr/bin/python3\nimport time\nwhile True: time.sleep(1000)\n", 0o755)
    unit("hang.service", "Type=notify\nNotifyAccess=all\nTimeoutStartSec=infinity\nTimeoutStopSec=infinity\nExecStart=/srv/server --util 0.50\n")
    unit("judge.service", "ExecStart=/srv/plain --level 0.50\n")
    adopt("hang.service", "util=--util 0.3..0.95")
    adopt("judge.service", "level=--level 0.3..0.95")
    for name in ("hang", "judge"):
        sh("systemctl", "restart", name + ".service")


def change(c, rollout):
    before = c.ask("status")["current"]
    to = c.ask("prepare", values={"util": "0.60"})["generation"]
    c.ask("begin", rollout=rollout, **{"from": before})
    c.ask("flip", rollout=rollout, to=to)


def hangs():
    return show("hang.service", "ActiveState") == "activating"


def begin_to_hang(c, do="restart", **members):
    c.send({"do": do, **(members or {"unit": "hang.service"})})
    wait("it hangs", hangs)


class Soon:
    """What is done in it takes no longer than a moment."""

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        took = time.monotonic() - self.began
        print(f"# {took:.2f} s")
        assert kind or took < SOON_S, f"it took {took:.2f} s"


def all_is_well():
    with Client() as c:
        assert c.ask("status")["change"] is None
        for name in ("hang.service", "judge.service"):
            r = c.ask("readback", unit=name)
            assert all(v["same"] for v in r["readback"]["values"]) and r["state"]["active"] == "active", r


# --- Cases --------------------------------------------------------------------------------------


def nothing_at_work_is_nothing_to_give_up():
    with Client() as c:
        assert c.ask("cancel") == {}
    all_is_well()


def a_restart_that_hangs_is_given_up_and_taken_back_at_once():
    with Client() as c:
        change(c, "r1")
        begin_to_hang(c)
        with Soon():
            c.send({"do": "cancel"})
            given_up = c.receive()
            assert given_up["ok"] and given_up["result"] == "canceled" and given_up["state"]["active"] == "activating", given_up
            assert c.receive() == {"ok": True}
            assert c.ask("undo")["moved"] is True
            assert c.ask("restart", unit="hang.service")["result"] == "done"
    all_is_well()


def a_cold_start_that_hangs_is_given_up_and_says_what_had_started():
    with Client() as c:
        change(c, "r2")
        begin_to_hang(c, "cold", units=["judge.service", "hang.service"])
        wait("the other one runs", lambda: show("judge.service", "ActiveState") == "active" and not show("judge.service", "Job"))
        with Soon():
            c.send({"do": "cancel"})
            results = c.receive()["results"]
            assert results["hang.service"]["result"] == "canceled" and results["judge.service"]["result"] == "done", results
            assert c.receive() == {"ok": True}
            c.ask("undo")
            assert c.ask("restart", unit="hang.service")["result"] == "done"
    all_is_well()


def a_cold_start_whose_stop_hangs_is_given_up_and_starts_nothing():
    write("/srv/stubborn", "")
    with Client() as c:
        assert c.ask("restart", unit="hang.service")["result"] == "done"
        c.send({"do": "cold", "units": ["judge.service", "hang.service"]})
        wait("the other one was stopped", lambda: show("judge.service", "ActiveState") == "inactive")
        with Soon():
            c.send({"do": "cancel"})
            results = c.receive()["results"]
            assert [r["result"] for r in results.values()] == ["canceled", "canceled"], results
            assert c.receive() == {"ok": True}
        os.unlink("/srv/stubborn")
        sh("systemctl", "kill", "-s", "KILL", "hang.service")
        wait("it is gone", lambda: show("hang.service", "ActiveState") in ("inactive", "failed"))
        assert show("judge.service", "ActiveState") == "inactive"
        for name in ("hang.service", "judge.service"):
            assert c.ask("restart", unit=name)["result"] == "done"
    all_is_well()


def who_waits_for_its_turn_may_give_up_and_the_one_at_work_goes_on():
    with Client() as a, Client() as b:
        change(a, "r3")
        begin_to_hang(a)
        b.send({"do": "restart", "unit": "judge.service"})
        assert b.s.gettimeout() and hangs()
        with Soon():
            b.send({"do": "cancel"})
            refused = b.receive()
            assert not refused["ok"] and refused["error"] == "ECANCELED", refused
            assert b.receive() == {"ok": True}
        assert hangs()
        with Soon():
            a.send({"do": "cancel"})
            assert a.receive()["result"] == "canceled"
            assert a.receive() == {"ok": True}
            a.ask("undo")
            assert a.ask("restart", unit="hang.service")["result"] == "done"
    all_is_well()


def what_one_who_left_had_begun_is_given_up_for_the_next():
    with Client() as a:
        change(a, "r4")
        begin_to_hang(a)
    with Client() as c, Soon():
        assert c.ask("cancel") == {}
        assert c.ask("restart", unit="judge.service")["result"] == "done"
        c.ask("undo")
        assert c.ask("restart", unit="hang.service")["result"] == "done"
    all_is_well()


def what_is_sent_ahead_is_answered_in_its_turn():
    with Client() as c:
        change(c, "r5")
        begin_to_hang(c)
        c.send({"do": "status"})
        c.send({"do": "cancel"})  # is not the next one, and not read
        c.s.settimeout(0.3)
        try:
            raise AssertionError(c.receive())
        except TimeoutError:
            pass
        c.s.settimeout(30)
        with Client() as other:
            other.ask("undo")
            sh("systemctl", "restart", "hang.service")
        first = c.receive()
        assert first["ok"] and first["result"] in ("done", "canceled"), first
        assert "units" in c.receive()
        assert c.receive() == {"ok": True}
    all_is_well()


run_cases([
    set_up,
    nothing_at_work_is_nothing_to_give_up,
    a_restart_that_hangs_is_given_up_and_taken_back_at_once,
    a_cold_start_that_hangs_is_given_up_and_says_what_had_started,
    a_cold_start_whose_stop_hangs_is_given_up_and_starts_nothing,
    who_waits_for_its_turn_may_give_up_and_the_one_at_work_goes_on,
    what_one_who_left_had_begun_is_given_up_for_the_next,
    what_is_sent_ahead_is_answered_in_its_turn,
])
