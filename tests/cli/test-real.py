#!/usr/bin/python3
"""`dream eval` and `dream show --interference` on trials of real processes: the simulated box's servers, started, asked
over HTTP and stopped like any others, on a card of their own."""
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import statistics
import struct
import subprocess
import termios
import time
import wave

from tap import DREAM, SOURCE, Home, run_cases

BUILD = pathlib.Path(DREAM).resolve().parent
HOME = Home()
CONFIG = HOME.path / "box.yaml"
CARD = ["--box", SOURCE / "boxes/rtx3060.yaml", "--gpu", HOME.path / "card"]
WORDS = ["turn on the light", "what is the time", "play some music"]

TEXT = """
version: 1
run: {{seed: 1}}
experiments:
  - name: real
    gpu: GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a
    search_space:
      share: {{values: [0.40, 0.50, 0.60]}}
      size: {{values: [tiny, small], ordered: true}}
    baseline: {{share: 0.50, size: small}}
    evaluator:
      kind: gpu_allocation
      clips: clips
      env: {{TWIN_BOX: "{source}/boxes/rtx3060.yaml", TWIN_GPU: "{home}/card", LD_LIBRARY_PATH: "{build}/src/twin/nvml"}}
    services:
      judge:
        kind: vllm
        command: ["{dream}", twin, vllm, serve, Qwen2.5-7B-Instruct-AWQ, --max-model-len, "2048", --enforce-eager,
                  --speed, "50"]
        params: {{share: gpu_memory_utilization}}
        gpu_bytes: 4 GiB
      voice:
        kind: whispercpp
        command: ["{dream}", twin, whisper, --speed, "50"]
        params: {{size: model}}
    objectives:
      stt_latency_ms: {{goal: minimize, weight: 0.5, worst: 25}}
      llm_latency_ms: {{goal: minimize, weight: 0.5, worst: 50}}
    workloads:
      tiny:
        capacity_max: 0
        llm: {{arrivals: closed, users: 1, requests: 12, warmup: 2}}
        stt: {{arrivals: closed, users: 1, requests: 12, warmup: 2}}
      wilder:
        llm: {{arrivals: gamma, cv: 3, rate: 20, requests: 12, warmup: 2}}
        stt: {{arrivals: gamma, cv: 3, rate: 20, requests: 12, warmup: 2}}
    budget: {{trial_timeout_sec: 60, allow_gpu: true}}
"""


def make_the_box():
    (HOME.path / "clips").mkdir()
    for i, words in enumerate(WORDS):
        with wave.open(str(HOME.path / f"clips/{i}.wav"), "wb") as w:
            w.setnchannels(1)
            w.setsampwidth(2)
            w.setframerate(16000)
            w.writeframes(bytes(2 * 16000))
        (HOME.path / f"clips/{i}.txt").write_text(words + "\n")
    CONFIG.write_text(TEXT.format(source=SOURCE, home=HOME.path, build=BUILD, dream=DREAM))
    done = HOME.dream("twin", "gpu", *CARD, "--show")
    assert done.code == 0, done


def without_trials_there_is_nothing_to_show():
    make_the_box()
    done = HOME.dream("show", "--interference", "-c", CONFIG)
    assert done.code == 1 and "nothing has been recorded yet" in done.err and done.out == "", done


def an_evaluation_has_the_fields_of_the_first_version():
    trial = HOME.json("eval", "-c", CONFIG, "share=0.5", "size=small", "--store")
    assert trial["measurement"]["status"] == "ok", trial
    e, m = trial["evaluation"], {k: v["value"] for k, v in trial["measurement"]["metrics"].items()}
    assert set(e) == {"test_id", "status", "share", "size", "stt_latency_ms", "llm_latency_ms", "gpu_utilization_pct",
                      "oom_events", "concurrent_capacity", "free_memory_mb", "fitness"}, e
    assert e["test_id"] == "gpu-" + trial["config_hash"][:8] and e["status"] == "pass"
    assert (e["share"], e["size"]) == (0.5, "small")
    assert e["stt_latency_ms"] == m["stt_latency_ms"] > 0 and e["llm_latency_ms"] == m["llm_latency_ms"] > 0
    assert e["oom_events"] == 0 and e["fitness"] == trial["fitness"] > 0
    # nobody asked for it, so it is missing
    assert e["concurrent_capacity"] is None and "concurrent_capacity" not in m
    gpu = trial["measurement"]["evidence"]["gpu"]
    assert e["free_memory_mb"] == (gpu["total_bytes"] - gpu["used_peak_bytes"]) // 1048576
    # 0.5 of 12622168064 bytes and the size of the small model leave about 3.9 GiB of this card
    assert 3500 < e["free_memory_mb"] < 4500 and 60 < e["gpu_utilization_pct"] < 75, e


