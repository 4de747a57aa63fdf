#!/usr/bin/python3
"""The verbs on what one run of the example left behind: their tables, their JSON, their files."""
import json
import math
import os
import pathlib
import re
import shutil
import subprocess

from tap import DREAM, SOURCE, Home, golden, run_cases

CONFIG = SOURCE / "examples" / "rtx3060.yaml"
HOME = Home()


def run_the_example():
    done = HOME.dream("run", "-c", CONFIG, "--seed", "7")
    assert done.code in (0, 3), done


def the_example_runs():
    run_the_example()


def keys(value, *names):
    assert set(value) == set(names), f"documented: {sorted(names)}, printed: {sorted(value)}"


# The members that docs/json.md documents; a change here is a change of what other programs rely on.
TRIAL = ("schema seq at experiment purpose epoch evolution ask generation origin spica_id config_hash params parents "
         "mutations stage evaluator workload all_services confirm fitness fitness_se feasible measurement").split()
CANDIDATE = ("params config_hash verdict cause reason kv_bytes kv_tokens kv_concurrency min_share used_bytes").split()


def trials_print_what_is_documented():
    body = HOME.json("trials", "-c", CONFIG)
    keys(body, "schema", "trials")
    assert body["schema"] == "dream.trials/v1" and len(body["trials"]) > 10
    for trial in body["trials"]:
        keys(trial, *TRIAL)
        assert trial["schema"] == "dream.trial/v1"
        assert re.fullmatch(r"spica-gpu-[0-9a-f]{8}", trial["spica_id"])


def the_best_trials_come_best_first_and_are_feasible():
    best = HOME.json("trials", "-c", CONFIG, "--best", "3")["trials"]
    everything = HOME.json("trials", "-c", CONFIG)["trials"]
    assert len(best) == 3
    fitness = [t["fitness"] for t in best]
    assert fitness == sorted(fitness, reverse=True) and all(t["feasible"] for t in best), fitness
    assert fitness[0] == max(t["fitness"] for t in everything if t["feasible"])


def trials_can_be_filtered():
    everything = HOME.json("trials", "-c", CONFIG)["trials"]
    for purpose in ["search", "confirm"]:
        some = HOME.json("trials", "-c", CONFIG, "--purpose", purpose)["trials"]
        assert some == [t for t in everything if t["purpose"] == purpose] and some, purpose
    dead = HOME.json("trials", "-c", CONFIG, "--outcome", "infeasible")["trials"]
    assert dead == [t for t in everything if t["measurement"]["status"] == "infeasible"] and len(dead) == 6
    assert len(HOME.json("trials", "-c", CONFIG, "--limit", "2")["trials"]) == 2
    assert HOME.json("trials", "-c", CONFIG, "-e", "no_such_experiment")["trials"] == []


def a_trial_is_found_by_number_and_by_name():
    trial = HOME.json("trials", "-c", CONFIG, "--best", "1")["trials"][0]
    assert HOME.json("show", "-c", CONFIG, trial["seq"]) == trial
    named = HOME.json("show", "-c", CONFIG, trial["spica_id"])
    assert named["spica_id"] == trial["spica_id"]
    text = HOME.dream("show", "-c", CONFIG, trial["seq"]).out
    for word in [trial["spica_id"], trial["config_hash"], "llm_latency_ms", "wer_pct"]:
        assert word in text, text
    assert HOME.dream("show", "-c", CONFIG, "999999").code == 1


def predict_gives_the_numbers_of_the_real_card():
    # facts of the server's own logs: at 0.50 it had 6,976 tokens and 3.41x at 2,048, below that it did not start
    body = HOME.json("predict", CONFIG)
    keys(body, "schema", "experiment", "learned", "points", "allowed", "fits", "infeasible", "unknown", "candidates")
    assert (body["points"], body["fits"], body["infeasible"], body["unknown"]) == (15, 9, 6, 0)
    for c in body["candidates"]:
        keys(c, *CANDIDATE)
        share = c["params"]["vllm_memory_util"]
        assert c["verdict"] == ("infeasible" if share < 0.5 else "fits"), c
        if share == 0.5:
            assert c["kv_tokens"] == 6976 and math.floor(c["kv_concurrency"] * 100) / 100 in (3.40, 3.41), c


