#!/usr/bin/env python3
"""The same services under the same load: medians in wall time, through processes and HTTP, against virtual time."""
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from programs import DREAM, MODEL, ROOT, Card, median, run_cases, transcribe, wav  # noqa: E402

PROMPT, OUTPUT, CLIP_MS, LLM_RATE, STT_RATE, SECONDS = 100, 40, 3000, 1.6, 0.7, 15
CLIP = wav(CLIP_MS)

CONFIG = """
version: 1
experiments:
  - name: agree
    search_space: {size: {values: [tiny, base]}}
    baseline: {size: base}
    evaluator: {kind: twin, box: BOX}
    services:
      voice: {kind: whisper, params: {size: model_size}}
      judge:
        kind: vllm
        settings: {model: MODEL, gpu_memory_utilization: 0.6}
    budget: {trial_timeout_sec: 3600}
    workloads:
      steady:
        llm: {arrivals: poisson, rate: LLM_RATE, requests: 300, warmup: 8,
              prompt_tokens: {median: PROMPT, sigma: 0}, output_tokens: {median: OUTPUT, sigma: 0}}
        stt: {arrivals: poisson, rate: STT_RATE, requests: 300, warmup: 4, clip_ms: {median: LENGTH, sigma: 0}}
      bursty: # a plan has one
        llm: {arrivals: gamma, cv: 3, rate: 1}
"""


def in_virtual_time(card):
    """Medians over many starts, so that the luck of one is out of it."""
    text = CONFIG
    for name, value in [("BOX", card.env["TWIN_BOX"]), ("MODEL", MODEL), ("LLM_RATE", LLM_RATE), ("STT_RATE", STT_RATE), ("PROMPT", PROMPT),
                        ("OUTPUT", OUTPUT), ("LENGTH", CLIP_MS)]:
        text = text.replace(name, str(value))
    with open(card.path("dream.yaml"), "w") as f:
        f.write(text)
    out = subprocess.run([DREAM, "twin", card.path("dream.yaml"), "--json", "-w", "steady", "-r", "25"],
                         capture_output=True, timeout=120, env=card.env)
    assert out.returncode == 0, out.stderr
    result = json.loads(out.stdout)
    assert result["outcomes"] == {"ok": 25}, result
    metrics = result["metrics"]
    return {n: metrics[n]["median"] for n in ("llm_latency_ms", "llm_ttft_ms", "stt_latency_ms")}


class Asking(threading.Thread):
    """One request, counted from when it was planned."""

    def __init__(self, card, server, at):
        super().__init__()
        self.card, self.server, self.at = card, server, at

    def since(self):
        return (time.monotonic() - self.at) * 1e3 * self.card.speed


class Question(Asking):
    def run(self):
        body = json.dumps({"model": MODEL, "prompt": " ".join(["word"] * PROMPT), "max_tokens": OUTPUT, "stream": True,
                           "ignore_eos": True})
        c = self.server.connect()
        c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        r.readline()
        self.first = self.since()
        r.read()
        self.whole = self.since()
        c.close()


class Knock(Asking):
    """Needs no engine: what is left is this client's own time, of which `speed` times as much is in every latency."""

    def run(self):
        assert self.server.ask("GET", "/health")[0] == 200
        self.whole = self.since()


class Speech(Asking):
    def run(self):
        assert transcribe(self.server, CLIP)[0] == 200
        self.whole = self.since()


def ask(card, kind, server, rate, seed, done):
    """At random times, as in the workload."""
    rng, at = random.Random(seed), time.monotonic()
    until = at + SECONDS
    while at < until:
        at += rng.expovariate(rate * card.speed)
        time.sleep(max(0, at - time.monotonic()))
        done.append(kind(card, server, at))
        done[-1].start()
    for request in done:
        request.join()


def medians_agree_with_virtual_time_within_a_tenth():
    with Card(speed=5) as card:
        virtual = in_virtual_time(card)
        resident = card.neighbour("--tenants", "--quiet")
        voice = card.whisper("--model", "base")
        judge = card.vllm("--gpu-memory-utilization", "0.6", "--lateness")
        questions, speeches, knocks = [], [], []
        streams = [threading.Thread(target=ask, args=(card, Question, judge, LLM_RATE, 1, questions)),
                   threading.Thread(target=ask, args=(card, Speech, voice, STT_RATE, 2, speeches)),
                   threading.Thread(target=ask, args=(card, Knock, judge, 1, 3, knocks))]
        for s in streams:
            s.start()
        for s in streams:
            s.join()
        judge.process.terminate()
        assert judge.end() == 0 and resident.process.poll() is None
        late_us = float(judge.wait_for(r"events, ([\d.]+) us late on average")[1])
        own = median([k.whole for k in knocks])
        real = {"llm_latency_ms": median([q.whole for q in questions]) - own,
                "llm_ttft_ms": median([q.first for q in questions]) - own,
                "stt_latency_ms": median([s.whole for s in speeches]) - own}
        print("#", {n: (round(virtual[n], 1), round(real[n], 1)) for n in real},
              f"client {own:.1f} ms, {late_us} us late, n = {len(questions)}")
        # An answer is late once, not once a step.
        late = late_us * card.speed / 1e3 / virtual["llm_latency_ms"]
        if late > 0.01:
            return f"this machine is too busy: late by {100 * late:.1f} % of an answer"
        for name, value in real.items():
            assert abs(value / virtual[name] - 1) < 0.1, (name, virtual[name], value)


run_cases([medians_agree_with_virtual_time_within_a_tenth])
