#!/usr/bin/python3
"""The whole program: `dream run` on the twin, from a configuration to a promotion."""
import glob
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tap import Box, ROOT, example, run_cases, with_scenario

SMALL = example("rtx3060.yaml")
LARGE = example("rtx4090.yaml")


def the_example_runs_to_a_promotion():
    with Box(SMALL) as box:
        done = box.run()
        assert done.code == 0, done
        promotions = glob.glob(box.artifacts() + "/promotions/*.yaml")
        names = sorted(os.path.basename(p) for p in promotions)
        assert len(names) == 2, names
        assert re.fullmatch(r"gpu_allocation_\d{8}_\d{6}\.yaml", names[0]), names
        assert re.fullmatch(r"spica_gpu_allocation_\d{8}_\d{6}\.yaml", names[1]), names
        winner = json.load(open(box.artifacts() + "/winners/spica_gpu_allocation.json"))
        assert winner["best_params"]["vllm_memory_util"] >= 0.5, winner
        assert 0 < winner["best_metrics"]["fitness"] <= 1, winner
        epoch = box.artifacts() + "/spica_gpu_allocation/epoch_0001/"
        assert json.load(open(epoch + "manifest.json"))["epoch"] == 1
        lines = [json.loads(line) for line in open(epoch + "metrics.jsonl")]
        assert any(t["params"]["vllm_memory_util"] == 0.4 and t["measurement"]["status"] == "infeasible" for t in lines)
        assert not any(t["params"]["vllm_memory_util"] < 0.5 and t["measurement"]["status"] != "infeasible" for t in lines)
        box.verify()


def what_cannot_start_costs_no_trial_and_the_reason_is_said_in_numbers():
    with Box(SMALL) as box:
        done = box.run()
        assert "6 of 15 candidates cannot start" in done.out, done
        assert "no KV cache" in done.out and "0.478" in done.out, done


def the_same_seed_gives_the_same_trials_and_another_seed_others():
    with Box(SMALL) as a, Box(SMALL) as b, Box(SMALL) as c:
        assert a.run("--seed", "5").code == b.run("--seed", "5").code
        c.run("--seed", "6")
        assert a.trials() == b.trials()
        assert a.trials() != c.trials()


def a_second_run_does_not_measure_again_and_does_not_propose_twice():
    with Box(SMALL) as box:
        assert box.run().code == 0
        before = box.trials()
        done = box.run()
        assert done.code == 0, done
        assert "already proposed" in done.out, done
        again = [t for t in box.trials() if t[1] in ("search", "confirm")]
        assert again == [t for t in before if t[1] in ("search", "confirm")]
        assert len(box.json("promotions", "-c", box.config, "--json")["promotions"]) == 1


def nothing_is_measured_twice_without_a_reason():
    with Box(LARGE) as box:
        box.run()
        seen = set()
        for t in box.trials():
            if t[1] == "search" and t[4] != "elite":  # the elite is measured again on purpose, under noise
                assert t[5] not in seen, t
                seen.add(t[5])


def an_interrupt_ends_with_4_and_the_same_command_goes_on():
    with Box(LARGE) as whole, Box(LARGE) as box:
        whole.run()
        p = box.start("run", "-c", box.config)
        for line in p.stdout:
            if b"ok" in line:
                break
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=200)
        assert p.returncode == 4, (p.returncode, out, err)
        box.verify()
        box.run()
        assert box.trials() == whole.trials()
        assert box.result() == whole.result()


def the_second_runner_of_an_experiment_is_told_who_holds_it():
    with Box(SMALL) as box:
        p = box.start("run", "-c", box.config, "--cycles", "0", "--sleep-between-cycles", "60 s")
        try:
            for line in p.stdout:
                if b"epoch 1" in line:
                    break
            done = box.run()
            assert done.code == 1, done
            assert "already being run" in done.err and str(p.pid) in done.err, done
        finally:
            p.terminate()
            p.communicate(timeout=200)


