"""A box in production, inside a systemd of its own: the simulated box's servers as units, other services beside them, and
D-REAM beside all of it as root. For the story that people are shown (demo.py) and for its test."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../sandbox"))
from box import argv_of, environ_of, must, pid_of, private, wait, write  # noqa: E402

BUILD = os.environ["DREAM_BUILD"]
DREAM = os.path.join(BUILD, "dream")
SOURCE = os.environ["DREAM_SOURCE"]
NVML = os.path.join(BUILD, "src/twin/nvml")
DIR = "/tmp/box"  # the sandbox's own
MODEL = "Qwen2.5-7B-Instruct-AWQ"
GPU = "GPU-3060f0e1-5c1a-4d2e-9b7a-12622168064a"
JUDGE, VOICE = 18000, 18001
SPEED = 25

UNITS = {
    "judge.service": f"""[Unit]
Description=The language model that judges
[Service]
Type=exec
EnvironmentFile={DIR}/card.env
Environment=TWIN_FAULT=none
ExecStart={DREAM} twin vllm serve {MODEL} --host 127.0.0.1 --port {JUDGE} \\
  --gpu-memory-utilization 0.50 --max-model-len 2048 --enforce-eager --served-model-name judge
Restart=on-failure
RestartSec=1
""",
    "voice.service": f"""[Unit]
Description=Speech to text
[Service]
Type=exec
EnvironmentFile={DIR}/card.env
Environment=ASR_WHISPER_SIZE=small
ExecStart={DREAM} twin whisper --host 127.0.0.1 --port {VOICE} --model ${{ASR_WHISPER_SIZE}}
Restart=on-failure
RestartSec=1
""",
    "others.service": f"""[Unit]
Description=The other services on the card
[Service]
Type=exec
EnvironmentFile={DIR}/card.env
ExecStart={DREAM} twin gpu --tenants --speed {SPEED}
""",
}

CONFIG = """# A box whose language model and speech recognition share one card.
version: 1
run: {{seed: 7, artifact_root: {dir}/artifacts, logdir: {dir}/logs}}
daemon: {{approvers: root, probe_every: 1 s}}
experiments:
  - name: spica_gpu_allocation
    gpu: {gpu}
    search_space:
      vllm_memory_util: {{values: [0.40, 0.45, 0.50, 0.55, 0.60]}}
      whisper_model_size: {{values: [tiny, base, small], ordered: true}}
      # What a setting does that leaks, so that every answer takes longer than the one before.
      judge_allocator: {{values: [none, "slower:200s"]}}
    baseline: {{vllm_memory_util: 0.50, whisper_model_size: small, judge_allocator: none}}
    evaluator:
      kind: gpu_allocation
      as: units
      alone: false
      state: {dir}/state
      env: {{LD_LIBRARY_PATH: {nvml}, TWIN_GPU: {dir}/card, TWIN_BOX: {dir}/box.yaml}}
      quiesce:
        units: [judge.service, voice.service]
        window: "00:00-24:00"
        budget: 1 h
        idle: 100 ms
        drain: 5 s
    search_services: all
    services:
      judge:
        kind: vllm
        version: 0.11.0
        unit: judge.service
        from_unit: judge.service
        url: http://127.0.0.1:{judge}
        model: judge
        settings: {{model: {model}, max_model_len: 2048, enforce_eager: true}}
        params: {{vllm_memory_util: gpu_memory_utilization, judge_allocator: allocator}}
        places: {{allocator: {{env: TWIN_FAULT}}}}
        gpu_bytes: 4 GiB
        ready_timeout: 20 s
        stop_timeout: 5 s
      voice:
        kind: whispercpp
        unit: voice.service
        from_unit: voice.service
        url: http://127.0.0.1:{voice}
        params: {{whisper_model_size: model}}
        gpu_bytes: 300 MiB
        ready_timeout: 20 s
        stop_timeout: 5 s
    memory:
      total_bytes: 12622168064
      context_bytes: 116 MiB
      others_bytes: 1.2 GB
      reserve_bytes: 256 MiB
      vllm:
        - {{version: 0.11.0, model: {model}, max_model_len: 2048, enforce_eager: true, non_kv_bytes: 5.505 GiB,
           token_bytes: 57344, source: start-up log at 0.50}}
    objectives:
      stt_latency_ms: {{goal: minimize, weight: 0.5, worst: 50, tolerance: 0.5}}
      llm_latency_ms: {{goal: minimize, weight: 0.5, worst: 100, tolerance: 0.5}}
    workloads:
      steady:
        llm: {{arrivals: poisson, rate: 12, requests: 24, prompt_tokens: {{median: 50, max: 200}},
              output_tokens: {{median: 8, max: 32}}, limit: 1 s}}
        stt: {{arrivals: poisson, rate: 12, requests: 24, clip_ms: {{median: 3000, max: 30000}}, limit: 1 s}}
      bursty:
        llm: {{arrivals: gamma, cv: 2, rate: 12, requests: 24, prompt_tokens: {{median: 50, max: 200}},
              output_tokens: {{median: 8, max: 32}}, limit: 1 s}}
        stt: {{arrivals: gamma, cv: 2, rate: 12, requests: 24, clip_ms: {{median: 3000, max: 30000}}, limit: 1 s}}
    budget: {{wallclock_sec: 60, trial_timeout_sec: 60, max_candidates: 2, max_generations: 1, allow_gpu: true}}
    apply:
      vllm_memory_util: {{unit: judge.service, flag: --gpu-memory-utilization}}
      judge_allocator: {{unit: judge.service, env: TWIN_FAULT}}
      whisper_model_size: {{unit: voice.service, env: ASR_WHISPER_SIZE}}
    rollout:
      stages: [{stages}]
      observe: {observe}
      watch: {watch}
      probation: {probation}
      probe_every: 20 ms
      probe_limit: 3 s
      ready: 20 s
      budget: 10 min
      max_regression: 0.6
      false_alarms: 0.2
      on_inconclusive: {inconclusive}
      waits: 5
      memory_model: {memory}
