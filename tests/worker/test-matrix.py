#!/usr/bin/env python3
"""Every way in which a service of a trial can fail, on every server program: what the trial is called afterwards, what its
reason says, and that nothing is left.

    test-matrix.py [--verbose] [--all] [--seed N] [--only REGEX]

Without --all a sample of the table that the seed chooses. DREAM_SOAK=1 and SEED=N in the environment mean the same."""
import argparse
import os
import random
import signal
import socket
import stat
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from matrix import DREAM, FAULTY, HERE, Program, Trial, matches  # noqa: E402
sys.path.insert(0, os.path.join(HERE, "../twin"))
from programs import wav  # noqa: E402

SECRETS = {"env": "s3cr3t-in-env-4711", "token": "s3cr3t-in-token-0815", "words": "s3cr3t-in-words-1234"}
DEATH_S = 1.0  # a death is noticed within this


# --- The programs ----------------------------------------------------------------------------------

def programs():
    clips = os.environ.get("MATRIX_CLIPS") or make_clips()
    yield Program("twin-vllm", "vllm", "llm", True, [DREAM, "twin", "vllm", "serve", "Qwen2.5-7B-Instruct-AWQ",
                  "--max-model-len", "2048", "--enforce-eager", "--gpu-memory-utilization", "0.6"], model_at=4, is_twin=True)
    yield Program("twin-whisper", "whispercpp", "stt", True, [DREAM, "twin", "whisper", "-m", "models/ggml-small.bin"],
                  model_at=4, is_twin=True, clips=clips)
    yield Program("command", "command", None, False, [sys.executable, "-u", "-c",
                  "import time\nprint('ready now')\ntime.sleep(600)"], service={"ready_text": "ready now"})
    yield from real_programs()


def make_clips():
    import atexit
    import shutil
    import tempfile
    folder = tempfile.mkdtemp(prefix="dream-matrix-clips-")
    atexit.register(shutil.rmtree, folder, True)
    for i, ms in enumerate((800, 1200)):
        with open(os.path.join(folder, f"clip-{i}.wav"), "wb") as f:
            f.write(wav(ms))
        with open(os.path.join(folder, f"clip-{i}.txt"), "w") as f:
            f.write("one two three\n")
    return folder


WHY_NO_REAL = ""


def real_programs():
    global WHY_NO_REAL
    if "REAL_TOOLS" not in os.environ:
        WHY_NO_REAL = "the makers of models were not built (REAL_TOOLS)"
        return
    sys.path.insert(0, os.path.join(HERE, "../real"))
    import servers
    if not servers.SERVERS:
        WHY_NO_REAL = servers.WHY_NOT
        return
    yield Program("llama-server", "llamacpp", "llm", False, servers.llama_command("-c", "512", "-np", "2"), model_at=2,
                  model_is_file=True, env={"OMP_NUM_THREADS": "1"})
    yield Program("whisper-server", "whispercpp", "stt", False, servers.whisper_command(), model_at=2,
                  model_is_file=True, clips=servers.clips(), env={"OMP_NUM_THREADS": "1"})


# --- The table -------------------------------------------------------------------------------------
# Each case: what is written into dream.yaml (`command`, `service`, ...), what is done while it runs (`act`), how it must
# end (`outcome`, `cause`, `says`), and for which programs it makes sense (`only`).

def wrapped(fault):
    return lambda p, t: [*FAULTY, fault, *p.command]


def http(p):
    return p.has_port


def twin_llm(p):
    return p.name == "twin-vllm"


def twin(p):
    return p.is_twin


def not_executable(p, t):
    path = t.path("server")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, stat.S_IRUSR)
    return [path, *p.command[1:]]


def corrupt_model(p, t):
    with open(p.command[p.model_at], "rb") as f, open(t.path("corrupt.bin"), "wb") as g:
        g.write(b"\0\1\2\3" * 64 + f.read(4096))
    return p.with_model(t.path("corrupt.bin"))


def take_port(t):
    """Somebody else is there first: the port is known once the service's command line is."""
    t.server()
    port = t.until(lambda: t.look() and next(iter(t.ports), None))
    t.foreign = socket.socket()
    t.foreign.bind(("127.0.0.1", port))
    t.foreign.listen()
    t.foreign_ports.add(port)