def predict_prints_the_table_and_the_reasons():
    golden("predict-rtx3060.txt", HOME.dream("predict", CONFIG).out)


def predict_shows_only_what_was_asked_for():
    body = HOME.json("predict", CONFIG, "whisper_model_size=tiny", "vllm_memory_util=0.50")
    assert [c["params"] for c in body["candidates"]] == [{"vllm_memory_util": 0.5, "whisper_model_size": "tiny"}]
    assert len(HOME.json("predict", CONFIG, "--only", "infeasible")["candidates"]) == 6
    done = HOME.dream("predict", CONFIG, "vllm_memory_util=0.99")
    assert done.code == 2 and "no candidate of spica_gpu_allocation has that value of vllm_memory_util" in done.err


# What the server prints, with the numbers of the real card.
START = """INFO 10-28 21:14:02 [api_server.py:1839] vLLM API server version 0.11.0
INFO 10-28 21:14:02 [utils.py:233] non-default args: {'model': 'Qwen2.5-7B-Instruct-AWQ', 'max_model_len': 2048, \
'enforce_eager': True, 'gpu_memory_utilization': %s}
INFO 10-28 21:14:40 [gpu_worker.py:298] Available KV cache memory: %s GiB
INFO 10-28 21:14:40 [kv_cache_utils.py:1087] GPU KV cache size: %s tokens
INFO 10-28 21:14:40 [kv_cache_utils.py:1091] Maximum concurrency for 2,048 tokens per request: %sx
"""


def without_facts():
    """The example with no declared facts about vLLM."""
    text = CONFIG.read_text().replace("../boxes", str(SOURCE / "boxes"))
    text, n = re.subn(r"      vllm:\n(?:        .*\n)+", "", text)
    assert n == 1
    (HOME.path / "nofacts.yaml").write_text(text)
    return "nofacts.yaml"


def verdicts(*args):
    body = HOME.json("predict", without_facts(), *args)
    return body, {c["params"]["vllm_memory_util"]: (c["verdict"], c["kv_tokens"]) for c in body["candidates"]}


def one_start_up_log_is_enough_to_call_40_and_45_percent_dead():
    (HOME.path / "050.log").write_text(START % ("0.5", "0.37", "6,976", "3.41"))
    assert {v for v, _ in verdicts()[1].values()} == {"unknown, try it"}
    body, found = verdicts("--from-log", "050.log", "--token-bytes", "57344")
    assert found[0.4][0] == found[0.45][0] == "infeasible" and found[0.5] == ("fits", 6976), found
    keys(body["learned"], *("source version model kv_cache_dtype max_model_len max_num_seqs max_num_batched_tokens "
                            "enforce_eager non_kv_bytes token_bytes block_size").split())
    done = HOME.dream("predict", "nofacts.yaml", "--from-log", "050.log")
    assert done.code == 1 and "second start" in done.err, done


def two_start_up_logs_need_no_declared_bytes_of_a_token():
    (HOME.path / "060.log").write_text(START % ("0.6", "1.55", "28,976", "14.15"))
    body, found = verdicts("--from-log", "050.log", "--from-log", "060.log")
    assert body["learned"]["token_bytes"] == 57344 and found[0.5] == ("fits", 6976), body["learned"]
    assert found[0.4][0] == found[0.45][0] == "infeasible", found


def what_was_learned_is_printed_as_it_is_declared():
    text = HOME.dream("predict", without_facts(), "--from-log", "050.log", "--token-bytes", "57344").out
    learned = re.search(r"  vllm:\n(?:    .*\n)+", text)[0]
    declared = (HOME.path / "nofacts.yaml").read_text().replace(
        "      whisper:\n", "".join(f"    {line}\n" for line in learned.splitlines()) + "      whisper:\n", 1)
    (HOME.path / "declared.yaml").write_text(declared)
    assert HOME.dream("predict", "declared.yaml").out == text.split("\n\n", 1)[1], text


def a_log_that_does_not_say_its_share_can_be_told_it():
    text = (START % ("0.5", "0.37", "6,976", "3.41")).replace(", 'gpu_memory_utilization': 0.5", "")
    (HOME.path / "silent.log").write_text(text)
    done = HOME.dream("predict", without_facts(), "--from-log", "silent.log", "--token-bytes", "57344")
    assert done.code == 1 and "silent.log@0.50" in done.err, done
    assert verdicts("--from-log", "silent.log@0.5", "--token-bytes", "57344")[1][0.5] == ("fits", 6976)