def different_experiments_in_one_store_run_side_by_side():
    two = SMALL.replace("name: spica_gpu_allocation", "name: other_allocation")
    with Box(SMALL) as box:
        other = os.path.join(box.dir, "other.yaml")
        with open(other, "w") as f:
            f.write(two)
        a = box.start("run", "-c", box.config)
        b = box.start("run", "-c", other)
        a.communicate(timeout=300)
        b.communicate(timeout=300)
        assert a.returncode == 0 and b.returncode == 0
        rows = box.trials()
        assert {t[0] for t in rows} == {"spica_gpu_allocation", "other_allocation"}
        box.verify()


def two_experiments_at_once_never_measure_on_one_gpu_at_the_same_time():
    probe = os.path.join(ROOT, "tests/run/probe.sh")
    one = """
  - name: %s
    search_space: {a: [1, 2, 3]}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, %s], applies: true}
    budget: {allow_gpu: true, max_candidates: 3, max_generations: 1}
    gpu: GPU-test-one
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 2, min_pairs: 2}
"""
    config = "version: 1\nexperiments:" + one % ("first", probe) + one % ("second", probe)
    with Box(config) as box:
        spans = os.path.join(box.dir, "spans")
        done = box.run("--max-parallel", "2", env=box.env(SPANS=spans))
        assert done.code in (0, 3), done
        times = sorted(tuple(map(int, line.split())) for line in open(spans))
        assert len(times) >= 6, times
        for (_, end), (begin, _) in zip(times, times[1:]):
            assert begin >= end, times


def an_evaluator_that_never_answers_sensibly_ends_the_epoch_and_not_the_program():
    config = """
version: 1
experiments:
  - name: broken
    search_space: {a: {min: 1, max: 50}}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, -c, "echo nonsense"], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
"""
    with Box(config) as box:
        done = box.run()
        assert done.code == 3, done
        assert "no believable result" in done.out, done
        assert len([t for t in box.trials() if t[1] == "search"]) == 4


def a_baseline_is_needed_for_a_promotion_and_its_absence_is_said():
    config = re.sub(r"\n    baseline:[^\n]*\n(?: {6,}[^\n]*\n)*", "\n", SMALL)
    assert config != SMALL
    with Box(config) as box:
        done = box.run()
        assert done.code == 3, done
        assert "baseline" in done.out, done


def an_observed_result_is_never_promoted():
    config = """
version: 1
experiments:
  - name: watched
    search_space: {a: [1, 2, 3, 4]}
    baseline: {a: 4}
    evaluator: {kind: command, command: [sh, %s]}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
""" % os.path.join(ROOT, "tests/run/probe.sh")
    with Box(config) as box:
        done = box.run(env=box.env(SPANS="/dev/null"))
        assert done.code == 3, done
        assert "applies: true" in done.out, done


def equal_results_never_make_a_winner():
    config = """
version: 1
experiments:
  - name: flat
    search_space: {a: {min: 1, max: 40}}
    baseline: {a: 4}
    evaluator: {kind: command, command: [sh, -c, 'cat >/dev/null; echo "{\\"status\\": \\"ok\\", \\"metrics\\": {\\"latency_ms\\": 20}}"'], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
"""
    with Box(config) as box:
        done = box.run()
        assert done.code == 3, done
        params = [t[5] for t in box.trials() if t[1] == "search"]
        assert len(params) == len(set(params)), params


def the_three_scenarios_find_different_winners_on_one_box():
    winners = {}
    for scenario in ("latency", "capacity", "quality"):
        with Box(LARGE) as box:
            with open(box.config, "w") as f:
                f.write(with_scenario(LARGE, scenario))
            done = box.run("--stage", "colocated")
            assert done.code == 0, (scenario, done)
            winners[scenario] = json.dumps(list(box.result().values())[0][0], sort_keys=True)
    assert len(set(winners.values())) == 3, winners


