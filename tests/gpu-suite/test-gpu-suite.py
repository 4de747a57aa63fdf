#!/usr/bin/env python3
"""What we say about a GPU, against a real one: real programs compute on it, the driver's own NVML tells who they are, and
`dream` has to say the same. Skipped where there is no NVIDIA GPU or nothing that uses it."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cards import DREAM, MIB, cards, choose  # noqa: E402
from tap import Box, run_cases  # noqa: E402

PROGRAMS, WHY_NOT = choose()
PATIENCE_S = 120
NEVER_MIND = 32 * MIB  # what a driver may round or a library keep

CONFIG = """
version: 1
run: {{seed: 3, artifact_root: artifacts/dream, logdir: logs/dream}}
experiments:
  - name: card
    gpu: {uuid}
    search_space: {{seats: {{values: {values}}}}}
    baseline: {{seats: {first}}}
    evaluator: {{kind: gpu_allocation, as: processes, alone: false, env: {env}}}
    services:
      judge:
        kind: {kind}
        command: {command}
        env: {service_env}
        params: {{seats: {param}}}
        gpu_bytes: {least} B
        ready_timeout: 120 s
        stop_timeout: 20 s
    objectives:
      llm_latency_ms: {{goal: minimize, weight: 1, worst: 10000, tolerance: 0.5}}
    workloads:
      steady:
        capacity_max: 0
        llm: {{arrivals: closed, users: 1, requests: {requests}, warmup: 1, prompt_tokens: {{median: 8}},
              output_tokens: {{median: 16, sigma: 0}}, limit: 30 s}}
      bursty:
        capacity_max: 0
        llm: {{arrivals: gamma, cv: 2, rate: 2, requests: 20, warmup: 1, prompt_tokens: {{median: 8}},
              output_tokens: {{median: 16, sigma: 0}}, limit: 30 s}}
    budget: {{wallclock_sec: 600, trial_timeout_sec: 240, max_candidates: 2, max_generations: 1, allow_gpu: true}}
"""


def wait_until(check, what, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while not (got := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return got


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def on_cards():
    """(card, process) of everything that NVML shows."""
    found, why = cards(PROGRAMS.env)
    assert found, why
    return [(d, p) for d in found for p in d["processes"]]


def family(pid):
    """A process and its descendants: a server may compute in a child."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                parents[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    known = {pid}
    while more := {p for p, parent in parents.items() if parent in known} - known:
        known |= more
    return known