def a_log_that_repeats_no_settings_is_of_the_configured_start():
    (HOME.path / "bare.log").write_text(
        "Available KV cache memory: 0.37 GiB\nGPU KV cache size: 6,976 tokens\n"
        "Maximum concurrency for 2,048 tokens per request: 3.41x\n")
    assert "enforce_eager: true" in pathlib.Path(CONFIG).read_text()
    text = HOME.dream("predict", CONFIG, "--from-log", "bare.log@0.5", "--token-bytes", "57344").out
    assert "enforce_eager: true" in text, text


def a_log_that_is_not_there_or_says_nothing_is_one_sentence():
    (HOME.path / "empty.log").write_text("")
    (HOME.path / "other.log").write_text("nginx: ready\n")
    for name in ["absent.log", "empty.log", "other.log", "other.log@0.5"]:
        done = HOME.dream("predict", without_facts(), "--from-log", name, "--token-bytes", "57344")
        assert done.code == 1 and len(done.err.splitlines()) == 1 and done.out == "", (name, done)


def check_says_what_the_experiment_is():
    golden("check-rtx3060.txt", HOME.dream("check", CONFIG).out.replace(str(SOURCE), "."))
    body = HOME.json("check", CONFIG)
    keys(body, "schema", "file", "errors", "warnings", "diagnostics", "experiments")
    keys(body["experiments"][0], *("name enabled evaluator strategy scenario parameters points looked_at allowed fits "
                                   "infeasible unknown baseline objectives constraints services workloads").split())
    assert HOME.dream("check", CONFIG, "--list").out == "spica_gpu_allocation\n"


def check_reports_mistakes_as_json_too():
    (HOME.path / "bad.yaml").write_text("version: 1\nexperimints: []\n")
    done = HOME.dream("check", "bad.yaml", "--json")
    body = json.loads(done.out)
    assert done.code == 2 and body["errors"] >= 1, done
    keys(body["diagnostics"][0], "level", "file", "line", "column", "what", "accept")
    places = [(d["line"], d["column"]) for d in body["diagnostics"]]
    assert (2, 1) in places, places


def the_schema_is_json_and_names_the_fields():
    schema = json.loads(HOME.dream("check", "--schema").out)
    assert "experiments" in schema["properties"]


