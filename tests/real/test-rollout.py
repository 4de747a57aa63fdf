#!/usr/bin/python3
"""Rollouts with real servers as production, under a systemd of its own: a llama-server and a whisper-server are two units,
and what is asserted is what their processes have in /proc and that they answer."""
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../sandbox"))
from box import go_first, private, sh, show, wait  # noqa: E402
from servers import FILES, LLAMA, SERVERS, WHISPER, Box, Done, clips, language_model, make, run_all  # noqa: E402

JUDGE, VOICE = 18000, 18001  # the sandbox has a network of its own
CURRENT = "/var/lib/dream-production/current"
CANNOT_BE_ALLOCATED = 400000  # tokens of context, under the limit that judge.service has
PROCESS_EXITED = "98e322203f7a4ed290d09fe03c09fe15"  # systemd's message id


# As small as a recogniser can be, since each watch needs some hundred answers.
UNITS = """
== judge.service
[Unit]
Description=The language model that judges
[Service]
Type=exec
Environment=OMP_NUM_THREADS=1
ExecStart={llama} -m {gguf} --host 127.0.0.1 --port {judge} --threads 1 --ctx-size 512 --parallel 1
LimitAS=800000K
Restart=on-failure
RestartSec=1
{pace}
== voice.service
[Unit]
Description=Speech to text
[Service]
Type=exec
Environment=OMP_NUM_THREADS=1
EnvironmentFile={files}/voice.env
ExecStart={whisper} -m {bin} --host 127.0.0.1 --port {voice} --threads 1 --audio-ctx ${{VOICE_AUDIO_CTX}} \\
  -bs 1 -bo 1 -nf -nt
Restart=on-failure
RestartSec=1
{pace}
"""

CONFIG = """
version: 1
run: {{seed: 7, artifact_root: artifacts/dream, logdir: logs/dream}}
daemon: {{approvers: root}}
experiments:
  - name: real
    description: How llama-server and whisper-server share two cores
    search_space:
      ctx: {{values: [512, 1024, {too_much}]}}
      slots: {{values: [1, 2]}}
      audio_ctx: {{values: [64, 128, 256], ordered: true}}
    baseline: {{ctx: 512, slots: 1, audio_ctx: 256}}
    evaluator: {{kind: gpu_allocation, as: processes, alone: false, state: state, clips: {clips}}}
    services:
      judge:
        kind: llamacpp
        unit: judge.service
        from_unit: judge.service
        url: http://127.0.0.1:{judge}
        params: {{ctx: ctx_size, slots: parallel}}
        ask: {{ignore_eos: true, stream: false}}
        cpu: true
        ready_timeout: 20 s
        stop_timeout: 5 s
      voice:
        kind: whispercpp
        unit: voice.service
        from_unit: voice.service
        url: http://127.0.0.1:{voice}
        params: {{audio_ctx: audio_ctx}}
        cpu: true
        ready_timeout: 20 s
        stop_timeout: 5 s
    objectives:
      llm_latency_ms: {{goal: minimize, weight: 0.5, worst: 1000, tolerance: 0.5}}
      stt_latency_ms: {{goal: minimize, weight: 0.5, worst: 1000, tolerance: 0.5}}
    workloads:
      steady:
        capacity_max: 0
        llm: {{arrivals: closed, users: 1, requests: 12, warmup: 1, prompt_tokens: {{median: 6}},
              output_tokens: {{median: 8, sigma: 0}}, limit: 5 s}}
        stt: {{arrivals: closed, users: 1, requests: 6, warmup: 1, limit: 5 s}}
      bursty:
        capacity_max: 0
        llm: {{arrivals: gamma, cv: 2, rate: 20, requests: 12, warmup: 1, prompt_tokens: {{median: 6}},
              output_tokens: {{median: 8, sigma: 0}}, limit: 5 s}}
        stt: {{arrivals: closed, users: 1, requests: 6, warmup: 1, limit: 5 s}}
    budget: {{wallclock_sec: 60, trial_timeout_sec: 30, max_candidates: 2, max_generations: 1, allow_gpu: false}}
    apply:
      ctx: {{unit: judge.service, flag: --ctx-size}}
      slots: {{unit: judge.service, flag: --parallel}}
      audio_ctx: {{unit: voice.service, env: VOICE_AUDIO_CTX}}
    rollout:
      stages: [{stages}]
      # A watch that ends without a verdict is none: on a busy machine there may have been too few answers. What is at
      # stake here is no slowdown, so a large one is allowed.
      observe: {observe}
      watch: 20 s
      probation: 0 s
      probe_every: 50 ms
      probe_limit: 5 s
      max_regression: 5
      false_alarms: 0.2
      on_inconclusive: {unclear}
      waits: 2
      ready: 20 s
      memory_model: false
"""


# --- Production ---