class Started:
    """A program outside of any trial, gone at the end of a `with`."""

    def __init__(self, command, env=None):
        self.log = open(os.path.join(PROGRAMS.dir, "log"), "w+b")
        self.process = subprocess.Popen(command, env={**PROGRAMS.env, **(env or {})}, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()

    def alive(self):
        self.log.seek(0)
        assert self.process.poll() is None, self.log.read()[-2000:]

    def holds(self):
        """(card, bytes of its processes) as soon as it is on a card; None before."""
        self.alive()
        pids = family(self.process.pid)
        mine = [(d, p["used_bytes"]) for d, p in on_cards() if p["pid"] in pids]
        return (mine[0][0], sum(b or 0 for _, b in mine)) if mine else None

    def settled(self, least):
        """The same when it holds at least that much, and no more than a second ago."""
        seen = [None, 0]

        def steady():
            now = self.holds()
            if not now or now[1] < least or not seen[0] or now[1] != seen[0][1]:
                seen[:] = now, time.monotonic()
                return None
            return now if time.monotonic() - seen[1] > 1 else None
        return wait_until(steady, "it does not come to rest on the card")


def server():
    return Started([*PROGRAMS.command(), "--host", "127.0.0.1", "--port", str(free_port())])


FOUND = {}


def the_card():
    """The one that our server runs on, found out by running it."""
    if not FOUND:
        with server() as s:
            card, held = s.settled(1)
            FOUND.update(uuid=card["uuid"], held=held, total=card["total_bytes"])
    return FOUND


def configuration(command=None, service_env=None, requests=20):
    return CONFIG.format(uuid=the_card()["uuid"], values=PROGRAMS.values, first=PROGRAMS.values[0], param=PROGRAMS.param,
                         env=json.dumps(PROGRAMS.of_evaluator), kind=PROGRAMS.kind, least=PROGRAMS.least,
                         command=json.dumps(command or PROGRAMS.command()), service_env=json.dumps(service_env or {}),
                         requests=requests)


class Trial:
    def __init__(self, **change):
        self.box = Box(configuration(**change))
        self.env = {**self.box.env(), **PROGRAMS.of_evaluator}

    def __enter__(self):
        self.process = self.box.start("eval", "-c", self.box.config, "-w", "steady", "--json", env=self.env)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        self.box.__exit__()

    def result(self):
        out, err = self.process.communicate(timeout=300)
        assert out, err.decode()
        return json.loads(out)["measurement"]


def nobody_is_left():
    """Of ours, on any card."""
    mine = family(os.getpid()) - {os.getpid()}
    return not [p for _, p in on_cards() if p["pid"] in mine]


def a_process_is_shown_with_the_bytes_that_it_holds():
    with server() as s:
        card, held = s.settled(PROGRAMS.least)
        assert PROGRAMS.least <= held <= PROGRAMS.most, (held, card)
        assert card["used_bytes"] >= held - NEVER_MIND, card
    wait_until(lambda: not [p for d, p in on_cards() if p["pid"] == s.process.pid], "a dead process is still shown", 10)


def a_trial_is_placed_on_the_card_and_its_peak_is_what_the_server_holds():
    with Trial() as trial:
        m = trial.result()
    assert m["status"] == "ok", (m["status"], m["reason"])
    gpu = m["evidence"]["gpu"]
    assert m["evidence"]["services"]["judge"]["placement"] == "placed", m["evidence"]["services"]
    assert gpu["gpu"] == the_card()["uuid"] and gpu["processes_known"] and gpu["bytes_known"], gpu
    mine, = gpu["services"]
    held = the_card()["held"]
    # The same server outside of a trial, which nobody asked anything: requests may take a little more.
    assert 0.9 * held - NEVER_MIND <= mine["peak_bytes"] <= 1.25 * held + 512 * MIB, (mine, held)
    assert mine["peak_bytes"] <= gpu["used_peak_bytes"] <= gpu["total_bytes"] == the_card()["total"], gpu
    assert gpu["looks"] >= 10 and gpu["contention"] is None and gpu["hardware"] is None, gpu
    assert m["evidence"]["gpu_after_bytes"] == 0 and nobody_is_left(), m["evidence"]


def somebody_who_comes_during_a_trial_is_named():
    with Trial(requests=5000) as trial:
        def loaded():
            assert trial.process.poll() is None, trial.process.communicate()
            pids = family(trial.process.pid)
            return sum(p["used_bytes"] or 0 for _, p in on_cards() if p["pid"] in pids) >= PROGRAMS.least
        wait_until(loaded, "the trial's server does not come to the card")
        with Started(PROGRAMS.tenant_command()) as guest:
            wait_until(lambda: (guest.holds() or (None, 0))[1] >= 100 * MIB, "the other one does not come to the card")
            pids = family(guest.process.pid)
            m = trial.result()
    assert m["status"] == "contended", (m["status"], m["reason"])
    assert any(f"process {pid}" in m["reason"] for pid in pids), (m["reason"], pids)
    assert nobody_is_left()


def a_server_that_finds_no_card_is_a_fall_back():
    with Trial(command=PROGRAMS.off_card_command(), service_env=PROGRAMS.off_card) as trial:
        m = trial.result()
    assert m["status"] == "cpu_fallback", (m["status"], m["reason"])
    assert m["evidence"]["services"]["judge"]["placement"] != "placed", m["evidence"]["services"]


def a_server_that_is_told_to_use_the_cpu_is_not_asked_for_a_proof():
    if PROGRAMS.kind != "llamacpp":
        return "only llama-server has a flag for that"
    with Trial(command=[*PROGRAMS.command(), "-ngl", "0"]) as trial:
        m = trial.result()
    assert m["status"] == "ok" and "placement" not in m["evidence"]["services"]["judge"], (m["status"], m["reason"])


CASES = [
    a_process_is_shown_with_the_bytes_that_it_holds,
    a_trial_is_placed_on_the_card_and_its_peak_is_what_the_server_holds,
    somebody_who_comes_during_a_trial_is_named,
    a_server_that_finds_no_card_is_a_fall_back,
    a_server_that_is_told_to_use_the_cpu_is_not_asked_for_a_proof,
]
if not PROGRAMS:
    print(f"1..0 # SKIP no GPU to test on: {WHY_NOT}")
    sys.exit(0)
try:
    print(f"# {type(PROGRAMS).__name__}: {DREAM}", flush=True)
    run_cases(CASES)
finally:
    shutil.rmtree(PROGRAMS.dir, ignore_errors=True)