def what_only_the_confirmation_can_see_stops_a_candidate_and_the_next_epoch_tries_others():
    """The large box hides a tenant that needs memory only when everything runs: at a share of 0.80 nothing is left for
    it. Here every candidate but the baseline has that share."""
    space = ("search_space: {gpu_memory_utilization: [0.60, 0.80], max_num_seqs: [64], max_num_batched_tokens: [2048],\n"
             "                   kv_cache_dtype: [auto], whisper_model_size: [tiny, small], beam_size: [1, 5]}\n")
    forbid = ("    safety:\n      forbid:\n"
              "        - {gpu_memory_utilization: 0.60, beam_size: 1}\n"
              "        - {gpu_memory_utilization: 0.60, whisper_model_size: tiny}")
    config = re.sub(r"search_space:\n(?:      [^\n]*\n)+", space, with_scenario(LARGE, "capacity"), count=1)
    with Box(config.replace("    safety:", forbid, 1)) as box:
        first = box.run("--stage", "isolated")
        confirm = [t for t in box.trials() if t[1] == "confirm" and t[4] == "candidate"]
        failed = {t[5] for t in confirm if t[7] == "oom"}
        assert first.code == 3 and failed, (first, confirm)
        assert all(t[7] == "ok" for t in box.trials() if t[1] == "search" and t[5] in failed)
        box.run("--stage", "isolated")
        again = {t[5] for t in box.trials() if t[1] == "confirm" and t[4] == "candidate" and t[2] == 2}
        assert not failed & again, (failed, again)


def a_confirmation_that_is_configured_otherwise_after_a_kill_mixes_up_nothing():
    config = """
version: 1
experiments:
  - name: two
    search_space: {a: [1, 2, 3], b: [1, 2]}
    baseline: {a: 3, b: 2}
    evaluator: {kind: command, command: [sh, %s], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    selector: {noise: 0}
    confirm: {pairs: 4, min_pairs: 2}
""" % os.path.join(ROOT, "tests/run/probe.sh")
    with Box(config) as box:
        spans = os.path.join(box.dir, "spans")
        p = box.start("run", "-c", box.config, env=box.env(SPANS=spans))
        while p.poll() is None and (not os.path.exists(spans) or len(open(spans).readlines()) < 12):
            time.sleep(0.01)  # all 6 candidates, and the first of the confirmation
        p.kill()
        p.communicate()
        with open(box.config, "w") as f:
            f.write(config.replace("{pairs: 4, min_pairs: 2}", "{pairs: 3, min_pairs: 2, ablation: false}"))
        done = box.run(env=box.env(SPANS=spans))
        assert done.code == 0, done
        promotion = box.json("promotions", "-c", box.config, "--json")["promotions"][0]
        trials = {t["seq"]: t for t in box.json("trials", "-c", box.config, "--json")["trials"]}
        blocks = {}
        for seq in promotion["lineage"]["confirming_trials"]:
            t = trials[seq]
            side = "winner" if t["confirm"]["role"] == "candidate" else t["confirm"]["role"]
            assert t["params"] == promotion[side]["params"], t
            blocks.setdefault((t["confirm"]["block"], t["workload"]), []).append(side)
        assert len(blocks) == 6 and all(sorted(b) == ["baseline", "winner"] for b in blocks.values()), blocks


def a_kill_after_the_verdict_leaves_only_the_end_of_the_epoch_to_do():
    """The records after the verdict are taken away, as if they had never been written."""
    with Box(SMALL) as box:
        assert box.run().code == 0
        before = box.trials()
        db = sqlite3.connect(box.store)
        verdict = db.execute("SELECT max(seq) FROM record WHERE kind = 'verdict'").fetchone()[0]
        assert db.execute("DELETE FROM record WHERE seq > ?", (verdict,)).rowcount >= 1
        db.commit()
        db.close()
        shutil.rmtree(box.artifacts() + "/spica_gpu_allocation")
        done = box.run()
        assert done.code == 0, done
        assert "had its verdict" in done.out and box.trials() == before, done
        manifest = json.load(open(box.artifacts() + "/spica_gpu_allocation/epoch_0001/manifest.json"))
        assert manifest["trials"] == len([t for t in before if t[1] != "predict"]), manifest
        assert "epoch 2" in box.run().out
        box.verify()