def kill_server(t, number=signal.SIGKILL):
    os.kill(t.server(), number)
    t.hurt = time.monotonic()


def kill_in_the_start(t):
    kill_server(t)


def kill_loaded(t):
    t.busy() if t.program.has_port else time.sleep(0)
    kill_server(t)


def stop_loaded(t):
    t.busy()
    kill_server(t, signal.SIGSTOP)


def kill_worker(t):
    t.server()
    os.kill(t.worker(), signal.SIGKILL)
    t.hurt = time.monotonic()


def kill_eval(t):
    t.server()
    t.process.kill()
    t.hurt = time.monotonic()


def terminate_worker(t):
    t.server()
    os.kill(t.worker(), signal.SIGTERM)


def grow_beside(t):
    t.busy()
    t.beside("gpu", "--grow", "1GiB", "--busy", "0.5")


def xid(t):
    t.busy()
    t.twin("--xid", "79")


def lost(t):
    t.busy()
    t.twin("--lost")


def throttle(t):
    t.busy()
    t.twin("--throttle", "heat")


def scored(program):
    return {"quality": [sys.executable, "-c", program]}


def terminate_while_scored(t):
    t.until(lambda: any("sleep(600)" in " ".join(words) for words in t.look().values()))
    t.hurt = time.monotonic()
    os.kill(t.worker(), signal.SIGTERM)


def fault(name):
    return {"command": lambda p, t: [*p.command, "--fault", name]}


