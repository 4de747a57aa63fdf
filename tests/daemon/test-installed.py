#!/usr/bin/python3
"""`make install` and `make uninstall`, and dream.service as it is installed, under a systemd of its own: it starts as the
user dream, answers, reloads, is watched over, comes back after it was killed, asks production without a network of its own,
and may do little."""
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "cli"), str(TESTS / "sandbox")]
os.environ.setdefault("DREAM", "/usr/local/bin/dream")
from box import pace  # noqa: E402
from tap import run_cases  # noqa: E402

BUILD = os.environ["DREAM_BUILD"]
SOURCE = os.environ["DREAM_SOURCE"]
DEST = pathlib.Path("/tmp/dest")
DREAM = "/usr/local/bin/dream"
UNITS = "/run/systemd/system"
# What is left is for a reason that the unit's comments give; docs/security.md has the list.
DAEMON_SCORE = 1.0
EXPECTED = ["usr/local/bin/dream", "usr/local/libexec/dream-helper", "usr/local/libexec/dream-connect",
            "usr/local/lib/systemd/system/dream.service",
            "usr/local/lib/systemd/system/dream-connect.socket", "usr/local/lib/systemd/system/dream-connect.service",
            "usr/local/lib/systemd/system/dream-helper.socket", "usr/local/lib/systemd/system/dream-helper.service",
            "usr/local/lib/systemd/system/dream-recover.service", "usr/local/lib/systemd/system/dream-trial@.service",
            "usr/local/lib/sysusers.d/dream.conf", "usr/local/lib/tmpfiles.d/dream.conf",
            "usr/local/lib/systemd/catalog/dream.catalog", "etc/polkit-1/rules.d/50-dream.rules",
            "usr/local/share/doc/dream/examples/dream.yaml"]

CONFIG = """version: 1
run: {{store: /var/lib/dream/dream.db, artifact_root: /var/lib/dream/artifacts, logdir: /var/log/dream}}
daemon: {{approvers: dream-approvers, probe_every: {probe_every}{more}}}
experiments:
  - name: spica_gpu_allocation
    search_space:
      vllm_memory_util: {{values: [0.40, 0.50, 0.60]}}
    baseline: {{vllm_memory_util: 0.50}}
    evaluator: {{kind: twin, box: /etc/dream/rtx3060.yaml}}
    services:
      judge:
        kind: vllm
        unit: judge.service
        url: http://127.0.0.1:18000
        version: 0.11.0
        settings: {{model: Qwen2.5-7B-Instruct-AWQ, max_model_len: 2048, enforce_eager: true}}
        params: {{vllm_memory_util: gpu_memory_utilization}}
"""


def run(*command, ok=True, env=None):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, env=env)
    assert not ok or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def show(name, unit="dream.service"):
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError("it did not come to that; the journal says:\n" +
                         run("journalctl", "-u", "dream.service", "-n", "40", "--no-pager"))


def status():
    return json.loads(run(DREAM, "status", "--json"))


def make(target):
    """What the Makefile does, without the build."""
    env = dict(os.environ, DESTDIR=str(DEST))
    if target == "install":
        return run("meson", "install", "-C", BUILD, "--no-rebuild", env=env) + \
            run(f"{SOURCE}/tools/install-done", "install", env=env)
    return run(f"{SOURCE}/tools/install-done", "before-uninstall", env=env) + run(f"{SOURCE}/tools/uninstall", BUILD, env=env) + \
        run(f"{SOURCE}/tools/install-done", "uninstall", env=env)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def everything_is_installed_and_paths_are_the_prefixs():
    make("install")
    there = files(DEST)
    missing = [name for name in EXPECTED if name not in there]
    assert not missing, f"{missing} of {there}"
    for unit in (DEST / "usr/local/lib/systemd/system").iterdir():
        text = unit.read_text()
        for line in text.splitlines():
            if line.startswith("Exec"):
                assert "/usr/bin/dream" not in line and "/usr/libexec" not in line, line