"""


def configure(stages="isolated, colocated, cold_start, production", observe="20 s", watch="16 s", probation="0 s",
              inconclusive="wait", memory="true"):
    path = f"{DIR}/dream.yaml"
    write(path, CONFIG.format(dir=DIR, gpu=GPU, nvml=NVML, source=SOURCE, judge=JUDGE, voice=VOICE, model=MODEL,
                              stages=stages, observe=observe, watch=watch, probation=probation, inconclusive=inconclusive,
                              memory=memory))
    return path


def environment():
    return dict(os.environ, LD_LIBRARY_PATH=NVML, TWIN_GPU=f"{DIR}/card", TWIN_BOX=f"{DIR}/box.yaml",
                XDG_STATE_HOME=f"{DIR}/home", XDG_RUNTIME_DIR=f"{DIR}/run", HOME=DIR, COLUMNS="120")


def quiet_box():
    """The box of the examples without its slow drift and its neighbours' bursts: what is watched here is watched for
    seconds, and no judge can tell a drift from a change in that time."""
    with open(f"{SOURCE}/boxes/rtx3060.yaml") as f:
        text = f.read()
    for name, value in (("trial_pct", "0"), ("drift_pct", "0"), ("jitter_correlation", "0"), ("burst_every", "1000h")):
        text, n = re.subn(rf"\b{name}: \S+", f"{name}: {value}", text)
        assert n == 1, name
    return text


def set_up(pace=""):
    """`pace`: a line of go_first() for every unit."""
    private("/etc/dream", "/var/lib/dream-production")
    os.makedirs(f"{DIR}/run", mode=0o700, exist_ok=True)
    write(f"{DIR}/box.yaml", quiet_box())
    write(f"{DIR}/card.env", f"TWIN_BOX={DIR}/box.yaml\nTWIN_GPU={DIR}/card\nTWIN_SPEED={SPEED}\n"
          "TWIN_NOISE_SEED=1\n", 0o600)
    for name, text in UNITS.items():
        write(f"/run/systemd/system/{name}", text + pace)
    must("systemctl", "daemon-reload")
    must("systemctl", "start", *UNITS)
    wait("production answers", answering)


def answers(port):
    return subprocess.run(["curl", "-s", "-f", "-o", "/dev/null", "-m", "2", f"http://127.0.0.1:{port}/health"],
                          timeout=10).returncode == 0


def answering():
    return answers(JUDGE) and answers(VOICE)


class Done:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


def dream(*args, timeout=180, input=None):
    p = subprocess.run([DREAM, *args], capture_output=True, text=True, timeout=timeout, env=environment(), cwd=DIR, input=input)
    return Done(p.returncode, p.stdout, p.stderr)


def start(*args):
    return subprocess.Popen([DREAM, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
                            cwd=DIR, stdin=subprocess.DEVNULL)


def running():
    """What the processes of production really have: never what any file says."""
    pid = pid_of("judge.service")
    judge, voice = argv_of(pid), argv_of(pid_of("voice.service"))
    return {"vllm_memory_util": float(judge[judge.index("--gpu-memory-utilization") + 1]),
            "judge_allocator": environ_of(pid)["TWIN_FAULT"], "whisper_model_size": voice[voice.index("--model") + 1]}


def running_now():
    """The same in the middle of a restart; None while there is no process, or it is not the server yet."""
    try:
        return running() if answering() else None
    except (OSError, ValueError, IndexError, KeyError):
        return None


def new_promotion(**values):
    args = [f"{name}={value}" for name, value in values.items()]
    done = dream("promotion", "new", "-c", f"{DIR}/dream.yaml", *args)
    assert done.code == 0, done
    return re.search(r"\b(\S*promotion\S*|[a-z_]+_\d{8}_\d{6}\S*)\b", done.out)[1], done


ADOPTIONS = [("judge.service", "vllm_memory_util=--gpu-memory-utilization", "judge_allocator=TWIN_FAULT"),
             ("voice.service", "whisper_model_size=ASR_WHISPER_SIZE")]


def adopt():
    for unit, *targets in ADOPTIONS:
        done = dream("adopt", "--yes", unit, *targets)
        assert done.code == 0, done


def to_json(*args):
    done = dream(*args, "--json")
    assert done.code == 0, done
    return json.loads(done.out)


if __name__ == "__main__":
    sys.exit("a module of demo.py, test-story.py and tests/daemon")