def a_candidate_that_cannot_start_is_a_failure_with_missing_numbers():
    done = HOME.dream("eval", "-c", CONFIG, "share=0.4", "--json")
    assert done.code == 1, done
    e = json.loads(done.out)["evaluation"]
    assert e["status"] == "fail" and e["oom_events"] == 1 and e["fitness"] == 0, e
    assert e["stt_latency_ms"] is None and e["llm_latency_ms"] is None, e


def on_the_card():
    return json.loads(HOME.dream("twin", "gpu", *CARD, "--show").out)["processes"]


def ctrl_c_calls_a_trial_off_and_nothing_is_left_of_it():
    folder = HOME.path / "tmp"
    folder.mkdir()
    env = dict(HOME.env, TMPDIR=str(folder), XDG_STATE_HOME=str(HOME.path / "other-state"))
    for verb, says in [("eval", "interrupted: the trial was called off"), ("run", "interrupted; the same command goes on")]:
        p = subprocess.Popen([DREAM, verb, "-c", CONFIG], cwd=HOME.path, env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + 60
        while not on_the_card() or not list(folder.iterdir()):
            assert p.poll() is None and time.monotonic() < until, p.communicate()
            time.sleep(0.02)
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=30)
        assert p.returncode == 4 and says in out, (verb, p.returncode, out)
        assert not list(folder.iterdir()) and not on_the_card(), (verb, list(folder.iterdir()), on_the_card())


def the_text_says_where_each_ran_and_how_much_they_disturb_each_other():
    done = HOME.dream("eval", "-c", CONFIG, "share=0.6", "size=tiny", "--store")
    assert done.code == 0, done
    assert re.search(r"^generator    sent .* late at most in 99 of 100 cases, took [0-9.]+ % of a core$", done.out, re.M)
    for service in ["judge", "voice"]:
        row = re.search(rf"^{service} +(\d+) MiB +([0-9.]+ m?s) +[0-9.]+ ms +[0-9.]+ ms +([0-9.]+)$", done.out, re.M)
        assert row and float(row[3]) > 0.5, (service, done)
    assert "\r" not in done.err, "progress is for terminals"