def without_the_build_that_installed_it_nothing_is_removed():
    for look in ([], ["--look"]):
        out = run(f"{SOURCE}/tools/uninstall", *look, "/tmp/nothing", ok=False, env=dict(os.environ, DESTDIR=str(DEST)))
        assert out.startswith("tools/uninstall: nothing was removed: ") and "Traceback" not in out, out
    run(f"{SOURCE}/tools/uninstall", "--look", BUILD, env=dict(os.environ, DESTDIR=str(DEST)))
    assert len(files(DEST)) >= len(EXPECTED)


def accounts_are_made_as_the_files_say():
    root = pathlib.Path("/tmp/root")
    (root / "etc").mkdir(parents=True)
    run("systemd-sysusers", f"--root={root}", DEST / "usr/local/lib/sysusers.d/dream.conf")
    passwd, group = (root / "etc/passwd").read_text(), (root / "etc/group").read_text()
    assert re.search(r"^dream:", passwd, re.M) and re.search(r"^dream-trial:", passwd, re.M), passwd
    assert re.search(r"^dream-approvers:", group, re.M), group


def private(*folders):
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)


def configure(more="", probe_every="1 min"):
    pathlib.Path("/etc/dream/dream.yaml").write_text(CONFIG.format(more=more, probe_every=probe_every))


def it_starts_as_the_user_dream_and_is_ready():
    private("/usr/local", "/etc/dream", "/var/lib/dream", "/var/lib/dream-production", "/var/log/dream")
    run("cp", "-a", f"{DEST}/usr/local/.", "/usr/local/")
    with open("/etc/group", "a") as f:
        f.write("dream-approvers:x:4400:\n")
    for unit in pathlib.Path("/usr/local/lib/systemd/system").iterdir():
        os.symlink(unit, f"{UNITS}/{unit.name}")
    run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/dream.conf")
    pathlib.Path("/etc/dream/rtx3060.yaml").write_text(pathlib.Path(f"{SOURCE}/boxes/rtx3060.yaml").read_text())
    configure()
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "dream-helper.socket")
    out = run("systemctl", "start", "dream.service", ok=False)
    assert show("ActiveState") == "active", out + run("journalctl", "-n", "30", "--no-pager")
    pid = int(show("MainPID"))
    uid = os.stat(f"/proc/{pid}").st_uid
    assert uid == int(run("id", "-u", "dream")), uid
    assert show("StatusText"), "it does not say what it does"


def status_answers_and_sees_the_helper():
    s = until(lambda: (lambda s: s if s["drift"]["checked_at_us"] else None)(status()))
    assert s["daemon"]["mode"] == "system" and s["daemon"]["pid"] == int(show("MainPID")), s["daemon"]
    assert s["drift"]["failure"] is None and s["drift"]["lines"] == [], s["drift"]
    text = run(DREAM, "status")
    assert "nothing is adopted" in text and "up since" in text, text


def approvers_reach_the_socket_and_others_do_not():
    st = os.stat("/run/dream/control.sock")
    assert st.st_gid == 4400 and st.st_mode & 0o7777 == 0o660, oct(st.st_mode)
    refused = run("setpriv", "--reuid=dream-trial", "--regid=dream-trial", "--clear-groups", DREAM, "pause", ok=False)
    assert "may not reach" in refused, refused
    # A member of the group by now, with the rights of a login before that: it gets in through the group it was given.
    run("setpriv", "--reuid=dream-trial", "--regid=dream-trial", "--groups=4400", DREAM, "pause", ok=False)
    assert status()["paused"] is None, "the process' group counted, not the account's"
    path = pathlib.Path("/etc/group")
    path.write_text(path.read_text().replace("dream-approvers:x:4400:\n", "dream-approvers:x:4400:dream-trial\n"))
    run("setpriv", "--reuid=dream-trial", "--regid=dream-trial", "--groups=4400", DREAM, "pause", "a test")
    assert status()["paused"]["by"] == "dream-trial"
    run(DREAM, "resume")


def the_journal_has_what_it_says_with_its_level():
    out = run("journalctl", "-u", "dream.service", "-o", "json", "--no-pager")
    lines = [json.loads(line) for line in out.splitlines()]
    ready = [entry for entry in lines if str(entry.get("MESSAGE", "")).startswith("ready")]
    assert ready and ready[0]["PRIORITY"] == "6", [(entry.get("PRIORITY"), entry.get("MESSAGE")) for entry in lines]