def install():
    private("/etc/dream", "/var/lib/dream-production")
    with open(f"{FILES}/voice.env", "w") as f:
        f.write("VOICE_AUDIO_CTX=256\n")
    small = make("mkwhisper", "small.bin", "--state", 8, "--text-context", 16)
    text = UNITS.format(llama=LLAMA, whisper=WHISPER, gguf=language_model(), bin=small, judge=JUDGE, voice=VOICE,
                        files=FILES, pace=go_first())
    for part in text.split("== ")[1:]:
        name, unit = part.split("\n", 1)
        with open(f"/run/systemd/system/{name}", "w") as f:
            f.write(unit)
    sh("systemctl", "daemon-reload")
    sh("systemctl", "start", "judge.service", "voice.service")
    wait("production answers", answering)


def configure(stages, observe="30 s", unclear="wait"):
    with open(box.config, "w") as f:
        f.write(CONFIG.format(judge=JUDGE, voice=VOICE, clips=clips(), stages=stages, observe=observe,
                              unclear=unclear, too_much=CANNOT_BE_ALLOCATED))


def curl(*args):
    p = subprocess.run(["curl", "-s", "-f", "-m", "20", *args], capture_output=True, text=True, timeout=30)
    return p.stdout if p.returncode == 0 else None


def judge_answers():
    body = json.dumps({"prompt": "Count from one to ten.", "max_tokens": 8, "ignore_eos": True})
    out = curl(f"http://127.0.0.1:{JUDGE}/v1/completions", "-d", body)
    return out and json.loads(out)["usage"]["completion_tokens"] == 8


def voice_answers():
    clip = next(os.path.join(clips(), n) for n in sorted(os.listdir(clips())) if n.endswith(".wav"))
    out = curl(f"http://127.0.0.1:{VOICE}/inference", "-F", f"file=@{clip}", "-F", "response_format=json")
    return out and "text" in json.loads(out)


def answering():
    return judge_answers() and voice_answers()


class Users:
    """Others who ask both servers now and then. Without them a server answers nearly always in the same time, and the few
    slower answers come in clusters, whenever something else on the machine is in the way of its memory: then nobody can
    tell in half a minute that slow ones have not become more frequent."""

    def __enter__(self):
        self.over = threading.Event()
        clip = os.path.join(clips(), sorted(n for n in os.listdir(clips()) if n.endswith(".wav"))[0])
        with open(clip, "rb") as f:
            form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + f.read() + b"\r\n--x--\r\n"
        self.threads = [
            threading.Thread(target=self.ask, args=(JUDGE, "/v1/completions", 8, self.prompt, "application/json")),
            threading.Thread(target=self.ask, args=(VOICE, "/inference", 5, lambda _: form, "multipart/form-data; boundary=x"))]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()

    @staticmethod
    def prompt(lot):
        return json.dumps({"prompt": "Count.", "max_tokens": lot.randint(20, 200), "ignore_eos": True})

    def ask(self, port, path, a_second, make_body, kind):
        lot = random.Random(port)
        while not self.over.wait(lot.expovariate(a_second)):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                c.request("POST", path, make_body(lot), {"Content-Type": kind})
                c.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass  # it is being restarted
            finally:
                c.close()


def proc(unit, what):
    with open(f"/proc/{show(unit, 'MainPID')}/{what}", "rb") as f:
        return f.read()


def running():
    """What the processes of production have: every byte of their command lines, and the variable."""
    env = [v for v in proc("voice.service", "environ").split(b"\0") if v.startswith(b"VOICE_AUDIO_CTX=")]
    return {"judge": proc("judge.service", "cmdline"), "voice": proc("voice.service", "cmdline"), "env": env}


def values():
    now = running()

    def flag(service, name):
        words = now[service].decode().split("\0")
        return int(words[words.index(name) + 1])
    found = {"ctx": flag("judge", "--ctx-size"), "slots": flag("judge", "--parallel"),
             "audio_ctx": flag("voice", "--audio-ctx")}
    assert now["env"] == [b"VOICE_AUDIO_CTX=%d" % found["audio_ctx"]], now
    return found


# --- Rollouts ---


def good(*args):
    done = box.dream(*args)
    assert done.code == 0, done
    return done

def approved(*changes):
    name = re.search(r"\bpromotion-\S+?(?=[:\s]|$)", good("promotion", "new", *changes).out)[0]
    good("approve", name, "--reason", "it looks right")
    return name


def rolled_out(*changes):
    p = box.start("rollout", approved(*changes), "--foreground")
    try:
        out, err = p.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
    return Done(p.returncode, out.decode(), err.decode())


def newest_version():
    return box.json("baseline", "log", "--json")["versions"][-1]


def seconds_of(text):
    number, unit = re.match(r"([\d.]+) (µs|us|ms|s)\b", text).groups()
    return float(number) * {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1}[unit]