def eval_measures_once_and_keeps_nothing_unless_asked():
    before = len(HOME.json("trials", "-c", CONFIG)["trials"])
    body = HOME.json("eval", "-c", CONFIG, "vllm_memory_util=0.6", "whisper_model_size=base", "--seed", "3")
    keys(body, *TRIAL, "evaluation")
    # the same in the words of the first version
    metrics = {name: m["value"] for name, m in body["measurement"]["metrics"].items()}
    assert body["evaluation"] == {
        "test_id": "gpu-" + body["config_hash"][:8], "status": "pass", **body["params"],
        **{name: metrics[name] for name in ["stt_latency_ms", "llm_latency_ms", "oom_events", "concurrent_capacity"]},
        "gpu_utilization_pct": metrics["gpu_memory_pct"], "fitness": body["fitness"],
        "free_memory_mb": (12622168064 - body["measurement"]["evidence"]["memory"]["peak_bytes"]) // 1048576}
    assert body["measurement"]["status"] == "ok" and body["seq"] == 0 and body["purpose"] == "eval"
    again = HOME.json("eval", "-c", CONFIG, "vllm_memory_util=0.6", "whisper_model_size=base", "--seed", "3")
    assert again["measurement"]["metrics"] == body["measurement"]["metrics"], "the same seed, the same result"
    assert len(HOME.json("trials", "-c", CONFIG)["trials"]) == before
    kept = HOME.json("eval", "-c", CONFIG, "vllm_memory_util=0.6", "--store")
    assert HOME.json("show", "-c", CONFIG, kept["seq"])["purpose"] == "eval"


def eval_refuses_what_is_no_candidate():
    for args in [["vllm_memory_util=0.51"], ["nonsense=1"], ["vllm_memory_util"], ["vllm_memory_util="],
                 ["vllm_memory_util=0.5", "vllm_memory_util=0.6"]]:
        done = HOME.dream("eval", "-c", CONFIG, *args)
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1, (args, done)


def eval_says_by_its_exit_status_that_the_trial_failed():
    done = HOME.dream("eval", "-c", CONFIG, "vllm_memory_util=0.4")
    assert done.code == 1 and "start_failed: kv_cache" in done.out, done


def twin_prints_how_the_metrics_are_distributed():
    body = HOME.json("twin", CONFIG, "whisper_model_size=base", "--repeat", "20")
    keys(body, "schema", "box", "experiment", "params", "repeats", "outcomes", "reason", "metrics")
    assert body["outcomes"] == {"ok": 20}
    for name, m in body["metrics"].items():
        keys(m, "unit", "n", "mean", "sd", "min", "p5", "median", "p95", "max")
        assert m["min"] <= m["p5"] <= m["median"] <= m["p95"] <= m["max"] and m["n"] == 20, name
    assert body["metrics"]["stt_latency_ms"]["sd"] > 0
    assert HOME.json("twin", CONFIG, "vllm_memory_util=0.4", "-r", "3")["outcomes"] == {"start_failed": 3}


def promotions_are_listed_shown_and_signed():
    body = HOME.json("promotions", "-c", CONFIG)
    keys(body, "schema", "promotions", "states", "recorded_at_us", "lapsed")
    assert body["states"] == {p["id"]: "proposed" for p in body["promotions"]}
    if not body["promotions"]:
        return "this run found nothing better"
    p = body["promotions"][0]
    assert p["schema"] == "dream.promotion/v1"
    assert HOME.json("promotions", "show", p["id"], "-c", CONFIG) == p
    assert HOME.json("show", p["id"], "-c", CONFIG) == p
    text = HOME.dream("promotions", "show", "-c", CONFIG)
    assert text.code == 0 and p["id"] in text.out, text


def the_key_that_signs_is_printed_and_never_made_by_looking():
    body = HOME.json("lineage", "key", "-c", CONFIG)
    keys(body, "schema", "key", "file")
    assert body["key"] + "\n" == HOME.dream("lineage", "key", "-c", CONFIG).out and len(body["key"]) == 64, body
    assert all(p["signature"]["key"] == body["key"] for p in HOME.json("promotions", "-c", CONFIG)["promotions"])
    with Home() as fresh:
        done = fresh.dream("lineage", "key", "-c", CONFIG)
        assert done.code == 1 and "there is no key yet: " in done.err and not (fresh.path / "state").exists(), done


def lineage_draws_every_ancestor_of_a_candidate():
    trials = {t["seq"]: t for t in HOME.json("trials", "-c", CONFIG)["trials"]}
    trial = max((t for t in trials.values() if t["purpose"] == "search"), key=lambda t: t["generation"])
    want, todo = set(), [trial["seq"]]
    while todo:
        seq = todo.pop()
        want.add(seq)
        todo += [p for p in trials[seq]["parents"] if p not in want]
    body = HOME.json("lineage", "show", trial["seq"], "-c", CONFIG)
    keys(body, "schema", "trials")
    assert {t["seq"] for t in body["trials"]} == want
    text = HOME.dream("lineage", "show", trial["seq"], "-c", CONFIG).out
    assert all(f"trial {seq} " in text for seq in want), text


def the_chain_verifies_and_a_kept_head_finds_what_is_missing():
    body = HOME.json("lineage", "verify", "-c", CONFIG)
    keys(body, "schema", "what", "sound", "reason")
    head = HOME.dream("lineage", "head", "-c", CONFIG).out.strip()
    keys(HOME.json("lineage", "head", "-c", CONFIG), "schema", "seq", "hash")
    assert HOME.dream("lineage", "verify", "-c", CONFIG, "--head", head).code == 0
    seq, digest = head.split(":")
    for wrong in [f"{int(seq) + 1}:{digest}", f"{seq}:{'0' * 64}"]:
        done = HOME.dream("lineage", "verify", "-c", CONFIG, "--head", wrong)
        assert done.code == 1 and done.out == "", (wrong, done)
    assert HOME.dream("lineage", "verify", "-c", CONFIG, "--head", "soup").code == 2


def flips(data, every):
    """The file again and again with one bit turned over."""
    for at in range(0, len(data), every):
        bit = at % 8
        yield at, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]


