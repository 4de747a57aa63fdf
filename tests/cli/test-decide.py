#!/usr/bin/python3
"""Decisions from the command line: promotions by hand and from elsewhere, approvals, the baseline, feedback. Production is a
folder as `dream adopt` leaves it; no unit runs."""
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import tap
from tap import SOURCE, Done, Home, run_cases

CONFIG = SOURCE / "examples" / "rtx3060.yaml"
UNITS = {
    "judge.service": ("vllm_memory_util", "flag", "--gpu-memory-utilization", "DREAM_VLLM_MEMORY_UTIL"),
    "kloros.service": ("whisper_model_size", "env", "ASR_WHISPER_SIZE", "DREAM_WHISPER_MODEL_SIZE"),
}


class Machine(Home):
    """A home with production in a folder of its own, and both programs beside each other as they are installed."""

    def __init__(self, adopted=True):
        super().__init__()
        self.root = self.path / "root"
        bin_dir = self.path / "bin"
        bin_dir.mkdir()
        self.program = bin_dir / "dream"
        shutil.copy(tap.DREAM, self.program)
        shutil.copy(os.environ["DREAM_HELPER"], bin_dir / "dream-helper")
        self.env["DREAM_PRODUCTION_ROOT"] = str(self.root)
        if os.geteuid() == 0:
            self.adopted, self.state = self.root / "etc/dream/adopted", self.root / "var/lib/dream-production"
            self.units = self.root / "etc/systemd/system"
        else:
            inside = lambda p: self.root / str(p).lstrip("/")
            self.adopted, self.state = inside(self.path / "config/dream/adopted"), inside(self.path / "state/dream-production")
            self.units = inside(self.path / "config/systemd/user")
        if adopted:
            for unit in UNITS:
                self.adopt(unit)
            self.generation({"vllm_memory_util": "0.50", "whisper_model_size": "small"})

    def dream(self, *args, **kw):
        return Done(subprocess.run([self.program, *map(str, args), "-c", CONFIG], cwd=self.path, env=self.env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   timeout=100, **kw))

    def ok(self, *args):
        done = self.dream(*args)
        assert done.code == 0, (args, done)
        return done.out

    def json(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def fails(self, words, *args, code=1):
        done = self.dream(*args)
        assert done.code == code and words in done.err, (args, done)
        return done

    def adopt(self, unit):
        parameter, kind, name, variable = UNITS[unit]
        self.adopted.mkdir(parents=True, exist_ok=True)
        (self.adopted / f"{unit}.json").write_text(json.dumps({
            "schema": "dream.adoption/v1", "unit": unit, "fingerprint": "0" * 64, "command": "/bin/true",
            "dropin": str(self.units / f"{unit}.d/zz-dream.conf"), "after": [],
            "targets": [{"parameter": parameter, "kind": kind, "name": name, "path": None, "variable": variable,
                         "original": "0.50", "allowed": {}, "file_sha256": None}]}))

    def generation(self, values):
        whole = {u: {p[0]: values[p[0]]} for u, p in UNITS.items()}
        files = {"values.json": json.dumps(whole, sort_keys=True) + "\n"}
        files.update({f"{u}.env": f"{p[3]}={values[p[0]]}\n" for u, p in UNITS.items()})
        text = "".join(f"{name} {len(t)}\n{t}" for name, t in files.items())
        folder = self.state / "gen" / hashlib.sha256(text.encode()).hexdigest()[:16]
        folder.mkdir(parents=True)
        for name, t in files.items():
            (folder / name).write_text(t)
        link = self.state / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(f"gen/{folder.name}")
        return folder.name


def new(machine, *params):
    return machine.json("promotion", "new", *params)["promotion"]


def what_is_not_adopted_has_no_baseline():
    with Machine(adopted=False) as m:
        m.fails("nothing is adopted yet", "baseline")
        m.fails("nothing is adopted yet", "promotion", "new", "vllm_memory_util=0.55")
        m.fails("nothing is adopted yet", "feedback", "bad", "it stutters")


def the_first_baseline_is_what_runs():
    with Machine() as m:
        m.ok("feedback", "good", "it is quick")
        b = m.json("baseline")
        assert b["version"] == 1 and b["why"] == "adopted", b
        assert b["params"] == {"vllm_memory_util": "0.50", "whisper_model_size": "small"}, b
        out = m.ok("baseline")
        assert "Version 1" in out and "judge.service" in out and "0.50" in out, out


def a_promotion_by_hand_says_that_nothing_was_measured():
    with Machine() as m:
        view = m.json("promotion", "new", "vllm_memory_util=0.55", "--reason", "more room")
        p = view["promotion"]
        assert [c["parameter"] for c in p["changes"]] == ["vllm_memory_util"], p
        assert p["changes"][0]["targets"] == [{"unit": "judge.service", "flag": "--gpu-memory-utilization"}], p
        assert "fitness" not in p["winner"] and p["stages_passed"] == [] and p["reason"] == "more room", p
        assert view["fit"], view
        out = m.ok("promotion", "show", p["id"])
        for words in ["none: it was made by hand", "more room", "Fit for production now: yes", "nobody has decided yet",
                      "isolated", "dream rollback 1"]:
            assert words in out, (words, out)
        assert max(map(len, out.splitlines())) <= 120, out
        m.fails("production runs with these values already", "promotion", "new", "vllm_memory_util=0.5", code=2)
        m.fails("vllm_memory_util cannot be 0.51", "promotion", "new", "vllm_memory_util=0.51", code=2)
        m.fails("no_such", "promotion", "new", "no_such=1", code=2)
        m.fails("reason is 1001 bytes long", "promotion", "new", "vllm_memory_util=0.6", "-r", "x" * 1001, code=2)
        m.fails("reason has a control character", "promotion", "new", "vllm_memory_util=0.6", "-r", "a\x1b[31m", code=2)
        assert list(m.json("promotions")["states"]) == [p["id"]]


def what_cannot_start_is_refused_with_the_reason():
    with Machine() as m:
        view = m.json("promotion", "new", "vllm_memory_util=0.40", "whisper_model_size=tiny")
        assert [c["check"] for c in view["checks"] if not c["ok"]] == ["memory"], view
        done = m.fails("it is not fit for production, so it was not approved", "approve", view["promotion"]["id"])
        assert "the memory model refuses it" in done.err, done
        assert m.json("promotions")["states"] == {view["promotion"]["id"]: "proposed"}


def one_decision_counts():
    with Machine() as m:
        p, q = new(m, "vllm_memory_util=0.55"), new(m, "whisper_model_size=base")
        a = m.json("approve", p["id"], "--reason", "looks right")
        assert a["decision"] == "approved" and a["reason"] == "looks right" and a["baseline_version"] == 1, a
        assert a["digest"] == p["signature"]["digest"] and a["expires_at_us"] > a["at_us"], a
        m.fails(f"{p['id']} was approved by", "reject", p["id"])
        assert m.json("reject", q["id"])["decision"] == "rejected"
        m.fails(f"{q['id']} was rejected by", "approve", q["id"])
        assert m.json("promotions")["states"] == {p["id"]: "approved", q["id"]: "rejected"}
        out = m.ok("promotion", "show", p["id"])
        assert "approved by" in out and "looks right" in out, out
        m.fails("there is no promotion 'x'", "approve", "x")


def deciding_at_once_ends_in_one_decision():
    with Machine() as m:
        p = new(m, "vllm_memory_util=0.55")
        args = [m.program, "approve", p["id"], "-c", CONFIG]
        at_once = [subprocess.Popen([*args[:1], verb, *args[2:]], env=m.env, cwd=m.path, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True) for verb in ["approve", "reject"] * 3]
        ended = [(w.communicate(), w.returncode) for w in at_once]
        assert sorted(code for _, code in ended) == [0, 1, 1, 1, 1, 1], ended
        lines = [line for (_, err), code in ended if code for line in err.splitlines()]
        assert len(set(lines)) <= 2 and all(re.search("was (approved|rejected) by", line) for line in lines), lines


def an_approval_does_not_survive_a_baseline_that_moved():
    with Machine() as m:
        p = new(m, "vllm_memory_util=0.55")
        m.ok("approve", p["id"])
        m.generation({"vllm_memory_util": "0.60", "whisper_model_size": "small"})
        b = m.json("baseline", "accept", "--reason", "set by hand")
        assert b["version"] == 2 and b["why"] == "accepted" and b["reason"] == "set by hand", b
        out = m.ok("promotion", "show", p["id"])
        out = " ".join(out.split())
        assert "it does not hold any more" in out and "production is at version 2" in out, out
        assert "approved (lapsed)" in m.ok("promotions")
        view = m.json("promotion", "show", p["id"])
        failed = {c["check"]: c["words"] for c in view["checks"] if not c["ok"]}
        assert list(failed) == ["baseline"] and "vllm_memory_util is 0.60 in judge.service" in failed["baseline"], view
        m.fails("version 2 is what is set already", "baseline", "accept", code=2)


def the_log_shows_versions_and_what_people_said():
    with Machine() as m:
        m.ok("feedback", "bad", "it", "stutters", "\x1b[31m")
        m.generation({"vllm_memory_util": "0.55", "whisper_model_size": "small"})
        m.ok("baseline", "accept")
        m.ok("feedback", "good", "better")
        log = m.json("baseline", "log")["versions"]
        assert [v["version"] for v in log] == [1, 2], log
        assert [(f["verdict"], f["words"]) for f in log[1]["feedback"]] == [("good", "better")], log
        out = m.ok("baseline", "log")
        assert "\x1b" not in out and "bad: it stutters \\x1b[31m, says" in out and "vllm_memory_util=0.55" in out, out
        assert out.count("whisper_model_size=small") == 1, out
        m.fails("it takes 'good' or 'bad'", "feedback", "so-so", "it works", code=2)


def a_promotion_moves_between_machines_only_with_a_trusted_key():
    with Machine() as there, Machine() as here:
        p = new(there, "vllm_memory_util=0.55")
        path = here.path / "from-there.json"
        path.write_text(json.dumps(p))
        done = here.fails("which is not trusted here", "promotion", "import", path)
        assert p["signature"]["key"] in done.err, done
        config = here.path / "trusting.yaml"
        text = CONFIG.read_text().replace("../boxes", str(SOURCE / "boxes"))
        config.write_text(text + f"\ndaemon:\n  trusted_keys: [{p['signature']['key']}]\n")

        def trusting(*args):
            return Done(subprocess.run([here.program, *map(str, args), "-c", config], env=here.env, cwd=here.path,
                                       capture_output=True, text=True, timeout=60))
        here.ok("feedback", "good", "so there is a baseline")
        done = trusting("promotion", "import", path)
        assert done.code == 0 and "Taken in." in done.out and "comes from another machine" in " ".join(done.out.split()), done
        again = trusting("promotion", "import", path)
        assert again.code == 0 and "It is here already." in again.out, again
        assert trusting("approve", p["id"]).code == 0

        changed = json.loads(path.read_text())
        changed["changes"][0]["to"] = 0.6
        path.write_text(json.dumps(changed))
        done = trusting("promotion", "import", path)
        assert done.code == 1 and "changed after it was signed" in done.err, done
        link = here.path / "link.json"
        link.symlink_to(path)
        done = trusting("promotion", "import", link)
        assert done.code == 1 and "links are not followed" in done.err, done


def what_a_run_proposes_and_exports_is_read_back():
    with Machine() as m:
        done = m.dream("run", "--seed", "7")
        assert done.code == 0, done
        [p] = m.json("promotions")["promotions"]
        exported = sorted(m.path.glob("artifacts/dream/promotions/*.yaml"))
        ours = [e for e in exported if p["id"] in e.read_text()]
        assert ours, exported
        m.ok("feedback", "good", "so there is a baseline")
        out = m.ok("promotion", "import", ours[0])
        assert "It is here already." in out and "Fit for production now: yes" in out, out
        for words in ["fitness", "stt_latency_ms", "kloros.service ASR_WHISPER_SIZE", "6 pairs"]:
            assert words in out, (words, out)
        waiting = m.json("status")["waiting"]
        gain, stt = waiting[0]["evidence"]["fitness_gain"], waiting[0]["evidence"]["metrics"]["stt_latency_ms"]
        assert waiting[0]["id"] == p["id"] and gain == p["fitness_gain"] and stt["after"] < stt["before"], waiting
        assert "  fitness +" in m.ok("status") and "stt_latency_ms" in m.ok("status")
        m.ok("approve", p["id"])


def a_key_that_is_not_the_pinned_one_signs_nothing():
    with Machine() as m:
        p = new(m, "vllm_memory_util=0.55")
        config = m.path / "pinning.yaml"
        text = CONFIG.read_text().replace("../boxes", str(SOURCE / "boxes"))
        config.write_text(text.replace("\nrun:\n", f"\nrun:\n  pinned_key: '{'a' * 64}'\n", 1))
        for args in [["approve", p["id"]], ["feedback", "bad", "words"], ["promotion", "new", "vllm_memory_util=0.6"]]:
            done = Done(subprocess.run([m.program, *args, "-c", config], env=m.env, cwd=m.path, capture_output=True, text=True,
                                       timeout=60))
            assert done.code == 1 and "nothing that we sign would count" in done.err, done
        assert m.json("promotions")["states"] == {p["id"]: "proposed"}


def nothing_running_is_drift():
    with Machine() as m:
        m.ok("feedback", "good", "it is quick")
        done = m.dream("baseline", "diff", "--json")
        if "is systemd running here" in done.err:
            assert done.code == 1 and done.out == "", done
            return "there is no systemd to ask"
        body = json.loads(done.out)
        assert done.code == 3 and body["version"] == 1, done
        assert any("judge.service does not run" in line for line in body["drift"]), body


def what_processes_really_run_is_compared():
    if not os.path.isdir("/run/systemd/system") or os.geteuid() != 0:
        return "needs a systemd of its own"
    with Machine() as m:
        units = {"judge.service": "[Service]\nExecStart=/bin/sh -c 'exec sleep 600' x --gpu-memory-utilization 0.50\n",
                 "kloros.service": "[Service]\nEnvironment=ASR_WHISPER_SIZE=tiny\nExecStart=/bin/sleep 600\n"}
        for unit, text in units.items():
            (pathlib.Path("/run/systemd/system") / unit).write_text(text)
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "start", "kloros.service"], check=True)
        m.ok("feedback", "good", "so there is a baseline")
        body = json.loads(m.dream("baseline", "diff", "--json").out)
        assert any(l.startswith("kloros.service runs with whisper_model_size=tiny; the baseline says small")
                   for l in body["drift"]), body
        assert any(l.startswith("judge.service does not run; the baseline says vllm_memory_util=0.50")
                   for l in body["drift"]), body
        done = m.dream("baseline", "diff")
        assert done.code == 3 and "kloros.service: " in done.out, done
        subprocess.run(["systemctl", "stop", "kloros.service"], check=True)
        for unit in units:
            (pathlib.Path("/run/systemd/system") / unit).unlink()
        subprocess.run(["systemctl", "daemon-reload"], check=True)