LONG = {"requests": 100000}
CASES = [
    dict(name="starts well", outcome="ok"),
    dict(name="starts slowly", command=wrapped("slow"), outcome="ok", check=lambda t, m: m["metrics"]["start_s"]["value"] > 1.4),
    dict(name="never becomes ready", command=wrapped("stopped"), service={"ready_timeout": "2 s"}, outcome="start_failed",
         cause="timeout", says=r"not ready within 2"),
    dict(name="no such program", command=lambda p, t: ["/nowhere/server", *p.command[1:]], outcome="start_failed",
         cause="exec", says=r"/nowhere/server"),
    dict(name="not executable", command=not_executable, outcome="start_failed", cause="exec", says=r"server"),
    dict(name="no such model", command=lambda p, t: p.with_model("/nowhere/no-such-model.bin"), only=http,
         outcome="start_failed", cause="model", says="no-such-model"),
    dict(name="corrupt model", command=corrupt_model, only=lambda p: p.model_is_file, outcome="start_failed", cause="model"),
    dict(name="wrong argument", command=lambda p, t: [*p.command, "--no-such-flag"], only=http, outcome="start_failed",
         cause="arguments", says="no-such-flag"),
    dict(name="port taken", command=wrapped("slow"), act=take_port, only=http, outcome="start_failed", cause="port", says=r"port \d+ is taken"),
    dict(name="ends at once", command=wrapped("ends"), outcome="start_failed", cause="exit", says="exit status 3.*cannot go on"),
    dict(name="crashes at once", command=wrapped("crashes"), outcome="start_failed", cause="exit", says="SIGSEGV"),
    dict(name="killed while it starts", command=wrapped("slow"), act=kill_in_the_start, outcome="start_failed", cause="exit",
         says="SIGKILL", within=DEATH_S),
    dict(name="killed under load", act=kill_loaded, only=http, load=LONG, outcome="crashed", says="SIGKILL", within=DEATH_S),
    dict(name="stopped under load", act=stop_loaded, only=http, load=LONG, deadline=8, outcome=("unhealthy", "timeout"), says="served"),
    dict(name="too little memory", command=wrapped("memory"), outcome="start_failed"),
    dict(name="503 for ever", command=wrapped("503"), only=http, service={"ready_timeout": "2 s"}, outcome="start_failed",
         cause="timeout", says="503"),
    dict(name="half answers", command=wrapped("half"), only=http, service={"ready_timeout": "3 s"}, outcome="start_failed"),
    dict(name="floods its log", command=wrapped("flood"), outcome="ok"),
    dict(name="takes no SIGTERM", command=wrapped("deaf"), outcome="ok"),
    dict(name="leaves children behind", command=wrapped("children"), outcome="ok"),
    dict(name="ends and leaves children", command=wrapped("orphans"), outcome="start_failed", cause="exit", says="status 7"),
    dict(name="worker killed", act=kill_worker, load=LONG, command=wrapped("slow"), outcome="measure_failed", says="SIGKILL", again=True),
    dict(name="eval killed", act=kill_eval, load=LONG, command=wrapped("slow"), outcome=None, again=True,
         # Its folder goes with the next trial: nobody is left who could remove it.
         files_later=True),
    dict(name="worker told to stop", act=terminate_worker, load=LONG, command=wrapped("slow"), outcome="measure_failed",
         says="stopped from outside"),
    dict(name="secrets", command=lambda p, t: [*FAULTY, "tells", *p.command, "--api-key", SECRETS["words"]], secrets=True, only=http,
         outcome="start_failed", cause="exit", says=r"'--api-key', '\.\.\.'"),
    # On a card.
    dict(name="runs on the CPU", only=twin, **fault("cpu"), outcome=("cpu_fallback", "start_failed")),
    dict(name="wrong model", only=twin_llm, **fault("wrong-model"), outcome="start_failed", cause="first_request", says="does not exist"),
    dict(name="crash of its own", only=twin, **fault("crash-at=60s"), load=LONG, outcome="crashed", says="SIGSEGV"),
    dict(name="hangs under load", only=twin, **fault("hang"), service={"ready_timeout": "2 s"}, outcome="start_failed",
         cause="timeout"),
    dict(name="a program scores", only=twin_llm, evaluator=scored("import os, sys; print('all of it\\n' * 9000, os.environ['LLM_URL'][:17]); print(81.5)"),
         outcome="ok", check=lambda t, m: m["metrics"]["llm_quality_pct"]["value"] == 81.5),
    dict(name="the scoring program fails", only=twin_llm, evaluator=scored("import sys; sys.exit('no such answers')"),
         outcome="measure_failed", says="quality program failed .exit status 1.: no such answers"),
    dict(name="the scoring program says nothing", only=twin_llm, evaluator=scored("print('good')"), outcome="measure_failed",
         says="no number from 0 to 100"),
    dict(name="worker told to stop while a program scores", only=twin_llm, evaluator=scored("import time; time.sleep(600)"),
         act=terminate_while_scored, outcome="measure_failed", says="stopped from outside", within=5),
    dict(name="answers break off", only=twin, **fault("half-stream"), service={"ready_timeout": "3 s"}, outcome="start_failed"),
    dict(name="503 of its own", only=twin, **fault("503"), service={"ready_timeout": "2 s"}, outcome="start_failed", cause="timeout"),
    dict(name="GPU memory runs out under load", only=twin, **fault("oom-under-load"), outcome=("oom", "start_failed"),
         says="memory"),
    dict(name="no room for the KV cache", only=twin_llm,
         command=lambda p, t: [w if w != "0.6" else "0.45" for w in p.command], outcome="start_failed", cause="kv_cache"),
    dict(name="a foreigner grows", only=twin, act=grow_beside, load=LONG, deadline=8, outcome="contended", says="GPU"),
    dict(name="Xid 79", only=twin, act=xid, load=LONG, outcome="hardware_fault", says="not to blame"),
    dict(name="the card is lost", only=twin, act=lost, load=LONG, outcome="hardware_fault", says="not to blame"),
    dict(name="throttled", only=twin, act=throttle, load={"requests": 300}, outcome="ok",
         check=lambda t, m: m["evidence"]["verdict"]["throttled_share"] > 0),
]


# --- One trial -------------------------------------------------------------------------------------

def check_outcome(t, case, m):
    wanted = case["outcome"] if isinstance(case["outcome"], tuple) else (case["outcome"],)
    assert m["status"] in wanted, f"it is {m['status']}, not {' or '.join(wanted)}: {m.get('reason')}"
    if "cause" in case:
        assert m.get("cause") == case["cause"], f"the cause is {m.get('cause')}: {m.get('reason')}"
    if "says" in case:
        assert matches(case["says"], m.get("reason")), f"it does not say {case['says']}: {m.get('reason')}"
    if m["status"] != "ok":
        assert m.get("reason"), "there is no reason"
    if "check" in case:
        assert case["check"](t, m), f"the check of the case: {m}"