def every_flipped_bit_of_an_exported_file_is_found():
    assert HOME.dream("lineage", "export", "chain.jsonl", "-c", CONFIG).code == 0
    root = HOME.path / "state" / "dream" / "artifacts" / "dream"
    if not root.exists():
        root = HOME.path / "artifacts" / "dream"
    files = [HOME.path / "chain.jsonl", *root.glob("*/epoch_0001/metrics.jsonl"), *root.glob("promotions/*.yaml")]
    assert len(files) >= 2, files
    for path in files:
        data = path.read_bytes()
        assert HOME.dream("lineage", "verify", path, "-c", CONFIG).code == 0, path
        for at, broken in flips(data, max(1, len(data) // 60)):
            (HOME.path / "broken").write_bytes(broken)
            done = HOME.dream("lineage", "verify", "broken", "-c", CONFIG)
            assert done.code == 1, f"{path.name}: byte {at} changed and nothing was noticed: {done}"


def a_file_that_is_cut_off_is_found():
    data = (HOME.path / "chain.jsonl").read_bytes()
    (HOME.path / "broken").write_bytes(data[:-10])
    assert HOME.dream("lineage", "verify", "broken", "-c", CONFIG).code == 1
    lines = data.splitlines(keepends=True)
    head = HOME.dream("lineage", "head", "-c", CONFIG).out.strip()
    (HOME.path / "broken").write_bytes(b"".join(lines[:-1]))
    assert HOME.dream("lineage", "verify", "broken", "--head", head, "-c", CONFIG).code == 1


def plots_are_written_in_every_format():
    if not shutil.which("gnuplot"):
        return "gnuplot is not installed"
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    for kind in ["fitness-evolution", "pareto", "trials"]:
        for ending, start in starts.items():
            done = HOME.dream("plot", kind, "-c", CONFIG, "-o", f"x.{ending}")
            assert done.code == 0, done
            assert (HOME.path / f"x.{ending}").read_bytes().startswith(start), (kind, ending)
    done = HOME.dream("plot", "pareto", "-c", CONFIG, "-o", "x.gif")
    assert done.code == 2, done


def a_plot_without_gnuplot_names_the_package():
    env = dict(HOME.env, PATH="/nonexistent")
    p = subprocess.run([DREAM, "plot", "trials", "-c", str(CONFIG), "-o", "y.svg"], cwd=HOME.path, env=env,
                       stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "gnuplot" in p.stderr and not (HOME.path / "y.svg").exists(), p


def a_store_can_be_read_without_its_configuration():
    store = HOME.path / "state" / "dream" / "dream.db"
    assert store.exists()
    rows = HOME.json("trials", "--database", store)["trials"]
    assert rows == HOME.json("trials", "-c", CONFIG)["trials"]


run_cases([
    the_example_runs,
    trials_print_what_is_documented,
    the_best_trials_come_best_first_and_are_feasible,
    trials_can_be_filtered,
    a_trial_is_found_by_number_and_by_name,
    predict_gives_the_numbers_of_the_real_card,
    predict_prints_the_table_and_the_reasons,
    predict_shows_only_what_was_asked_for,
    one_start_up_log_is_enough_to_call_40_and_45_percent_dead,
    two_start_up_logs_need_no_declared_bytes_of_a_token,
    what_was_learned_is_printed_as_it_is_declared,
    a_log_that_does_not_say_its_share_can_be_told_it,
    a_log_that_repeats_no_settings_is_of_the_configured_start,
    a_log_that_is_not_there_or_says_nothing_is_one_sentence,
    check_says_what_the_experiment_is,
    check_reports_mistakes_as_json_too,
    the_schema_is_json_and_names_the_fields,
    eval_measures_once_and_keeps_nothing_unless_asked,
    eval_refuses_what_is_no_candidate,
    eval_says_by_its_exit_status_that_the_trial_failed,
    twin_prints_how_the_metrics_are_distributed,
    promotions_are_listed_shown_and_signed,
    the_key_that_signs_is_printed_and_never_made_by_looking,
    lineage_draws_every_ancestor_of_a_candidate,
    the_chain_verifies_and_a_kept_head_finds_what_is_missing,
    every_flipped_bit_of_an_exported_file_is_found,
    a_file_that_is_cut_off_is_found,
    plots_are_written_in_every_format,
    a_plot_without_gnuplot_names_the_package,
    a_store_can_be_read_without_its_configuration,
])