def where_a_daemon_runs_it_writes_the_decision():
    if not os.path.isdir("/run/systemd/system") or os.geteuid() != 0:
        return "needs a systemd of its own"
    with Machine() as m:
        p, q = new(m, "vllm_memory_util=0.55"), new(m, "whisper_model_size=base")
        socket = m.path / "control.sock"
        with open(m.path / "daemon.log", "w") as log:
            daemon = subprocess.Popen([m.program, "daemon", "-c", CONFIG, "--socket", socket], env=m.env, cwd=m.path,
                                      stdout=log, stderr=log)
        try:
            for _ in range(200):
                if socket.exists() or daemon.poll() is not None:
                    break
                time.sleep(0.05)
            said = m.ok("status", "--socket", socket)
            assert said.count("by hand, by root: nothing was measured") == 2 and p["id"] in said, said
            a = m.json("approve", p["id"], "--socket", socket, "--reason", "looks right")
            assert a["decision"] == "approved" and a["by"] == {"uid": 0, "name": "root"} and a["reason"] == "looks right", a
            m.fails(f"{p['id']} was approved by root", "reject", p["id"], "--socket", socket)
            m.fails(f"{p['id']} was approved by root", "reject", p["id"])  # and past it, in the same store
            m.fails("there is no promotion 'x'", "approve", "x", "--socket", socket)
            assert m.json("reject", q["id"], "--socket", socket)["decision"] == "rejected"
            assert m.ok("feedback", "bad", "it stutters", "--socket", socket) == "written down: version 1 is bad\n"
            m.fails('"words" must be one line', "feedback", "bad", "a\x1b[31m", "--socket", socket)
        finally:
            daemon.terminate()
            daemon.wait(timeout=30)
        said = (m.path / "daemon.log").read_text()
        assert "root says that production is bad: it stutters" in said, said
        heard = m.json("baseline", "log")["versions"][0]["feedback"]
        assert [(f["verdict"], f["words"], f["by"], f["rollout"]) for f in heard] == [("bad", "it stutters", "root", None)], heard
        assert "was approved by root: looks right" in said and f"{q['id']} was rejected by root" in said, said
        assert m.json("promotions")["states"] == {p["id"]: "approved", q["id"]: "rejected"}