def reload_reads_the_configuration_again():
    configure(", run_window: '01:00-01:01'")
    run("systemctl", "reload", "dream.service")
    until(lambda: status()["run"]["window"] == "01:00-01:01")
    pathlib.Path("/etc/dream/dream.yaml").write_text("nonsense: yes\n")
    run("systemctl", "reload", "dream.service")
    until(lambda: status()["daemon"]["configuration_error"])
    assert status()["run"]["window"] == "01:00-01:01" and show("ActiveState") == "active"
    configure()
    run("systemctl", "reload", "dream.service")
    until(lambda: not status()["daemon"]["configuration_error"])


def a_killed_daemon_comes_back_with_what_it_knew():
    run(DREAM, "pause", "before the kill")
    restarts, pid = int(show("NRestarts")), int(show("MainPID"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: int(show("NRestarts")) == restarts + 1 and show("ActiveState") == "active")
    s = until(lambda: status() if status()["daemon"]["running"] else None)
    assert s["paused"]["why"] == "before the kill" and s["daemon"]["pid"] != pid, s
    run(DREAM, "resume")


def fed_at_us():
    """When the daemon told the manager last that it lives."""
    return int(show("WatchdogTimestampMonotonic"))


def one_that_stands_still_is_started_anew_by_the_watchdog():
    folder = pathlib.Path(f"{UNITS}/dream.service.d")
    folder.mkdir()
    (folder / "short.conf").write_text("[Service]\nWatchdogSec=4\n")  # longer than the disk may hold the daemon up
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "dream.service")
    first = fed_at_us()
    until(lambda: fed_at_us() > first + 4000000)
    assert int(show("NRestarts")) == 0
    os.kill(int(show("MainPID")), signal.SIGSTOP)
    until(lambda: int(show("NRestarts")) == 1 and show("ActiveState") == "active")
    assert "watchdog" in run("journalctl", "-u", "dream.service", "--no-pager").lower()
    (folder / "short.conf").unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "dream.service")


# What the daemon itself could do, said by a program that its unit starts before it, in the same sandbox.
PEEK = """import array, json, os, socket
said = {"refused": {}, "interfaces": [line.split(":")[0].strip() for line in open("/proc/self/net/dev") if ":" in line]}
for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
    for kind in ("SOCK_STREAM", "SOCK_DGRAM"):
        try:
            socket.socket(getattr(socket, family), getattr(socket, kind))
            said["refused"][family] = 0
        except OSError as e:
            said["refused"].setdefault(family, e.errno)
def ask(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(os.environ["DREAM_CONNECT"])
    s.send(text)
    answer, control, _, _ = s.recvmsg(100, 100)
    fds = array.array("i")
    for _, _, data in control:
        fds.frombytes(data)
    return answer.decode(), list(fds)
said["elsewhere"] = ask(b"connect 192.0.2.1 80")[0]
answer, fds = ask(b"connect 127.0.0.1 18000")
s = socket.socket(fileno=fds[0])
s.settimeout(10)
s.send(b"GET /health HTTP/1.0\\r\\n\\r\\n")
said["health"] = s.recv(100).decode().split("\\r")[0]
json.dump(said, open("/var/lib/dream/peek.json", "w"))
"""
JUDGE = """[Service]
Environment=TWIN_BOX=/etc/dream/rtx3060.yaml TWIN_GPU=/run/card TWIN_SPEED=25 TWIN_FAULT=none
ExecStart=/usr/local/bin/dream twin vllm serve Qwen2.5-7B-Instruct-AWQ --host 127.0.0.1 --port 18000 \\
  --gpu-memory-utilization 0.50 --max-model-len 2048 --enforce-eager
"""