def check_secrets(t, watched):
    assert watched, "no worker was seen"
    for what, secret in SECRETS.items():
        assert secret not in t.out + t.err, f"the secret of {what} is in what dream eval prints: {t.said()}"
        assert not (where := t.places_of(secret)), f"the secret of {what} is in {where}"
        for words in watched:
            assert secret not in " ".join(words), f"the secret of {what} is in the command line {words}"


def service_of(t, case):
    more = dict(case.get("service", {}))
    if case.get("secrets"):
        with open(t.path("token"), "w") as f:
            f.write(SECRETS["token"] + "\n")
        more.update(env={"API_TOKEN": SECRETS["env"]}, token_file=t.path("token"))
    return more


def run_one(program, case):
    """The measurement's reason, for --verbose."""
    with Trial(program, case) as t:
        command = case.get("command", lambda p, t: p.command)(program, t)
        t.write(command, service_of(t, case), evaluator=case.get("evaluator"), deadline=case.get("deadline", 40), **case.get("load", {}))
        t.start(*(["--store"] if case.get("secrets") else []))
        if "act" in case:
            case["act"](t)
        watched = watch_commands(t) if case.get("secrets") else []
        t.wait()
        if "within" in case:
            took = t.ended - t.hurt
            assert took < case["within"], f"the death was noticed after {took:.2f} s"
        if case["outcome"]:
            check_outcome(t, case, t.measurement())
        # Of a trial whose own process was killed, the guards clear up.
        left = t.left(15 if case.get("again") else 0, not case.get("files_later"))
        assert not left, f"left: {left}"
        if case.get("secrets"):
            check_secrets(t, watched)
        status, reason = (t.measurement()["status"], t.measurement().get("reason")) if case["outcome"] else (None, None)
        if case.get("again"):
            t.write(program.command)
            t.start()
            t.wait()
            assert t.measurement()["status"] == "ok", f"the trial afterwards: {t.said()}"
            assert not (left := t.left()), f"left afterwards: {left}"
        return status, reason


def watch_commands(t):
    seen = []
    while t.process.poll() is None:
        for pid, words in t.look().items():
            if words[1:2] == ["worker"]:
                seen.append(words)
        time.sleep(0.02)
    return seen


# --- All of them -----------------------------------------------------------------------------------

def arguments():
    a = argparse.ArgumentParser()
    a.add_argument("--verbose", action="store_true", help="print every reason")
    a.add_argument("--all", action="store_true", default=bool(os.environ.get("DREAM_SOAK")))
    a.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    a.add_argument("--sample", type=int, default=16)
    a.add_argument("--seconds", type=float, default=40, help="no case of a sample begins later than this")
    a.add_argument("--only", default="", help="a pattern of 'program: case'")
    return a.parse_args()


def main():
    o = arguments()
    table = [(p, c) for p in programs() for c in CASES if c.get("only", lambda p: True)(p)]
    table = [(p, c) for p, c in table if matches(o.only, f"{p.name}: {c['name']}")]
    sampled = not o.all and not o.only
    if sampled:
        table = random.Random(o.seed).sample(table, min(o.sample, len(table)))
    skipped = ["real servers"] if WHY_NO_REAL else []
    print(f"# seed {o.seed}", flush=True)
    failed, first, number = 0, time.monotonic(), 0
    for p, c in table:
        began = time.monotonic()
        if sampled and began - first > o.seconds:
            break  # a slow machine takes a smaller sample
        number += 1
        try:
            status, reason = run_one(p, c)
            print(f"ok {number} {p.name}: {c['name']}", flush=True)
            if o.verbose:
                print(f"#   {time.monotonic() - began:.1f} s  {status}: {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} {p.name}: {c['name']}", flush=True)
            for line in traceback.format_exc().splitlines()[-6:]:
                print(f"# {line}", flush=True)
    for name in skipped:
        number += 1
        print(f"ok {number} {name} # SKIP {WHY_NO_REAL}", flush=True)
    print(f"1..{number}", flush=True)
    sys.exit(1 if failed else 0)


main()
