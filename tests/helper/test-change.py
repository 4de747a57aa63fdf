#!/usr/bin/python3
"""A change of production under a real systemd, as the daemon's user asks for it: begin, flip, restart, readback, commit, undo,
a cold start, and recovery at boot."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bed import *


def set_up():
    boot()
    # Programs that do nothing but show what they were given.
    write("/srv/server", "#!/usr/bin/python3\nimport time\nwhile True: time.sleep(1000)\n", 0o755)
    write("/srv/voice.env", "ASR_WHISPER_SIZE=small\nTOKEN=s3cret\n", 0o600)
    unit("judge.service", "User=dream-trial\nExecStart=/srv/server --model m --util 0.50\n")
    unit("voice.service", "User=dream-trial\nEnvironment=WHISPER_SIZE=small\nExecStart=/srv/server\n", "After=judge.service")
    unit("other.service", "ExecStart=/srv/server --util 0.5\n")
    unit("env.service", "EnvironmentFile=/srv/voice.env\nExecStart=/srv/server\n")
    adopt("judge.service", "util=--util 0.3..0.95")
    adopt("voice.service", "size=WHISPER_SIZE tiny,base,small")
    adopt("env.service", "asr=/srv/voice.env:ASR_WHISPER_SIZE tiny,base,small")
    for name in ("judge", "voice", "other", "env"):
        must("systemctl", "restart", name + ".service")


def change(c, rollout, **values):
    before = c.ask("status")["current"]
    to = c.ask("prepare", values=values)["generation"]
    c.ask("begin", rollout=rollout, **{"from": before})
    c.ask("flip", rollout=rollout, to=to)
    return before, to


def same(c, name):
    r = c.ask("readback", unit=name)["readback"]
    return r["same"], r["words"]


# --- Cases --------------------------------------------------------------------------------------


def status_tells_what_production_is_set_to_and_of_each_adopted_unit():
    with Client() as c:
        s = c.ask("status")
    assert s["change"] is None and len(s["current"]) == 16
    assert s["values"]["judge.service"] == {"util": "0.50"}, s["values"]
    assert sorted(s["units"]) == ["env.service", "judge.service", "voice.service"]
    u = s["units"]["judge.service"]
    assert u["state"]["active"] == "active" and u["drift"] == "", u
    assert u["targets"][0]["name"] == "--util" and u["targets"][0]["kind"] == "flag", u
    assert "s3cret" not in json.dumps(s)


def a_change_is_begun_flipped_restarted_read_back_and_committed_by_the_daemons_user():
    def body():
        with Client() as c:
            _, to = change(c, "r1", util="0.60")
            assert same(c, "judge.service")[0] is False  # not restarted yet
            r = c.ask("restart", unit="judge.service")
            assert r["result"] == "done" and r["state"]["active"] == "active" and r["took_us"] > 0, r
            back = c.ask("readback", unit="judge.service")
            assert back["readback"]["same"], back
            assert back["readback"]["values"][0]["found"] == "0.60", back
            c.ask("commit", rollout="r1")
            s = c.ask("status")
            assert s["current"] == to and s["change"] is None and s["good"][0] == to, s

    as_user(DREAM_UID, body)
    assert "0.60" in argv_of("judge.service"), argv_of("judge.service")


def an_undo_brings_back_what_was_committed():
    with Client() as c:
        before, to = change(c, "r2", util="0.70", size="tiny")
        assert c.ask("restart", unit="voice.service")["result"] == "done"
        assert environ_of("voice.service")["WHISPER_SIZE"] == "tiny"
        r = c.ask("undo")
        assert r == {"moved": True, "current": before}, r
        assert same(c, "voice.service")[0] is False  # what runs is still the other one
        assert c.ask("restart", unit="voice.service")["result"] == "done"
        assert same(c, "voice.service") == (True, ""), c.ask("readback", unit="voice.service")
        assert environ_of("voice.service")["WHISPER_SIZE"] == "small"
        assert c.ask("undo")["moved"] is False


def a_key_of_an_env_file_is_changed_and_its_secrets_stay():
    with Client() as c:
        change(c, "r3", asr="base")
        assert c.ask("restart", unit="env.service")["result"] == "done"
        back = c.ask("readback", unit="env.service")
        assert back["readback"]["same"], back
        assert "s3cret" not in json.dumps(back)
        env = environ_of("env.service")
        assert env["ASR_WHISPER_SIZE"] == "base" and env["TOKEN"] == "s3cret", env
        c.ask("undo")
        c.ask("restart", unit="env.service")


def the_steps_of_a_change_cannot_be_taken_out_of_order():
    with Client() as c:
        now = c.ask("status")["current"]
        to = c.ask("prepare", values={"util": "0.65"})["generation"]
        assert c.refused("flip", rollout="r4", to=to) == "EPERM"
        assert c.refused("commit", rollout="r4") == "EPERM"
        assert c.refused("begin", rollout="r4", **{"from": to}) == "ESTALE"
        c.ask("begin", rollout="r4", **{"from": now})
        assert c.refused("begin", rollout="r5", **{"from": now}) == "EBUSY"
        assert c.refused("flip", rollout="r5", to=to) == "EPERM"
        assert c.refused("flip", rollout="r4", to="0123456789abcdef") == "ENOENT"
        assert c.refused("commit", rollout="r5") == "EPERM"
        assert c.ask("undo") == {"moved": False, "current": now}


def a_unit_that_fails_to_start_says_why_and_can_be_started_again_by_the_undo():
    unit("frail.service", "Type=exec\nExecStart=/srv/frail --util 0.50\nRestart=on-failure\n", "StartLimitBurst=2\nStartLimitIntervalSec=1h")
    write("/srv/frail", "#!/usr/bin/python3\nimport sys, time\nif '0.40' in sys.argv: sys.exit(3)\nwhile True: time.sleep(1000)\n", 0o755)
    adopt("frail.service", "frail_util=--util 0.3..0.95")
    with Client() as c:
        assert c.ask("restart", unit="frail.service")["result"] == "done"
        change(c, "r6", frail_util="0.40")
        c.ask("restart", unit="frail.service")
        wait("the unit hits its start limit", lambda: show("frail.service", "Result") in ("start-limit-hit", "exit-code")
             and show("frail.service", "ActiveState") == "failed")
        back = c.ask("readback", unit="frail.service")
        assert back["readback"]["same"] is False and back["readback"]["pid"] == 0, back
        c.ask("undo")
        r = c.ask("restart", unit="frail.service")
        assert r["result"] == "done" and same(c, "frail.service") == (True, ""), r


def a_cold_start_stops_all_before_it_starts_any():
    log = "/srv/cold.log"
    for name, after in (("first", ""), ("second", "After=first.service")):
        unit(f"{name}.service", f"Type=notify\nNotifyAccess=all\nExecStart=/srv/noisy {name} --util 0.5\n", after)
    write("/srv/noisy", "#!/usr/bin/python3\nimport signal, subprocess, sys, time\n"
          f"def say(w): open('{log}', 'a').write(w + ' ' + sys.argv[1] + '\\n')\n"
          "def end(*_):\n    say('stop')\n    sys.exit(0)\n"
          "signal.signal(signal.SIGTERM, end)\nsay('start')\nsay('ready')\nsubprocess.run(['systemd-notify', '--ready'])\n"
          "while True: time.sleep(1000)\n", 0o755)
    adopt("first.service", "first_util=--util 0.1..0.9")
    adopt("second.service", "second_util=--util 0.1..0.9")
    must("systemctl", "start", "second.service", "first.service")
    open(log, "w").close()
    with Client() as c:
        # Asked for in the wrong order on purpose.
        r = c.ask("cold", units=["second.service", "first.service"])["results"]
    assert {u: r[u]["result"] for u in r} == {"first.service": "done", "second.service": "done"}, r
    lines = open(log).read().split("\n")[:-1]
    assert sorted(lines[:2]) == ["stop first", "stop second"], lines
    assert lines.index("ready first") < lines.index("start second"), lines


def a_cold_start_reports_each_unit_for_itself():
    with Client() as c:
        change(c, "r7", frail_util="0.40")
        r = c.ask("cold", units=["frail.service", "judge.service"])["results"]
        assert r["judge.service"]["result"] == "done", r
        c.ask("undo")
        assert c.ask("restart", unit="frail.service")["result"] == "done"
        assert c.refused("cold", units=["judge.service", "other.service"]) == "EPERM"


def a_masked_unit_is_a_result_and_no_fault():
    unit("hidden.service", "ExecStart=/srv/server --util 0.5\n")
    adopt("hidden.service", "hidden_util=--util 0.1..0.9")
    sh("systemctl", "mask", "--runtime", "hidden.service")
    shutil.move(f"{UNITS}/hidden.service", "/srv/hidden.saved")
    os.symlink("/dev/null", f"{UNITS}/hidden.service")
    must("systemctl", "daemon-reload")
    with Client() as c:
        r = c.ask("restart", unit="hidden.service")
        assert r["result"] == "refused" and "masked" in r["words"], r
        assert c.ask("readback", unit="hidden.service")["readback"]["same"] is False
    os.unlink(f"{UNITS}/hidden.service")
    shutil.move("/srv/hidden.saved", f"{UNITS}/hidden.service")
    sh("systemctl", "unmask", "--runtime", "hidden.service")
    must("systemctl", "daemon-reload")


def a_client_that_leaves_in_the_middle_of_a_restart_leaves_a_helper_that_goes_on():
    unit("slow.service", "Type=exec\nExecStartPre=/bin/sleep 2\nExecStart=/srv/server --util 0.5\n")
    adopt("slow.service", "slow_util=--util 0.1..0.9")
    with Client() as c:
        c.send({"do": "restart", "unit": "slow.service"})
        wait("the job runs", lambda: show("slow.service", "ActiveState") == "activating")
    with Client() as c:
        assert c.ask("status")["units"]["slow.service"]["state"]["active"] == "activating"  # is not held up
        r = c.ask("restart", unit="slow.service")  # takes the place of the first
        assert r["result"] == "done", r


def restarts_are_one_after_the_other():
    with Client() as a, Client() as b:
        a.send({"do": "restart", "unit": "slow.service"})
        wait("the job runs", lambda: show("slow.service", "ActiveState") == "activating")
        before = show("judge.service", "InvocationID")
        b.send({"do": "restart", "unit": "judge.service"})
        b.send({"do": "status"})
        with Client() as third:
            assert third.ask("status")["units"]["slow.service"]["state"]["active"] == "activating"
        assert show("judge.service", "InvocationID") == before
        assert a.receive()["result"] == "done"
        assert b.receive()["result"] == "done"
        assert "units" in b.receive()
    assert show("judge.service", "InvocationID") != before


def a_helper_that_is_stopped_in_the_middle_leaves_no_unit_stopped():
    with Client() as c:
        c.send({"do": "cold", "units": ["slow.service", "judge.service"]})
        wait("it is at work", lambda: show("slow.service", "ActiveState") in ("activating", "inactive", "deactivating"))
        c.s.close()
        must("systemctl", "stop", "dream-helper.socket", "dream-helper.service")
        assert show("slow.service", "ActiveState") == "active" and show("judge.service", "ActiveState") == "active"
    must("systemctl", "start", "dream-helper.socket")


def another_user_is_turned_away():
    def body():
        try:
            with Client() as c:
                c.ask("status")
        except (PermissionError, Refused, ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError("it was answered")

    as_user(901, body)
    os.chmod(SOCKET, 0o666)  # somebody was careless with the socket: the uid is asked all the same
    as_user(901, body)
    os.chmod(SOCKET, 0o660)


def the_helper_ends_when_nobody_asks_and_comes_back():
    must("systemctl", "stop", "dream-helper.service")
    with Client() as c:
        c.ask("status")
        first = pid_of("dream-helper.service")
        assert first > 0
    wait("it ends", lambda: show("dream-helper.service", "ActiveState") == "inactive", 30)
    with Client() as c:
        c.ask("status")
        assert pid_of("dream-helper.service") not in (0, first)


def recovery_undoes_once_after_a_power_cut_and_not_in_the_middle_of_a_change():
    with Client() as c:
        before, to = change(c, "r8", util="0.80")
    must("systemctl", "restart", "dream-recover.service")  # as when a managed unit pulls it in
    assert os.readlink(STATE + "/current") == "gen/" + to
    write(STATE + "/.boot", "00000000-0000-0000-0000-000000000000", 0o600)  # another boot
    must("systemctl", "restart", "dream-recover.service")
    assert os.readlink(STATE + "/current") == "gen/" + before
    with Client() as c:
        assert c.ask("status")["change"] is None
        before, to = change(c, "r9", util="0.80")
        must("systemctl", "restart", "dream-recover.service")
        assert c.ask("status")["change"]["to"] == to
        c.ask("undo")


def an_adopted_unit_starts_after_recovery():
    with Client() as c:
        before, to = change(c, "r10", util="0.80")
    must("systemctl", "stop", "judge.service", "dream-recover.service")  # the power goes, and comes back
    write(STATE + "/.boot", "00000000-0000-0000-0000-000000000000", 0o600)
    must("systemctl", "start", "judge.service")
    assert "0.80" not in argv_of("judge.service") and os.readlink(STATE + "/current") == "gen/" + before
    with Client() as c:
        assert same(c, "judge.service") == (True, "")


def recovery_that_cannot_work_does_not_keep_production_down():
    write(STATE + "/.boot", "other", 0o600)
    log = open(STATE + "/intent.log", "rb").read()
    with open(STATE + "/intent.log", "wb") as f:
        f.write(b"\0" * 7 + b"garbage" * 100 + log)
    must("systemctl", "stop", "judge.service", "dream-recover.service")
    must("systemctl", "start", "judge.service")
    assert show("judge.service", "ActiveState") == "active"
    assert show("dream-recover.service", "Result") == "exit-code"
    assert "dream-helper: " in must("journalctl", "-u", "dream-recover.service", "-n", "5", "-o", "cat")
    with open(STATE + "/intent.log", "wb") as f:
        f.write(log)
    must("systemctl", "reset-failed", "dream-recover.service")


def a_user_changes_units_of_their_own_with_their_own_rights():
    home, runtime = "/srv/home", f"/run/user/{DREAM_UID}"
    os.makedirs(home)
    os.chown(home, DREAM_UID, DREAM_UID)
    write(f"/run/systemd/system/user@{DREAM_UID}.service.d/home.conf",
          f"[Service]\nPAMName=\nEnvironment=HOME={home} XDG_RUNTIME_DIR={runtime}\n")  # no PAM in the sandbox
    must("systemctl", "daemon-reload")
    must("systemctl", "start", f"user@{DREAM_UID}.service")

    def body():
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "DBUS_SESSION_BUS_ADDRESS"):
            os.environ.pop(name, None)
        os.environ.update(HOME=home, XDG_RUNTIME_DIR=runtime)
        write(home + "/.config/systemd/user/mine.service", "[Service]\nExecStart=/srv/server --util 0.50\n")
        os.makedirs(home + "/.local/state/dream-production", mode=0o755)
        must("systemctl", "--user", "daemon-reload")
        must(ADOPT, "mine.service", "mine_util=--util 0.1..0.9")
        must("systemctl", "--user", "daemon-reload")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        helper = subprocess.Popen(["/srv/dream-helper", "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()
        with Client(connected=ours) as c:
            change(c, "u1", mine_util="0.60")
            assert c.ask("restart", unit="mine.service")["result"] == "done"
            assert same(c, "mine.service") == (True, ""), c.ask("readback", unit="mine.service")
            c.ask("commit", rollout="u1")
            assert c.refused("restart", unit="judge.service") == "EPERM"
        assert helper.wait(10) == 0  # it ends with the last one who asks

    as_user(DREAM_UID, body)
    must("systemctl", "stop", f"user@{DREAM_UID}.service")


def how_much_is_exposed():
    for name, most in (("dream-helper.service", 3.0), ("dream-recover.service", 2.0)):
        text = sh("systemd-analyze", "security", "--no-pager", name).split("\n")[-1]
        print("# " + text)
        score = float(re.search(r": ([0-9.]+) ", text)[1])
        assert score <= most, text


set_up()
run_cases([alone(case) for case in (
    status_tells_what_production_is_set_to_and_of_each_adopted_unit,
    a_change_is_begun_flipped_restarted_read_back_and_committed_by_the_daemons_user,
    an_undo_brings_back_what_was_committed,
    a_key_of_an_env_file_is_changed_and_its_secrets_stay,
    the_steps_of_a_change_cannot_be_taken_out_of_order,
    a_unit_that_fails_to_start_says_why_and_can_be_started_again_by_the_undo,
    a_cold_start_stops_all_before_it_starts_any,
    a_cold_start_reports_each_unit_for_itself,
    a_masked_unit_is_a_result_and_no_fault,
    a_client_that_leaves_in_the_middle_of_a_restart_leaves_a_helper_that_goes_on,
    restarts_are_one_after_the_other,
    a_helper_that_is_stopped_in_the_middle_leaves_no_unit_stopped,
    another_user_is_turned_away,
    the_helper_ends_when_nobody_asks_and_comes_back,
    recovery_undoes_once_after_a_power_cut_and_not_in_the_middle_of_a_change,
    an_adopted_unit_starts_after_recovery,
    recovery_that_cannot_work_does_not_keep_production_down,
    a_user_changes_units_of_their_own_with_their_own_rights,
    how_much_is_exposed,
)])