def at_a_terminal(*args, **kw):
    """The exit status, and what was written to the one of stdout and stderr that is left out in `kw`."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 40, 150, 0, 0))
    kw = {"stdout": child, "stderr": child, **kw}
    p = subprocess.Popen([DREAM, *map(str, args)], cwd=HOME.path, env=HOME.env, stdin=subprocess.DEVNULL, **kw)
    os.close(child)
    seen = b""
    while True:
        try:
            more = os.read(parent, 4096)
        except OSError:
            break
        if not more:
            break
        seen += more
    os.close(parent)
    return p.wait(60), seen


def a_terminal_sees_how_far_it_is():
    code, seen = at_a_terminal("eval", "-c", CONFIG, "share=0.5", "--json", stdout=subprocess.DEVNULL)
    assert code == 0, seen
    assert b"%, starting judge" in seen and b"%, starting voice" in seen, seen
    assert seen.endswith(b"\r\x1b[K"), "the line is taken away"


MEASURE = r"""#!/bin/sh
read -r request
printf '{"event": "progress", "share": 0.25, "note": "loading\\u001b[31m"}\n{"event": "progress", "share": "half"}\n'
printf '{"event": "progress", "share": 7, "note": 5}\n{"event": "tick"}\n'
printf '{"status": "ok", "metrics": {"llm_latency_ms": 40, "stt_latency_ms": 10}}\n'
"""


def a_run_shows_it_behind_its_bar_and_keeps_it_out_of_the_log():
    program, config = HOME.path / "measure.sh", HOME.path / "command.yaml"
    program.write_text(MEASURE)
    program.chmod(0o755)
    text = re.sub(r"    evaluator:\n(      .*\n)+", f"    evaluator: {{command: [{program}]}}\n", CONFIG.read_text())
    text = re.sub(r"    services:\n(      .*\n)+", "", text)
    config.write_text(text.replace("run: {seed: 1}", f"run: {{seed: 1, store: {HOME.path}/other.db, logdir: logs}}"))
    code, seen = at_a_terminal("run", config)
    assert code == 3, seen
    assert b"(25 %, loading\\x1b[31m)" in seen and b"\x1b[31m" not in seen, seen
    log = (HOME.path / "logs/runner.log").read_text()
    assert "trial" in log and "25 %" not in log, log


def slowdowns(*trials):
    return [t["measurement"]["evidence"]["services"][s]["slowdown"]["factor"] for t, s in trials]


def the_table_is_of_all_trials_or_of_one():
    trials = [t for t in HOME.json("trials", "-c", CONFIG)["trials"] if t["measurement"]["status"] == "ok"]
    assert len(trials) == 2
    body = HOME.json("show", "--interference", "-c", CONFIG)
    assert set(body) == {"schema", "trial", "trials", "services", "values"}, body
    assert (body["schema"], body["trial"], body["trials"]) == ("dream.interference/v1", None, 2)
    for row in body["services"]:
        assert row["trials"] == 2 and row["experiment"] == "real"
        both = slowdowns(*[(t, row["service"]) for t in trials])
        assert abs(row["factor"] - statistics.median(both)) < 1e-9, (row, both)
    assert [(r["service"], r["parameter"], r["value"]) for r in body["values"]] == [
        (s, *pv) for s in ["judge", "voice"] for pv in
        [("share", 0.5), ("share", 0.6), ("size", "small"), ("size", "tiny")]], body["values"]
    for row in body["values"]:
        one = next(t for t in trials if t["params"][row["parameter"]] == row["value"])
        assert row["trials"] == 1 and [row["factor"]] == slowdowns((one, row["service"])), row

    one = HOME.json("show", "--interference", trials[0]["seq"], "-c", CONFIG)
    assert one["trial"] == trials[0]["seq"] and one["values"] == [] and len(one["services"]) == 2
    text = HOME.dream("show", "--interference", "-c", CONFIG).out
    assert re.search(r"^2 trials: ", text) and re.search(r"^voice +size +tiny +1 ", text, re.M), text
    assert re.search(r"^Trial 1: ", HOME.dream("show", "-i", 1, "-c", CONFIG).out)


def only_the_experiment_that_is_named_counts():
    assert HOME.json("show", "-i", "-e", "other", "-c", CONFIG)["services"] == []


def trials_that_were_not_measured_alone_have_no_table():
    CONFIG.write_text(CONFIG.read_text().replace("clips: clips", "clips: clips\n      alone: false"))
    trial = HOME.json("eval", "-c", CONFIG, "share=0.5", "--store")
    for args in [["show", "-i", trial["seq"]], ["show", "-i", "-e", "other"]]:
        done = HOME.dream(*args, "-c", CONFIG)
        assert done.code == 1 and done.out == "" and "alone: true" in done.err and done.err.count("\n") == 1, done
    assert HOME.json("show", "-i", trial["seq"], "-c", CONFIG)["services"] == []
    assert HOME.json("show", "-i", "-c", CONFIG)["trials"] == 2, "it is left out of the medians"


def nothing_is_left_on_the_card():
    done = HOME.dream("twin", "gpu", *CARD, "--show")
    assert '"used_bytes": 0' in done.out, done


run_cases([
    without_trials_there_is_nothing_to_show,
    an_evaluation_has_the_fields_of_the_first_version,
    a_candidate_that_cannot_start_is_a_failure_with_missing_numbers,
    ctrl_c_calls_a_trial_off_and_nothing_is_left_of_it,
    the_text_says_where_each_ran_and_how_much_they_disturb_each_other,
    a_terminal_sees_how_far_it_is,
    a_run_shows_it_behind_its_bar_and_keeps_it_out_of_the_log,
    the_table_is_of_all_trials_or_of_one,
    only_the_experiment_that_is_named_counts,
    trials_that_were_not_measured_alone_have_no_table,
    nothing_is_left_on_the_card,
])
