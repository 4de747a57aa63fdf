#!/usr/bin/python3
"""Nobody is there: the daemon as it is shipped searches in its window, proposes what it found, and rolls it out when policy
says so, after it has been proposed for as long as policy asks; what policy does not allow waits for a person. Trials are
simulated (the evaluator `twin`), production is real processes under a systemd of its own."""
import re
import time

from shipped import *  # noqa: F403
from tap import run_cases  # noqa: E402

PLAN = """version: 1
run: {{seed: 7, artifact_root: {dir}/artifacts, logdir: {dir}/logs}}
daemon: {{approvers: root, probe_every: 1 s, run_window: "00:00-24:00", run_every: 1 d}}
experiments:
  - name: judge_memory
    search_space: {{vllm_memory_util: {{values: [0.50, 0.55, 0.60]}}}}
    baseline: {{vllm_memory_util: 0.50}}
    evaluator: {{kind: twin, box: {source}/boxes/rtx3060.yaml}}
    services:
      judge:
        kind: vllm
        version: 0.11.0
        unit: judge.service
        url: http://127.0.0.1:{judge}
        settings: {{model: {model}, max_model_len: 2048, enforce_eager: true}}
        params: {{vllm_memory_util: gpu_memory_utilization}}
    # Long questions: with 0.50 of the card there is room for few of them at once.
    objectives: {{concurrent_capacity: {{goal: maximize, weight: 1, best: 32, tolerance: 0.1}}}}
    workloads:
{workloads}    budget: {{trial_timeout_sec: 3600, max_candidates: 3, max_generations: 1, allow_gpu: false}}
    confirm: {{pairs: 6, min_pairs: 5, ablation: false}}
    apply: {{vllm_memory_util: {{unit: judge.service, flag: --gpu-memory-utilization}}}}
    rollout:
      stages: [production, cold_start]
      observe: 10 s
      watch: 8 s
      probation: 0 s
      probe_every: 20 ms
      probe_limit: 3 s
      ready: 20 s
      budget: 10 min
      max_regression: 5
      false_alarms: 0.2
      on_inconclusive: wait
      waits: 10
      memory_model: false
      approval: {approval}
      auto_min_gain: {gain}
      soak: {soak}
{more}"""


WORKLOAD = """      {name}:
        capacity_max: 32
        llm: {{arrivals: {arrivals}, rate: 0.2, prompt_tokens: {{median: 1200, sigma: 0.1, max: 1500}},
              output_tokens: {{median: 100, sigma: 0.1, max: 200}}, limit: 30 s}}
"""


def configure(approval="auto", gain="0.05", soak="1 d", more=""):
    workloads = "".join(WORKLOAD.format(name=name, arrivals=arrivals)
                        for name, arrivals in (("steady", "poisson"), ("bursty", "gamma, cv: 3")))
    write(CONFIG, PLAN.format(workloads=workloads, dir=DIR, source=SOURCE, judge=production.JUDGE, model=production.MODEL, approval=approval, gain=gain,
                              soak=soak, more=f"      {more}\n" if more else ""))


def the_daemon_searches_and_proposes_what_it_found():
    boot(lambda: configure(gain="100"), [("judge.service", "vllm_memory_util=--gpu-memory-utilization")])
    s = until(lambda s: bool(s["waiting"]) and not s["run"]["running"], 120)
    assert s["run"]["result"] == "something better was found and proposed", s["run"]
    assert len(s["waiting"]) == 1 and s["waiting"][0]["approval"] == "auto", s["waiting"]
    change, = s["waiting"][0]["changes"]
    assert change["parameter"] == "vllm_memory_util" and change["from"] == 0.50 and change["to"] > 0.50, change