def while_somebody_else_changes_production_nobody_begins():
    if not os.path.isdir("/run/systemd/system") or os.geteuid() != 0:
        return "needs a systemd of its own"
    with Machine() as m:
        p = new(m, "vllm_memory_util=0.55")
        m.ok("approve", p["id"])
        with open(m.path / "state" / "dream" / "rollout.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for args in (["rollout", p["id"], "--foreground"], ["rollout", "--resume"], ["rollback"], ["rollback", "1"],
                         ["ab", "whisper_model_size=small,tiny"]):
                m.fails("somebody else is changing production now", *args)
            assert "is not approved" not in m.ok("rollout", p["id"], "--dry-run")
        m.fails("version 1 is the only one", "rollback")
        m.fails("whisper_model_size cannot be huge", "ab", "whisper_model_size=small,huge")
        assert "nothing was in the middle" in m.ok("rollout", "--resume")


def wrong_words_are_explained():
    with Machine() as m:
        m.fails("it takes 'show ID', 'import FILE' or 'new PARAM=VALUE...', not 'burn'", "promotion", "burn", code=2)
        m.fails("'show' takes the ID of one promotion", "promotion", "show", code=2)
        m.fails("'import' takes one FILE", "promotion", "import", code=2)
        m.fails("it takes 'log', 'diff' or 'accept', not 'burn'", "baseline", "burn", code=2)


if __name__ == "__main__":
    run_cases([
        what_is_not_adopted_has_no_baseline,
        the_first_baseline_is_what_runs,
        a_promotion_by_hand_says_that_nothing_was_measured,
        what_cannot_start_is_refused_with_the_reason,
        one_decision_counts,
        deciding_at_once_ends_in_one_decision,
        an_approval_does_not_survive_a_baseline_that_moved,
        the_log_shows_versions_and_what_people_said,
        a_promotion_moves_between_machines_only_with_a_trusted_key,
        what_a_run_proposes_and_exports_is_read_back,
        a_key_that_is_not_the_pinned_one_signs_nothing,
        nothing_running_is_drift,
        what_processes_really_run_is_compared,
        where_a_daemon_runs_it_writes_the_decision,
        while_somebody_else_changes_production_nobody_begins,
        wrong_words_are_explained,
    ])