def the_memory_model_does_not_keep_a_baseline_that_runs_from_being_confirmed_against():
    script = r"""#!/bin/sh
request=$(cat)
case "$request" in *'"a": 0.4'*) ms=90 ;; *) ms=20 ;; esac
noise=$(printf '%s' "$request" | sed -n 's/.*"seed": *[0-9]*\([0-9]\)[^0-9].*/\1/p')
echo "{\"status\": \"ok\", \"metrics\": {\"latency_ms\": $ms.${noise:-0}}}"
"""
    config = """
version: 1
experiments:
  - name: wrong_facts
    search_space: {a: [0.4, 0.8]}
    baseline: {a: 0.4}
    evaluator: {kind: command, command: [sh, ./ms.sh], applies: true}
    services: {llm: {kind: vllm, settings: {model: m, max_model_len: 1024}, params: {a: gpu_memory_utilization}}}
    memory:
      total_bytes: 10 GiB
      context_bytes: 0
      vllm: [{model: m, max_model_len: 1024, non_kv_bytes: 5 GiB, token_bytes: 1024}]
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 2, min_pairs: 2, finalists: 1}
"""
    with Box(config) as box:
        with open(os.path.join(box.dir, "ms.sh"), "w") as f:
            f.write(script)
        done = box.run()
        assert "1 of 2 candidates cannot start" in done.out, done
        assert done.code == 0, done
        assert all(t[7] == "ok" for t in box.trials() if t[1] == "confirm"), box.trials()


def a_hardware_fault_stops_the_run_blames_nobody_and_is_kept():
    config = """
version: 1
experiments:
  - name: broken_card
    search_space: {a: [1, 2]}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, -c, 'cat > /dev/null; echo "{\\"status\\": \\"hardware_fault\\", \\"reason\\": \\"Xid 79\\"}"'], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
"""
    with Box(config) as box:
        done = box.run()
        assert done.code == 1 and "Xid 79" in done.err, done
        assert [(t[1], t[7]) for t in box.trials()] == [("void", "hardware_fault")], box.trials()


def what_the_evaluator_s_environment_holds_is_in_no_file():
    config = """
version: 1
experiments:
  - name: secret
    search_space: {a: [1, 2]}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, %s], applies: true, env: {TOKEN: hush-hush-hush}}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
    confirm: {pairs: 2, min_pairs: 2}
""" % os.path.join(ROOT, "tests/run/probe.sh")
    with Box(config) as box:
        box.run("--log-json", env=box.env(SPANS="/dev/null"))
        assert os.path.exists(box.store)
        for folder, _, names in os.walk(box.dir):
            for name in names:
                path = os.path.join(folder, name)
                assert path == box.config or b"hush-hush-hush" not in open(path, "rb").read(), path


def a_baseline_that_does_not_run_is_said_with_its_reason():
    config = """
version: 1
experiments:
  - name: dead
    search_space: {a: [1, 2]}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, -c, 'cat > /dev/null; echo "{\\"status\\": \\"crashed\\", \\"reason\\": \\"it fell over\\"}"'], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
"""
    with Box(config) as box:
        done = box.run()
        assert done.code == 3 and "it ended crashed: it fell over" in done.out, done


def a_list_of_trials_that_differs_from_the_records_is_found_and_made_again():
    with Box(SMALL) as box:
        assert box.run().code == 0
        db = sqlite3.connect(box.store)
        db.execute("UPDATE trial SET fitness = 0.99 WHERE seq = (SELECT max(seq) FROM trial)")
        db.commit()
        db.close()
        done = box.dream("lineage", "verify", "-c", box.config)
        assert done.code == 1 and "fitness" in done.err, done
        assert box.dream("lineage", "rebuild", "-c", box.config).code == 0
        box.verify()


def an_edited_box_is_measured_anew():
    with Box(SMALL) as box:
        mine = os.path.join(box.dir, "box.yaml")
        with open(os.path.join(ROOT, "boxes/rtx3060.yaml")) as f:
            text = f.read()
        with open(mine, "w") as f:
            f.write(text)
        with open(box.config, "w") as f:
            f.write(SMALL.replace(os.path.join(ROOT, "boxes/rtx3060.yaml"), mine))
        assert box.run().code == 0
        with open(mine, "a") as f:
            f.write("# another day, another card\n")
        box.run()
        searched = [t for t in box.trials() if t[1] == "search"]
        assert {t[2] for t in searched} == {1, 2} and len(searched) == 18, searched