def waits_because(words):
    """It is looked at with the configuration that is in effect now; nothing follows, and whoever asks is told why."""
    s = status()
    w, = s["waiting"]
    assert w["decision"] is None and s["rollout"] is None and records("approval") == [], s
    assert re.fullmatch(words, w["policy"]), w
    assert s["production"]["version"] == 1 and running() == OLD, (s["production"], running())
    text = good("status", root=True).out
    assert "not approved yet" in text and f"policy: {w['policy'][:30]}" in text, text


def what_gains_less_than_policy_asks_waits_for_a_person():
    waits_because(r"its gain may be as little as \d+\.\d %, and rollout\.auto_min_gain asks for 10000\.0 %: "
                  "a person must approve it")


def a_parameter_that_policy_does_not_name_waits_for_a_person():
    configure(soak="0 s", more="auto_parameters: [whisper_model_size]")
    reload()
    waits_because("it changes vllm_memory_util, which rollout.auto_parameters does not name: a person must approve it")


def outside_of_the_window_it_waits():
    at = time.localtime(time.time() + 6 * 3600)
    window = f"{at.tm_hour:02}:00-{at.tm_hour:02}:30"
    configure(soak="0 s", more=f'window: "{window}"')
    reload()
    waits_because(rf"it is outside of the window {window} \(rollout\.window\)")


def where_approval_is_a_persons_policy_says_nothing():
    configure(approval="manual", soak="0 s")
    reload()
    s = status()
    w, = s["waiting"]
    assert w["approval"] == "manual" and w["policy"] is None and w["decision"] is None and s["rollout"] is None, s
    assert records("approval") == []


def after_its_soak_it_is_approved_by_policy_and_rolled_out():
    (proposed_us, promotion), = records("promotion")
    soak = int(time.time() - proposed_us / 1e6) + 10
    configure(soak=f"{soak} s")
    reload()
    waits_because(r"it must have been proposed for .* \(rollout\.soak\); .* are left")
    wait("policy approves it", lambda: records("approval"), 60)
    (at_us, approval), = records("approval")
    assert at_us >= proposed_us + soak * 1000000, (proposed_us, soak, at_us)
    print(f"# approved {(at_us - proposed_us) / 1e6 - soak:.1f} s after the soak of {soak} s", flush=True)
    assert approval["decision"] == "approved" and approval["promotion"] == promotion["id"], approval
    assert approval["by"]["name"] == "policy" and approval["baseline_version"] == 1, approval
    assert approval["reason"] == f"rollout.approval: auto in {CONFIG}", approval
    assert approval["signature"]["key"] == promotion["signature"]["key"], (approval, promotion)
    s = until(ended, 240)
    assert s["alerts"][-1]["kind"] == "committed", (s["alerts"], journal())
    assert s["production"]["version"] == 2 and s["production"]["promotion"] == promotion["id"], s["production"]
    new, = [change["to"] for change in promotion["changes"]]
    assert running() == {**OLD, "vllm_memory_util": new}, (running(), new)
    assert s["waiting"] == [] and good("lineage", "verify", "-c", CONFIG)
    shown = good("promotion", "show", promotion["id"], "-c", CONFIG).out
    assert "policy" in shown and "committed" in shown, shown


def what_nobody_measured_waits_for_a_person():
    promotion = new_promotion("vllm_memory_util=0.50")
    configure(soak="0 s", gain="0")
    reload()
    s = status()
    w, = s["waiting"]
    assert w["id"] == promotion and w["decision"] is None and s["rollout"] is None, s
    assert w["policy"] == "it carries no measured gain: a person must approve it", w
    assert len(records("approval")) == 1 and s["production"]["version"] == 2, s["production"]


if __name__ == "__main__":
    run_cases([the_daemon_searches_and_proposes_what_it_found, what_gains_less_than_policy_asks_waits_for_a_person,
               a_parameter_that_policy_does_not_name_waits_for_a_person, outside_of_the_window_it_waits,
               where_approval_is_a_persons_policy_says_nothing, after_its_soak_it_is_approved_by_policy_and_rolled_out,
               what_nobody_measured_waits_for_a_person])
