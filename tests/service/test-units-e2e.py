#!/usr/bin/python3
"""Trials beside production, under a systemd of their own: production is two units that run the simulated box's servers,
a trial stops them, runs in units of its own and puts them back, whoever is killed in the middle of it."""
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../run"), os.path.join(HERE, "../sandbox")]
from box import argv_of, environ_of, go_first, must, pid_of, sh, show, wait, write  # noqa: E402
from tap import DREAM, ROOT, Done, run_cases

MODEL = "Qwen2.5-7B-Instruct-AWQ"
GPU = "GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a"
NVML = os.path.join(os.environ["DREAM_BUILD"], "src/twin/nvml")
SECRET = 's3cret "q" \\b $HOME `x` \'y\''
JUDGE, VOICE = 18000, 18001
DIR = tempfile.mkdtemp(prefix="dream-e2e-")


def quoted(value):
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


# --- Production ---------------------------------------------------------------------------------


def make_clip(name, seconds, text):
    with wave.open(f"{DIR}/clips/{name}.wav", "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(16000)
        f.writeframes(bytes(int(32000 * seconds)))
    write(f"{DIR}/clips/{name}.txt", text)


def set_up():
    os.chmod(DIR, 0o777)
    os.mkdir(DIR + "/clips")
    make_clip("a", 2, "turn the light on")
    make_clip("b", 3, "what time is it now")
    write(DIR + "/judge.env", f"TWIN_BOX={ROOT}/boxes/rtx3060.yaml\nTWIN_GPU={DIR}/card\nTWIN_SPEED=20\nTWIN_NOISE_SEED=1\n"
          f"API_SECRET={quoted(SECRET)}\n", 0o600)
    common = f"[Service]\nType=exec\nUser=dream\nLimitNOFILE=4096\nRestart=on-failure\nEnvironmentFile={DIR}/judge.env\n" + go_first()
    write("/run/systemd/system/judge.service", common +
          f"ExecStart={DREAM} twin vllm serve {MODEL} --host 127.0.0.1 --port {JUDGE} --gpu-memory-utilization 0.5 "
          "--max-model-len 2048 --enforce-eager --served-model-name judge\n")
    write("/run/systemd/system/voice.service", common +
          f"ExecStart={DREAM} twin whisper --host 127.0.0.1 --port {VOICE} --model small\n")
    must("systemctl", "daemon-reload")
    must("systemctl", "start", "judge.service", "voice.service")
    wait("production answers", answering)


def answers(port, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        c.request("GET", path)
        return c.getresponse().status == 200
    except OSError:
        return False
    finally:
        c.close()


def answering():
    return (show("judge.service", "ActiveState") == "active" and show("voice.service", "ActiveState") == "active"
            and answers(JUDGE, "/health") and answers(VOICE, "/health"))


def invocations():
    return show("judge.service", "InvocationID"), show("voice.service", "InvocationID")


def trial_units():
    lines = sh("systemctl", "list-units", "--all", "--plain", "--no-legend", "dream-trial*", "dream-guard*")
    return [line.split()[0] for line in lines.splitlines() if line.strip()]


def nothing_is_left():
    assert trial_units() == [], trial_units()
    assert glob.glob("/run/dream-worker/*") == []
    assert not os.path.exists(DIR + "/state/quiesce.json") and not glob.glob(DIR + "/state/*intent*")


# --- The experiment -----------------------------------------------------------------------------


def workload(name, requests, arrivals):
    return f"""      {name}:
        llm: {{arrivals: {arrivals}, rate: 12, requests: {requests}, prompt_tokens: {{median: 50, max: 200}},
              output_tokens: {{median: 8, max: 32}}, limit: 500 ms}}
        stt: {{arrivals: {arrivals}, rate: 12, requests: {requests}, clip_ms: {{median: 3000, max: 30000}}, limit: 500 ms}}
"""


def config(window="00:00-24:00", idle="100 ms", drain="2 s", budget="1 h", env=None, extra="", requests=12):
    names = "".join(f"\n          {k}: {json.dumps(v)}" for k, v in (env or {}).items())
    env_lines = f"\n        env:{names}" if env else ""
    path = tempfile.mktemp(suffix=".yaml", dir=DIR)
    write(path, f"""version: 1
run: {{seed: 7, artifact_root: {DIR}/artifacts, logdir: {DIR}/logs}}
experiments:
  - name: beside_production
    gpu: {GPU}
    search_space:
      vllm_memory_util: {{values: [0.50, 0.55]}}
      whisper_model_size: {{values: [tiny, small], ordered: true}}
    baseline: {{vllm_memory_util: 0.50, whisper_model_size: small}}
    evaluator:
      kind: gpu_allocation
      as: units
      alone: false
      clips: {DIR}/clips
      state: {DIR}/state
      env: {{LD_LIBRARY_PATH: {NVML}, TWIN_GPU: {DIR}/card, TWIN_BOX: {ROOT}/boxes/rtx3060.yaml}}
      quiesce:
        units: [judge.service, voice.service]
        window: "{window}"
        budget: {budget}
        idle: {idle}
        drain: {drain}
    search_services: all
    services:
      judge:
        kind: vllm
        from_unit: judge.service
        url: http://127.0.0.1:{JUDGE}
        params: {{vllm_memory_util: gpu_memory_utilization}}
        gpu_bytes: 4 GiB
        ready_timeout: 20 s
        stop_timeout: 5 s
        limits: {{tasks: 100}}{env_lines}
      voice:
        kind: whispercpp
        from_unit: voice.service
        url: http://127.0.0.1:{VOICE}
        params: {{whisper_model_size: model}}
        gpu_bytes: 300 MiB
        ready_timeout: 20 s
        stop_timeout: 5 s
    objectives:
      stt_latency_ms: {{goal: minimize, weight: 0.5, worst: 50, tolerance: 0.5}}
      llm_latency_ms: {{goal: minimize, weight: 0.5, worst: 100, tolerance: 0.5}}
    workloads:
{workload('steady', requests, 'poisson')}{workload('bursty', requests, 'gamma, cv: 2')}    budget: {{wallclock_sec: 60, trial_timeout_sec: 60, max_candidates: 2, max_generations: 1, allow_gpu: true}}
    selector: {{kind: rzero, tournament_size: 2, survivors: 1, elitism: 1, fresh_inject: 0}}
    confirm: {{pairs: 2, min_pairs: 2, finalists: 1, confidence: 0.95, ablation: false}}
{extra}""")
    return path


started = []


def start(*args):
    env = dict(os.environ, XDG_STATE_HOME=DIR + "/home", XDG_RUNTIME_DIR=DIR + "/run", LD_LIBRARY_PATH=NVML,
               TWIN_GPU=DIR + "/card", TWIN_BOX=ROOT + "/boxes/rtx3060.yaml")
    os.makedirs(DIR + "/run", mode=0o700, exist_ok=True)
    p = subprocess.Popen([DREAM, *args], cwd=DIR, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    started.append(p)
    return p


def finish(p):
    out, err = p.communicate(timeout=120)
    return Done(p.returncode, out.decode(), err.decode())


def evaluate(path, *params):
    done = finish(start("eval", "-c", path, "--all-services", "--json", *params))
    assert done.out.startswith("{"), done
    return json.loads(done.out)["measurement"], done


def executed(pid):
    """Before that the process is the manager's own."""
    try:
        return argv_of(pid)[:1] == [DREAM]
    except OSError:
        return False


def trial_of(service, p):
    """The main process of the trial's unit of that service, once it is executed."""
    def look():
        assert p.poll() is None, finish(p)
        for unit in trial_units():
            pid = pid_of(unit)
            if unit.startswith("dream-trial-") and unit.endswith(f"_{service}.service") and pid > 0 and executed(pid):
                return unit, pid
        return None
    return wait(f"a trial's unit of {service}", look)


def children(pid):
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path) as f:
                found += [int(w) for w in f.read().split()]
        except OSError:
            pass
    return found + [c for child in list(found) for c in children(child)]


def worker_of(pid):
    for child in children(pid):
        try:
            if argv_of(child)[1:2] == ["worker"]:
                return child
        except OSError:
            pass
    return None


# --- Cases --------------------------------------------------------------------------------------


def a_trial_beside_production():
    """What was measured. Checks on the way what is true of every trial, also of one that a busy machine spoils."""
    before = invocations()
    production = argv_of(pid_of("judge.service"))
    p = start("eval", "-c", config(), "--all-services", "--json", "vllm_memory_util=0.55", "whisper_model_size=tiny")
    unit, pid = trial_of("judge", p)
    assert show("judge.service", "ActiveState") == "inactive"
    trial = argv_of(pid)
    assert len(trial) == len(production), (trial, production)
    changed = [(a, b) for a, b in zip(production, trial) if a != b]
    assert len(changed) == 2 and ("0.5", "0.55") in changed, changed
    assert changed[0][0] == str(JUDGE) and changed[0][1].isdigit(), changed
    env = environ_of(pid)
    assert env["API_SECRET"] == SECRET, env["API_SECRET"]
    assert env["CUDA_VISIBLE_DEVICES"] == GPU
    assert os.stat(f"/proc/{pid}").st_uid == 900  # production's User=
    with open(f"/proc/{pid}/limits") as f:
        assert re.search(r"Max open files +4096 +4096", f.read())
    assert show(unit, "TasksMax") == "100"
    bound = show(unit, "BindsTo")
    assert bound.startswith("dream-guard-"), bound
    properties = sh("systemctl", "show", unit) + sh("systemctl", "cat", unit)
    assert "s3cret" not in properties and "API_SECRET" not in properties
    done = finish(p)
    assert "s3cret" not in done.out
    wait("production answers", answering)
    after = invocations()
    assert before[0] != after[0] and before[1] != after[1]
    assert argv_of(pid_of("judge.service")) == production
    nothing_is_left()
    return json.loads(done.out)["measurement"]


def a_trial_is_productions_command_with_the_tuned_flags_and_the_port_changed_and_production_comes_back():
    for _ in range(3):
        m = a_trial_beside_production()
        if "the load generator was the bottleneck" not in m.get("reason", ""):
            break
    assert m["status"] == "ok", m
    assert m["evidence"]["services"]["judge"]["placement"] == "placed", m["evidence"]["services"]["judge"]


def killed_in_the_middle(victim):
    p = start("eval", "-c", config(requests=200), "--all-services", "--json", "vllm_memory_util=0.55")
    trial_of("voice", p)
    assert show("judge.service", "ActiveState") != "active"
    pid = victim(p)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait("production answers", answering, 15)
    took = time.monotonic() - began
    done = finish(p)
    wait("the trial's units are gone", lambda: not trial_units())
    assert int(show("judge.service", "NRestarts")) == 0, "production found the GPU taken"
    print(f"# production was back after {took:.1f} s", flush=True)
    return done


def what_is_left_is_put_right():
    """What the dead left in files is found by whoever comes next."""
    m, done = evaluate(config(window=closed_window()))
    assert m["status"] == "contended", done
    nothing_is_left()
    assert answering()


def closed_window():
    at = time.localtime(time.time() + 6 * 3600)
    return f"{at.tm_hour:02}:00-{at.tm_hour:02}:30"


def production_is_back_when_the_program_is_killed():
    killed_in_the_middle(lambda p: p.pid)
    what_is_left_is_put_right()


def production_is_back_when_the_worker_is_killed():
    done = killed_in_the_middle(lambda p: wait("a worker", lambda: worker_of(p.pid)))
    assert json.loads(done.out)["measurement"]["status"] != "ok", done
    what_is_left_is_put_right()


def production_is_back_when_the_guards_process_is_killed():
    def guard(_):
        return pid_of([u for u in trial_units() if u.startswith("dream-guard-")][0])
    done = killed_in_the_middle(guard)
    m = json.loads(done.out)["measurement"]
    assert m["status"] == "contended" and m["cause"] == "quiesce", done
    nothing_is_left()


def ctrl_c_stops_the_trials_units_and_production_is_back_at_once():
    p = start("eval", "-c", config(requests=200), "--all-services", "--json", "vllm_memory_util=0.55")
    trial_of("voice", p)
    os.kill(p.pid, signal.SIGINT)
    done = finish(p)
    assert done.code == 4 and "called off" in done.err and done.out == "", done
    nothing_is_left()
    wait("production answers", answering)
    assert int(show("judge.service", "NRestarts")) == 0


def what_was_masked_meanwhile_stays_down():
    p = start("eval", "-c", config(), "--all-services", "--json", "vllm_memory_util=0.55")
    trial_of("voice", p)
    sh("systemctl", "mask", "voice.service")
    done = finish(p)
    wait("the judge is back", lambda: show("judge.service", "ActiveState") == "active")
    down = show("voice.service", "ActiveState")
    sh("systemctl", "unmask", "voice.service")
    must("systemctl", "start", "voice.service")
    assert down == "inactive", down
    assert json.loads(done.out)["measurement"]["status"] == "ok", done
    nothing_is_left()
    wait("production answers", answering)


def outside_of_the_window_nothing_is_stopped():
    before = invocations()
    m, done = evaluate(config(window=closed_window()))
    assert m["status"] == "contended" and m["cause"] == "quiesce", done
    assert "window" in m["reason"], m["reason"]
    assert invocations() == before
    nothing_is_left()


def while_users_are_there_nothing_is_stopped():
    before = invocations()
    with socket.create_connection(("127.0.0.1", JUDGE)):
        m, done = evaluate(config(drain="500 ms"))
    assert m["status"] == "contended" and m["cause"] == "quiesce", done
    assert "connection" in m["reason"], m["reason"]
    assert invocations() == before


def a_candidate_that_runs_out_of_memory_is_told_from_its_output_and_is_not_restarted():
    m, done = evaluate(config(env={"TWIN_FAULT": "oom-under-load"}))
    assert (m["status"], m["cause"]) == ("start_failed", "oom"), done  # it meets it at its first request
    events = m["evidence"]["verdict"]["oom_events"]
    assert [(e["service"], e["count"]) for e in events] == [("judge", 1)], events
    assert "OutOfMemoryError" in events[0]["proof"][0]["line"], events
    wait("production answers", answering)
    nothing_is_left()


def one_that_cannot_start_is_started_once():
    p = start("eval", "-c", config(env={"TWIN_FAULT": "exit-code=3"}), "--all-services", "--json")
    done = finish(p)
    m = json.loads(done.out)["measurement"]
    assert m["status"] == "start_failed", done
    log = sh("journalctl", "--no-pager", "-o", "cat", "_COMM=systemd")
    assert len(re.findall(r"Started dream-trial-\d+_\d+_judge", log)) == len(set(
        re.findall(r"Started (dream-trial-\d+_\d+_judge)", log))), log[-2000:]
    wait("production answers", answering)
    nothing_is_left()


def the_units_of_a_dead_run_are_stopped_before_anything_is_done():
    sh("systemd-run", "--unit=dream-trial-999999999_20001_judge.service", "sleep", "1000")
    sh("systemd-run", f"--unit=dream-trial-{os.getpid()}_20001_judge.service", "sleep", "1000")  # of one that lives
    write("/run/dream-worker/dream-trial-999999999_20001_judge.service", "A=1\n", 0o600)
    m, done = evaluate(config(window=closed_window()))
    assert m["status"] == "contended", done
    assert trial_units() == [f"dream-trial-{os.getpid()}_20001_judge.service"], trial_units()
    sh("systemctl", "stop", *trial_units())
    nothing_is_left()


def a_container_among_units_is_refused_with_a_word():
    write("/run/systemd/system/boxed.service", "[Service]\nExecStart=/usr/bin/docker run --rm vllm/vllm-openai --model m\n")
    must("systemctl", "daemon-reload")
    path = config()
    with open(path) as f:
        write(path, f.read().replace("from_unit: judge.service", "from_unit: boxed.service"))
    m, done = evaluate(path)
    assert m["status"] == "measure_failed" and "container" in m["reason"] and "as: processes" in m["reason"], done


def a_dry_run_tells_the_time_and_the_downtime_and_stops_nothing():
    before = invocations()
    done = finish(start("run", "-c", config(), "--dry-run"))
    assert done.code == 0, done
    assert "judge is ready at most 20 s" in done.out.replace("20.0 s", "20 s"), done
    assert re.search(r"judge.service is active, and would be stopped", done.out), done
    assert "downtime" in done.out and "open now" in done.out, done
    told = json.loads(finish(start("run", "-c", config(window=closed_window()), "--dry-run", "--json")).out)["experiments"][0]
    assert told["time"]["measured"] == 0 and told["downtime"]["window_open"] is False, told
    assert [u["stopped"] for u in told["downtime"]["units"]] == [True, True], told
    assert invocations() == before


def a_run_searches_beside_production_and_what_it_measured_is_the_next_estimate():
    path = config()
    done = finish(start("run", "-c", path))
    assert done.code in (0, 3), done
    wait("production answers", answering)
    nothing_is_left()
    rows = json.loads(finish(start("trials", "-c", path, "--json")).out)
    rows = rows["trials"] if isinstance(rows, dict) else rows
    assert rows and any(t["measurement"]["status"] == "ok" for t in rows), rows
    told = json.loads(finish(start("run", "-c", path, "--dry-run", "--json")).out)["experiments"][0]
    assert told["time"]["measured"] > 0, told
    assert all(s["measured"] > 0 and s["ready_us"] < 20000000 for s in told["time"]["starts"]), told
    assert told["downtime"]["spent_us"] > 0, told


CASES = [a_dry_run_tells_the_time_and_the_downtime_and_stops_nothing,
         a_trial_is_productions_command_with_the_tuned_flags_and_the_port_changed_and_production_comes_back,
         outside_of_the_window_nothing_is_stopped,
         while_users_are_there_nothing_is_stopped,
         production_is_back_when_the_program_is_killed,
         production_is_back_when_the_worker_is_killed,
         production_is_back_when_the_guards_process_is_killed,
         ctrl_c_stops_the_trials_units_and_production_is_back_at_once,
         what_was_masked_meanwhile_stays_down,
         a_candidate_that_runs_out_of_memory_is_told_from_its_output_and_is_not_restarted,
         one_that_cannot_start_is_started_once,
         the_units_of_a_dead_run_are_stopped_before_anything_is_done,
         a_container_among_units_is_refused_with_a_word]
if os.environ.get("DREAM_SOAK"):
    CASES += [a_run_searches_beside_production_and_what_it_measured_is_the_next_estimate]

def alone(case):
    """What one leaves behind that fails is not the next one's."""
    def run():
        started.clear()
        try:
            return case()
        except BaseException:
            for p in started:
                p.kill()
                p.communicate()
            wait("production answers", answering)
            raise
    run.__name__ = case.__name__
    return run


if __name__ == "__main__":
    set_up()
    try:
        run_cases([alone(case) for case in CASES])
    finally:
        shutil.rmtree(DIR, ignore_errors=True)