def healthy(url="http://127.0.0.1:18000/health"):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def it_has_no_network_and_reaches_loopback_through_the_broker():
    pathlib.Path(f"{UNITS}/judge.service").write_text(JUDGE)
    pathlib.Path("/etc/dream/peek.py").write_text(PEEK)
    folder = pathlib.Path(f"{UNITS}/dream.service.d")
    folder.mkdir(exist_ok=True)
    (folder / "peek.conf").write_text("[Service]\nExecStartPre=/usr/bin/python3 /etc/dream/peek.py\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "judge.service")
    until(healthy)
    run("systemctl", "restart", "dream.service")
    said = json.loads(pathlib.Path("/var/lib/dream/peek.json").read_text())
    assert set(said["refused"].values()) == {errno.EAFNOSUPPORT}, said
    assert said["interfaces"] == ["lo"], said
    assert said["elsewhere"] == f"error {errno.EACCES}" and said["health"].endswith("200 OK"), said
    (folder / "peek.conf").unlink()
    run("systemctl", "daemon-reload")


def newest_latency():
    """When production answered last; None: not since the daemon began to look."""
    return max((f["at_us"] for f in status()["watch"]["figures"] if f["metric"] == "latency_ms" and f["value"]), default=None)


def probes_go_through_the_broker():
    configure(probe_every="1 s")
    run("systemctl", "restart", "dream.service")
    first = until(newest_latency)
    until(lambda: newest_latency() > first)
    # Without it there are no figures, it is said why, and nobody says that production has failed.
    run("systemctl", "stop", "dream-connect.socket", "dream-connect.service")
    blind = until(lambda: (lambda w: w if "dream-connect" in w else None)(status()["watch"]["blind"]))
    assert "dream-connect.socket" in blind, blind
    last = newest_latency()
    s = status()["watch"]
    assert newest_latency() == last and s["trouble"] is None and all(f["value"] for f in s["figures"]), s
    run("systemctl", "start", "dream-connect.socket")
    until(lambda: newest_latency() > last and "dream-connect" not in status()["watch"]["blind"])
    configure()
    run("systemctl", "reload", "dream.service")


# Its trials are units of their own, on ports that are looked for; what is measured comes through the broker.
MEASURES = """version: 1
run: {{seed: 7, store: /var/lib/dream/measured.db, artifact_root: /var/lib/dream/artifacts, logdir: /var/log/dream}}
daemon: {{approvers: dream-approvers, probe_every: 0, run_window: "00:00-24:00", run_every: 1 d}}
experiments:
  - name: on_its_own
    search_space:
      beam: {{values: [1, 5]}}
    baseline: {{beam: 5}}
    evaluator: {{kind: gpu_allocation, as: {how}, alone: false}}
    services:
      voice:
        kind: whispercpp
        cpu: true
        command: [/usr/local/bin/dream, twin, whisper, --host, 127.0.0.1, --port, "18001", --model, small]
        env: {{TWIN_BOX: /etc/dream/rtx3060.yaml, TWIN_SPEED: "25", TWIN_FAULT: none}}
        params: {{beam: beam_size}}
        ready_timeout: 20 s
    objectives:
      stt_latency_ms: {{goal: minimize, weight: 1, worst: 1000, tolerance: 0.5}}
    workloads:
      steady:
        stt: {{arrivals: poisson, rate: 20, requests: 20, clip_ms: {{median: 3000, max: 30000}}, limit: 5 s}}
      bursty:
        stt: {{arrivals: gamma, cv: 2, rate: 20, requests: 20, clip_ms: {{median: 3000, max: 30000}}, limit: 5 s}}
    budget: {{wallclock_sec: 60, trial_timeout_sec: 30, max_candidates: 2, max_generations: 1, allow_gpu: false}}
    confirm: {{pairs: 2, min_pairs: 2, finalists: 1, ablation: false}}
"""


def measurements():
    """Of the scheduled run, as far as it has come."""
    if not os.path.exists("/var/lib/dream/measured.db"):
        return []
    out = run("setpriv", "--reuid=dream", "--regid=dream", "--init-groups", DREAM, "trials", "--json", "-c",
              "/etc/dream/dream.yaml", ok=False)
    return [trial["measurement"] for trial in json.loads(out)["trials"]] if out.startswith("{") else []


def a_scheduled_run_measures_through_the_broker():
    if not os.path.exists("/usr/lib/polkit-1/polkitd"):
        return "there is no polkit here"
    # What an installation does for the journal, and for who may start trials.
    groups = pathlib.Path("/etc/group")
    groups.write_text(re.sub(r"^(systemd-journal:.*:)$", r"\1dream", groups.read_text(), flags=re.M))
    run("chgrp", "-R", "systemd-journal", "/run/log/journal")
    run("cp", DEST / "etc/polkit-1/rules.d/50-dream.rules", "/etc/polkit-1/rules.d/")
    pathlib.Path("/etc/dream/dream.yaml").write_text(MEASURES.format(how="units"))
    # A load generator that has to wait for the processor says so, and measures nothing.
    ahead = [pathlib.Path(f"{UNITS}/{unit}.d/pace.conf") for unit in ("dream.service", "dream-trial@.service")]
    for path in ahead:
        path.parent.mkdir(exist_ok=True)
        path.write_text("[Service]\n" + pace())
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "dream.service")
    try:
        first = until(measurements)[0]
    finally:
        for path in ahead:
            path.unlink()
        configure()
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "dream.service")
    assert first["status"] == "ok" and first["metrics"]["stt_latency_ms"]["n"] == 20, first
    # A process of the daemon could not be reached, and is not started.
    pathlib.Path("/tmp/processes.yaml").write_text(MEASURES.format(how="processes"))
    out = run(DREAM, "eval", "-c", "/tmp/processes.yaml", "beam=1", ok=False,
              env=dict(os.environ, DREAM_CONNECT="/run/dream-connect.sock", XDG_STATE_HOME="/tmp/state"))
    assert "as: units" in re.sub(r"\s+", " ", out), out