class Flips:
    """When production's link changed, as anybody can see it."""

    def __enter__(self):
        self.seen, self.over = [], threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def look(self):
        last = os.readlink(CURRENT)
        while not self.over.wait(0.005):
            now = os.readlink(CURRENT)
            if now != last:
                self.seen.append((time.time(), now))
                last = now

    def after(self, at):
        return next(t for t, _ in self.seen if t > at)


def failed_starts(unit, since):
    """When processes of it ended badly, by the journal."""
    out = sh("journalctl", "-u", unit, "-o", "json", f"MESSAGE_ID={PROCESS_EXITED}")
    times = [int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6 for line in out.splitlines()]
    return [t for t in times if t > since]


def units_are_adopted_as_they_run():
    global first
    configure("production")
    before = running()
    for unit, *targets in [("judge.service", "ctx=--ctx-size", "slots=--parallel"),
                           ("voice.service", f"audio_ctx={FILES}/voice.env:VOICE_AUDIO_CTX")]:
        good("adopt", "--yes", unit, *targets)
    sh("systemctl", "restart", "judge.service", "voice.service")
    wait("production answers", answering)
    first = running()
    assert first == before, (first, before)


def a_good_promotion_goes_through():
    configure("isolated, colocated, cold_start, production", observe="60 s")
    with Users():
        done = rolled_out("ctx=1024", "audio_ctx=128")
    assert done.code == 0 and "committed" in done.out and "partially" not in done.out, done
    assert values() == {"ctx": 1024, "slots": 1, "audio_ctx": 128}, done
    assert answering() and newest_version()["version"] == 2
    # Step by step: one unit at a time, each watched, then the whole from a cold start.
    steps = re.findall(r"(restarting \S+\.service|watching for|cold start)", done.out)
    assert [s for s in steps if s != "watching for"][2] == "cold start" and steps.count("watching for") >= 3, done


def a_context_that_cannot_be_allocated_is_taken_back():
    configure("production")
    began = time.time()
    with Users(), Flips() as flips:
        done = rolled_out(f"ctx={CANNOT_BE_ALLOCATED}", "slots=2")
    assert done.code == 0 and "partially_committed" in done.out, done
    assert values() == {"ctx": 1024, "slots": 2, "audio_ctx": 128}, done
    assert answering()
    said = seconds_of(re.search(r"again, (.*) after it was seen", done.out)[1])
    ended = failed_starts("judge.service", began)
    seen = flips.after(ended[0]) - ended[0]
    print(f"# undo: {1000 * said:.1f} ms after it was seen, {1000 * seen:.0f} ms after the server ended", flush=True)
    assert said < 2 and seen < 2, (said, seen, done)


def killed_in_the_watch_it_goes_back():
    configure("production", observe="10 s", unclear="undo")
    before = running()
    version = newest_version()["version"]
    p = box.start("rollout", approved("audio_ctx=64"), "--foreground")
    wait("the change is watched", lambda: b"watching" in p.stdout.readline(), 60)
    assert values()["audio_ctx"] == 64
    p.send_signal(signal.SIGKILL)
    p.communicate()
    assert values()["audio_ctx"] == 64  # nobody looks after it now
    done = box.dream("rollout", "--resume")
    assert done.code == 3 and "rolled_back" in done.out, done
    assert running() == before and answering(), done
    assert newest_version()["version"] == version


def restart_by_hand():
    """How long it takes: one after another, until each has answered."""
    began = time.monotonic()
    for unit, answers in [("judge.service", judge_answers), ("voice.service", voice_answers)]:
        sh("systemctl", "restart", unit)
        wait(f"{unit} answers", answers)
    return time.monotonic() - began


def going_back_takes_a_restart_and_less_than_a_second():
    by_hand = restart_by_hand()
    began = time.monotonic()
    done = box.dream("rollback", "1", "--reason", "as it was")
    took = time.monotonic() - began
    assert done.code == 0, done
    assert running() == first and answering(), (running(), done)
    last = newest_version()
    assert (last["why"], last["of_version"]) == ("rollback", 1), last
    print(f"# going back: {took:.2f} s; restarted by hand: {by_hand:.2f} s", flush=True)
    assert took < by_hand + 1, (took, by_hand, done)


def two_values_take_turns():
    done = good("ab", "audio_ctx=256,64", "--pairs", "2", "--block", "3s", "--discard", "500ms")
    print("# " + done.out[done.out.index("\n\n"):].strip().replace("\n", "\n# "), flush=True)
    assert re.search(r"^voice +latency_ms +2 +\d", done.out, re.M), done
    assert running() == first and answering(), done
    assert newest_version()["why"] == "rollback"
    box.verify()


if SERVERS:
    box = Box("")
    install()
run_all([
    units_are_adopted_as_they_run,
    a_good_promotion_goes_through,
    a_context_that_cannot_be_allocated_is_taken_back,
    killed_in_the_watch_it_goes_back,
    going_back_takes_a_restart_and_less_than_a_second,
    two_values_take_turns,
])