def a_dry_run_touches_nothing():
    with Box(SMALL) as box:
        done = box.run("--dry-run")
        assert done.code == 0, done
        assert "15 candidates" in done.out, done
        assert not os.path.exists(os.path.join(box.dir, "state"))


def the_log_has_the_same_events_as_json():
    with Box(SMALL) as box:
        logs = os.path.join(box.dir, "logs")
        assert box.run("--logdir", logs, "--log-json").code == 0
        events = [json.loads(line) for line in open(logs + "/runner.log")]
        assert {"epoch.begin", "trial.done", "promotion", "epoch.end"} <= {e["event"] for e in events}


def a_read_only_state_folder_is_one_clear_sentence():
    if os.geteuid() == 0:
        mount = subprocess.run(["unshare", "-m", "true"], capture_output=True)
        if mount.returncode != 0:
            return "root ignores modes and no mount namespace is allowed here"
        with Box(SMALL) as box:
            os.makedirs(os.path.join(box.dir, "state"))
            script = 'mount -t tmpfs -o ro,size=64k tmpfs "$1" && shift && exec "$@"'
            from tap import DREAM
            p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", box.dir + "/state", DREAM, "run", "-c",
                                box.config], env=box.env(), capture_output=True, text=True, timeout=60)
            assert p.returncode == 1, p
            assert "ead-only" in p.stderr and p.stderr.count("\n") == 1, p.stderr
        return None
    with Box(SMALL) as box:
        os.makedirs(os.path.join(box.dir, "state"), mode=0o500)
        done = box.run()
        assert done.code == 1 and done.err.count("\n") == 1, done


def a_full_disk_is_one_clear_sentence_and_loses_nothing():
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "needs root and a mount namespace for a small file system"
    from tap import DREAM
    with Box(SMALL) as whole, Box(SMALL) as box:
        whole.run()
        os.makedirs(os.path.join(box.dir, "state"))
        # A file system of 260 KiB fills up in the middle of the run; then it grows, and the same command goes on.
        script = ('mount -t tmpfs -o size=260k tmpfs "$1"; "$2" run -c "$3"; a=$?; mount -o remount,size=64m "$1"; '
                  '"$2" run -c "$3"; b=$?; "$2" lineage verify -c "$3" || b=99; '
                  '"$2" trials -c "$3" --json > "$4"; echo "$a $b" >&2')
        out = os.path.join(box.dir, "trials.json")
        p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", box.dir + "/state", DREAM, box.config, out],
                           env=box.env(), capture_output=True, text=True, timeout=120)
        first, second = p.stderr.strip().splitlines()[-1].split()
        assert first == "1", p
        assert "the disk is full" in p.stderr, p.stderr
        assert second == "0", p
        rows = json.load(open(out))["trials"]
        mine = [(t["purpose"], t["ask"], json.dumps(t["params"], sort_keys=True), t["fitness"]) for t in rows]
        theirs = [(t[1], t[3], t[5], t[8]) for t in whole.trials()]
        assert mine == theirs


def a_program_that_is_killed_while_it_waits_leaves_no_process_behind():
    config = """
version: 1
experiments:
  - name: sleeper
    search_space: {a: [1, 2]}
    baseline: {a: 1}
    evaluator: {kind: command, command: [sh, -c, "sleep 300 & echo $! >> $PIDS; wait"], applies: true}
    objectives: {latency_ms: {goal: minimize, worst: 100, best: 0, weight: 1}}
"""
    with Box(config) as box:
        pids = os.path.join(box.dir, "pids")
        p = box.start("run", "-c", box.config, env=box.env(PIDS=pids))
        deadline = time.monotonic() + 100
        while not (os.path.exists(pids) and open(pids).read().strip()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        p.kill()
        p.communicate(timeout=100)
        child = int(open(pids).read().split()[0])
        while os.path.exists(f"/proc/{child}"):
            state = open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()[0]
            if state == "Z":
                break
            assert time.monotonic() < deadline, "the evaluator's child survived us"
            time.sleep(0.02)


run_cases([f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__"])