def scores(unit):
    table = json.loads(run("systemd-analyze", "security", "--json=short", unit))
    exposed = sum(float(row["exposure"] or 0) for row in table)
    said = run("systemd-analyze", "security", "--no-pager", unit).strip().splitlines()[-1]
    return float(re.search(r"([0-9.]+) ", said.split(":")[1])[1]), exposed


def it_is_hardened():
    for unit, most in (("dream.service", DAEMON_SCORE), ("dream-helper.service", None), ("dream-connect.service", None),
                       ("dream-trial@x.service", None)):
        score, _ = scores(unit)
        print(f"# systemd-analyze security {unit}: {score}", flush=True)
        assert most is None or score <= most, run("systemd-analyze", "security", "--no-pager", unit)


def units_have_no_mistakes():
    for unit in ("dream.service", "dream-helper.socket", "dream-helper.service", "dream-recover.service",
                 "dream-connect.socket", "dream-connect.service", "dream-trial@x.service"):
        out = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"{UNITS}/{unit.replace('x.', '.')}",
                  ok=False)
        wrong = [line for line in out.splitlines() if "dream" in line and ("Unknown" in line or "rror" in line or "nvalid" in line)]
        assert not wrong, wrong


def it_costs_little_while_nothing_happens():
    pid = int(show("MainPID"))
    ticks = [sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for _ in (time.sleep(3),)]
    time.sleep(10)
    ticks.append(sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])))
    share = (ticks[1] - ticks[0]) / os.sysconf("SC_CLK_TCK") / 10 * 100
    rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    print(f"# {rss:.1f} MB, {share:.2f} % of a core", flush=True)
    # Of the processor a clock tick, 0.1 %, is what can be seen in ten seconds.
    assert rss < 16 and share <= 0.2, (rss, share)


def it_may_not_write_elsewhere():
    pid = show("MainPID")
    for path in ("/etc/dream/x", "/var/lib/dream-production/x", "/usr/local/x"):
        done = subprocess.run(["nsenter", "-t", pid, "-m", "setpriv", "--reuid=dream", "--regid=dream", "--clear-groups",
                               "touch", path], stderr=subprocess.DEVNULL)
        assert done.returncode != 0, path
    assert sorted(show("IPAddressDeny").split()) == ["0.0.0.0/0", "::/0"], show("IPAddressDeny")


AS_APPROVER = ["setpriv", "--reuid=dream-trial", "--regid=dream-trial", "--groups=4400", DREAM]


def seen(who, *args):
    """What is printed, without how old the promotion is by now."""
    return [line for line in run(*who, *args).splitlines() if not re.search(r"\bage\b|it is .* old", line)]


