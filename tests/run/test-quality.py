#!/usr/bin/python3
"""Faster must not be bought with worse answers: what changes a model's words wins only when they are measured, word
errors are compared clip by clip, secrets of the configuration are in no record, and a trial that is void is measured
again after a pause."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, run_cases

# A candidate with "fast" true is twice as fast. The clips that a trial heard wrong are those of $CLIPS for it.
EVALUATOR = r'''
import json, os, random, sys
rq = json.loads(sys.stdin.readline())
fast = rq["params"].get("fast") in (True, "fp8")
rng = random.Random(rq["seed"])
metrics = {"llm_latency_ms": {"value": (200 if fast else 400) * rng.uniform(0.99, 1.01), "unit": "ms", "n": 100, "se": 2.0}}
if "quality" in os.environ:
    metrics["llm_quality_pct"] = {"value": float(os.environ["quality"]) + rng.uniform(-0.2, 0.2), "unit": "%", "n": 100}
evidence = {}
if "worse" in os.environ:
    wrong = int(os.environ["worse"]) if fast else 4
    clips = {f"clip-{i:03}.wav": [1 if i < wrong else 0, 10] for i in range(80)}
    if "turns" in os.environ:  # not every clip is sent in every trial
        for name in rng.sample(sorted(clips), 30):
            del clips[name]
    if "edited" in os.environ and fast:
        clips["clip-000.wav"][1] = 11
    evidence["wer"] = {"normaliser": "plain", "clips": clips}
print(json.dumps({"status": "ok", "metrics": metrics, "evidence": evidence}))
'''


def config(values, setting, env, extra=""):
    return f'''
run: {{seed: 4}}
experiments:
  - name: words
    search_space: {{fast: {values}}}
    baseline: {{fast: {json.loads(values)[0] if values.startswith('["') else "false"}}}
    evaluator: {{kind: command, command: [python3, evaluator.py], applies: true, env: {json.dumps(env)}}}
    services:
      llm: {{kind: vllm, env: {{API_KEY: swordfish-in-a-service}}, settings: {{model: m}}, params: {{fast: {setting}}}}}
      env:
        kind: process
        command: [server, --api-key, swordfish-behind-a-flag, --hf-token=swordfish-in-a-flag, --max-tokens, "7"]
        url: "http://me:swordfish-in-a-url@127.0.0.1:8000"
    objectives:
      llm_latency_ms: {{goal: minimize, weight: 1, worst: 1000, tolerance: 0.1}}
{extra}
    budget: {{max_candidates: 2, max_generations: 1, trial_timeout_sec: 60, allow_gpu: false}}
    selector: {{kind: grid}}
    confirm: {{pairs: 5, min_pairs: 5, finalists: 1, ablation: false%s}}
'''


def box(values='[false, true]', setting="enforce_eager", env=None, extra="", confirm=""):
    made = Box(config(values, setting, env or {}, extra) % confirm)
    with open(os.path.join(made.dir, "evaluator.py"), "w") as f:
        f.write(EVALUATOR)
    return made


CACHE = '["auto", "fp8"]'


def what_changes_the_answers_cannot_win_unmeasured():
    with box(CACHE, "kv_cache_dtype") as b:
        check = b.dream("check", b.config)
        assert check.code == 0 and "fast changes what the model says" in check.out + check.err, check
        done = b.run()
        assert done.code == 3, done
        assert "left out: fast changes what the model says" in done.out, done
        assert "no winner: what looked better in the search changes what the model says (fast)" in done.out, done


def nor_under_another_name_for_the_same_setting():
    with box(CACHE, "fast}, places: {fast: {flag: --kv-cache-dtype}") as b:
        done = b.run()
        assert done.code == 3 and "left out: fast changes what the model says" in done.out, done


def the_same_wins_when_its_answers_are_measured_and_good():
    with box(CACHE, "kv_cache_dtype", {"quality": "80"}, "    constraints: {llm_quality_pct: {min: 75}}") as b:
        done = b.run()
        assert done.code == 0, done


def and_does_not_when_they_are_bad_or_missing():
    for env in ({"quality": "60"}, {}):
        with box(CACHE, "kv_cache_dtype", env, "    constraints: {llm_quality_pct: {min: 75}}") as b:
            done = b.run()
            assert done.code == 3, (env, done)


def what_leaves_the_answers_alone_needs_no_such_measure():
    with box() as b:
        done = b.run()
        assert done.code == 0, done
        assert "left out" not in done.out, done


def a_faster_candidate_that_hears_worse_does_not_win():
    with box(env={"worse": "20"}, confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 3, done
        assert "word errors +2.00 points on the same 80 clips" in done.out, done
        assert "not within the margin of 1.00" in done.out, done


def one_that_hears_the_same_does():
    with box(env={"worse": "4"}, confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 0, done
        assert "within the margin of 1.00" in done.out, done


def clips_that_not_every_trial_heard_are_compared_all_the_same():
    with box(env={"worse": "4", "turns": "1"}, confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 0, done
        assert "same 80 clips" in done.out and "within the margin of 1.00" in done.out, done
    with box(env={"worse": "30", "turns": "1"}, confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 3 and "not within the margin of 1.00" in done.out, done


def a_clip_whose_transcript_was_edited_meanwhile_is_left_out():
    with box(env={"worse": "4", "edited": "1"}, confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 0, done
        assert "on the same 79 clips" in done.out, done


def without_clips_nothing_is_known_of_the_words():
    with box(confirm=", wer_margin: 1") as b:
        done = b.run()
        assert done.code == 3, done
        assert "no clips with transcripts in common" in done.out, done


def secrets_of_environments_are_in_no_record():
    with box(env={"TOKEN": "swordfish-in-the-evaluator"}) as b:
        assert b.run().code == 0
        for folder, _, names in os.walk(b.dir):
            for name in names:
                path = os.path.join(folder, name)
                if path != b.config and os.path.isfile(path):
                    with open(path, "rb") as f:
                        assert b"swordfish" not in f.read(), path
        kept = [json.loads(line) for line in b.dream("lineage", "export", "-c", b.config, "-").out.splitlines()]
        source = next(r for r in map(str, kept) if "dream.evolution/v1" in r)
        assert "API_KEY" in source and "--max-tokens" in source and "--hf-token" not in source, source


NOT_NOW = r'''
import json, sys
sys.stdin.readline()
print(json.dumps({"status": "contended", "cause": "quiesce", "reason": "outside the window 03:00-07:00"}))
'''


def when_production_cannot_make_room_the_rest_carries_over():
    with box() as b:
        with open(os.path.join(b.dir, "evaluator.py"), "w") as f:
            f.write(NOT_NOW)
        done = b.run()
        assert "not now, the rest carries over: outside the window" in done.out, done
        statuses = [t[7] for t in b.trials()]
        assert statuses == ["contended"], statuses
        with open(os.path.join(b.dir, "evaluator.py"), "w") as f:
            f.write(EVALUATOR)
        again = b.run()
        assert again.code == 0, again


# A start says what its share of 12 GiB leaves for the cache; below 5.5 GiB nothing.
STARTS = r'''
import json, os, sys
rq = json.loads(sys.stdin.readline())
u = rq["params"]["u"]
kv = u * 12 - 5.5
start = {"kv_gib": round(kv, 2), "kv_tokens": int(kv * 2**30 / 57344 / 16) * 16} if kv > 0 else {"no_kv": True}
start.update(total_bytes=12 << 30, block_size=16)
if os.path.exists("taciturn"):
    start = {}
report = {"status": "ok", "metrics": {"llm_latency_ms": {"value": 400 - 100 * u, "unit": "ms", "n": 100, "se": 1.0}}}
if kv <= 0:
    report = {"status": "start_failed", "cause": "kv_cache", "reason": "no KV cache"}
report["evidence"] = {"services": {"llm": {"memory": start}}}
print(json.dumps(report))
'''
LEARNING = """
run: {seed: 4}
experiments:
  - name: learning
    search_space: {u: [0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}
    evaluator: {kind: command, command: [python3, evaluator.py], applies: true}
    services:
      llm: {kind: vllm, settings: {model: m, max_model_len: 2048}, params: {u: gpu_memory_utilization}}
    objectives:
      llm_latency_ms: {goal: minimize, weight: 1, worst: 1000, tolerance: 0.1}
    budget: {max_candidates: 4, max_generations: 5, trial_timeout_sec: 60, allow_gpu: false}
    selector: {kind: random}
"""


def learning():
    made = Box(LEARNING)
    with open(os.path.join(made.dir, "evaluator.py"), "w") as f:
        f.write(STARTS)
    return made


def asked(b):
    return [t for t in b.trials() if t[1] == "search"]


def stop_after(b, trials):
    """A run of whose search so many trials are there then ends: the card fails once."""
    with open(os.path.join(b.dir, "evaluator.py"), "w") as f:
        f.write(f"import os\nn = len(os.listdir('seen'))\n"
                f"if n == {trials} and not os.path.exists('failed-{trials}'):\n"
                f"    open('failed-{trials}', 'w')\n    print('{{\"status\": \"hardware_fault\"}}')\n    raise SystemExit\n"
                f"if n < {trials}: open(f'seen/{{n}}', 'w')\n" + STARTS)


def taciturn(b, yes):
    """Whether starts teach anything."""
    path = os.path.join(b.dir, "taciturn")
    if yes:
        open(path, "w").close()
    elif os.path.exists(path):
        os.unlink(path)


def interrupted_with_evaluations(stops, silent):
    with learning() as b:
        os.mkdir(os.path.join(b.dir, "seen"))
        for stop in stops:
            stop_after(b, stop)
            taciturn(b, silent)
            assert b.run().code == 1
            taciturn(b, False)
            for u in (0.9, 0.6):
                assert "kept as trial" in b.dream("eval", "-c", b.config, "--store", f"u={u}").out
        taciturn(b, silent)
        done = b.run()
        assert done.code == 3, done
        assert "not what the same search would ask" not in done.out, done
        return asked(b)


def what_starts_taught_is_known_again_after_an_interruption_and_nothing_more():
    for silent in (False, True):
        with learning() as whole:
            taciturn(whole, silent)
            assert whole.run().code == 3
            want = asked(whole)
        assert (len(want) == 10) == silent, want
        for stop in (1, 3):
            got = interrupted_with_evaluations([stop, stop + 1], silent)
            assert got == want, (silent, stop, got, want)


run_cases([
    what_changes_the_answers_cannot_win_unmeasured,
    nor_under_another_name_for_the_same_setting,
    the_same_wins_when_its_answers_are_measured_and_good,
    and_does_not_when_they_are_bad_or_missing,
    what_leaves_the_answers_alone_needs_no_such_measure,
    a_faster_candidate_that_hears_worse_does_not_win,
    one_that_hears_the_same_does,
    clips_that_not_every_trial_heard_are_compared_all_the_same,
    a_clip_whose_transcript_was_edited_meanwhile_is_left_out,
    without_clips_nothing_is_known_of_the_words,
    secrets_of_environments_are_in_no_record,
    what_starts_taught_is_known_again_after_an_interruption_and_nothing_more,
    when_production_cannot_make_room_the_rest_carries_over,
])