def approvers_see_what_they_decide_about_and_approve_it():
    run(DREAM, "adopt", "--yes", "judge.service", "vllm_memory_util=--gpu-memory-utilization")
    made = json.loads(run(DREAM, "promotion", "new", "vllm_memory_util=0.60", "--reason", "more room", "--json"))["promotion"]
    assert "only root may read it" in run(*AS_APPROVER, "trials", ok=False), "the store is not closed to them"
    for args in (["promotions"], ["promotion", "show", made["id"]], ["baseline"], ["baseline", "log"]):
        for json_too in ([], ["--json"]):
            own = seen([DREAM], *args, *json_too)
            assert own and seen(AS_APPROVER, *args, *json_too) == own, (args, own, run(*AS_APPROVER, *args, *json_too))
    preview = ["rollout", made["id"], "--dry-run"]
    assert "judge.service" in run(*AS_APPROVER, *preview) and seen(AS_APPROVER, *preview) == seen([DREAM], *preview)
    assert "more room" in run(*AS_APPROVER, "promotion", "show", made["id"])
    assert "there is no promotion 'no-such'" in run(*AS_APPROVER, "promotion", "show", "no-such", ok=False)
    assert "at most 63 bytes" in run(*AS_APPROVER, "rollout", "x" * 64, "--dry-run", ok=False)
    run(*AS_APPROVER, "approve", made["id"], "--reason", "seen")
    assert "approved by dream-trial" in run(*AS_APPROVER, "promotion", "show", made["id"])
    # Whoever means another store than the daemon's is not shown the daemon's.
    pathlib.Path("/etc/dream/other.yaml").write_text(CONFIG.format(more="", probe_every=0).replace("/dream.db", "/other.db"))
    out = run(*AS_APPROVER, "promotions", "-c", "/etc/dream/other.yaml", ok=False)
    assert "the daemon's store is /var/lib/dream/dream.db" in out, out
    # Without the daemon there is nobody to ask.
    run("systemctl", "stop", "dream.service")
    assert "only root may read it" in run(*AS_APPROVER, "promotions", ok=False)
    run("systemctl", "start", "dream.service")
    until(lambda: status()["drift"]["checked_at_us"])
    diffs = [json.loads(run(*who, "baseline", "diff", "--json", ok=False)) for who in ([DREAM], AS_APPROVER)]
    assert diffs[0].pop("checked_at_us") >= diffs[1].pop("checked_at_us") and diffs[0] == diffs[1], diffs
    assert "as the daemon saw it at 20" in run(*AS_APPROVER, "baseline", "diff", ok=False)


def it_stops_within_seconds():
    began = time.monotonic()
    run("systemctl", "stop", "dream.service")
    assert time.monotonic() - began < 15 and show("Result") == "success", show("Result")
    assert os.path.isdir("/run/dream/trials"), "what trials wait for went away with the daemon"
    done = run(DREAM, "status", ok=False)
    assert "down" in done, done


def uninstall_takes_the_files_and_leaves_the_rest():
    kept = DEST / "var/lib/dream/dream.db"
    kept.parent.mkdir(parents=True)
    kept.write_text("measured")
    make("uninstall")
    assert files(DEST) == ["var/lib/dream/dream.db"], files(DEST)
    said = subprocess.run([f"{SOURCE}/tools/install-done", "uninstall", BUILD], env={"PATH": os.environ["PATH"]},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    assert "/var/lib/dream " in said and "/etc/dream " in said, said


if __name__ == "__main__":
    run_cases([everything_is_installed_and_paths_are_the_prefixs, without_the_build_that_installed_it_nothing_is_removed,
               accounts_are_made_as_the_files_say,
               it_starts_as_the_user_dream_and_is_ready, status_answers_and_sees_the_helper,
               approvers_reach_the_socket_and_others_do_not, the_journal_has_what_it_says_with_its_level,
               reload_reads_the_configuration_again, a_killed_daemon_comes_back_with_what_it_knew,
               one_that_stands_still_is_started_anew_by_the_watchdog,
               it_has_no_network_and_reaches_loopback_through_the_broker, probes_go_through_the_broker,
               a_scheduled_run_measures_through_the_broker, it_is_hardened,
               units_have_no_mistakes, it_costs_little_while_nothing_happens,
               it_may_not_write_elsewhere, approvers_see_what_they_decide_about_and_approve_it, it_stops_within_seconds, uninstall_takes_the_files_and_leaves_the_rest])
