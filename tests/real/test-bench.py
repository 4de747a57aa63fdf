#!/usr/bin/env python3
"""`dream bench` against the real servers: every way to ask, every way to come, and servers that die or stop answering."""
import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import Box, clips, free_port, llama, run_all, wait_until, whisper  # noqa: E402

HOME = Box("")
TOKENS = 6
SHORT = ("--prompt-tokens", "8", "--output-tokens", str(TOKENS), "--extra", '{"ignore_eos": true}')
LONG = ("--prompt-tokens", "8", "--output-tokens", "3000", "--extra", '{"ignore_eos": true}', "-w", "0")


def bench(*args, timeout=120):
    return HOME.dream("bench", *map(str, args), timeout=timeout)


def bench_json(*args, code=0):
    """A measurement that a busy machine spoilt is made again."""
    for _ in range(5):
        done = bench(*args, "--json")
        if done.code != 1 or not (json.loads(done.out or "{}").get("generator") or {}).get("limited_by_client"):
            break
    assert done.code == code, done
    return json.loads(done.out)


def both_ways_to_ask_streamed_or_not_count_the_tokens_that_the_server_counted():
    with llama("-np", 2) as s:
        for protocol in ["openai-completions", "openai-chat"]:
            for whole in [(), ("--no-stream",)]:
                before = s.metric("llamacpp:tokens_predicted_total")
                f = bench_json("llm", s.url, "-p", protocol, "-n", 40, "-w", 0, *SHORT, *whole)["figures"]
                assert f["sent"] == f["answered"] == 40 and f["failures"] == {}, (protocol, whole, f)
                written = s.metric("llamacpp:tokens_predicted_total") - before
                assert written == 40 * TOKENS, (protocol, whole, written)
                # Forty that resemble each other may be too few for a median.
                assert 0 < f["e2e_ms"]["min"] <= f["e2e_ms"]["max"] < 5000
                if whole:
                    assert f["ttft_ms"] is None and f["tpot_ms"] is None, f
                else:
                    assert 0 < f["ttft_ms"]["min"] <= f["ttft_ms"]["max"] < f["e2e_ms"]["max"], f
                    assert f["tpot_ms"]["max"] > 0


def users_share_the_slots_and_a_rate_is_kept():
    with llama("-np", 2) as s:
        f = bench_json("llm", s.url, "-u", 2, "-n", 30, *SHORT)["figures"]
        assert f["answered"] == 30 and f["asked_rate"] is None
        body = bench_json("llm", s.url, "-r", 20, "--constant", "-n", 30, *SHORT)
        f = body["figures"]
        assert f["answered"] == 30 and abs(f["asked_rate"] - 20) < 1e-6
        # Thirty evenly planned requests: what is delivered differs by the last one's answer.
        assert abs(f["delivered_rate"] - 20) < 2, f
        assert not body["generator"]["limited_by_client"], body["generator"]


def a_capacity_is_found_and_a_limit_that_nothing_meets_has_none():
    with llama("-np", 2) as s:
        c = bench_json("llm", s.url, "--capacity", 2, "--limit", "10s", *SHORT)["capacity"]
        assert c["value"] == 2, c
        done = bench("llm", s.url, "--capacity", 2, "--limit", "1us", *SHORT)
        assert re.search(r"^capacity +0\b", done.out, re.M), done


def speech_is_compared_with_what_the_clips_say():
    with whisper() as s:
        for protocol in [("-p", "whispercpp"), ("-p", "openai-stt", "--path", "/inference")]:
            body = bench_json("stt", s.url, *protocol, "-c", clips(), "-n", 4, "-w", 0)
            assert body["figures"]["answered"] == 4, body
            assert body["wer"]["clips"] == 3 and body["wer"]["words"] > 3 and body["wer"]["errors"] > 0, body["wer"]
            assert body["figures"]["real_time"] is not None
        done = bench("stt", s.url, "-p", "whispercpp", "-c", clips(), "-n", 3, "-w", 0)
        assert re.search(r"^word errors +[0-9.]+ % \(\d+ of \d+ words in 3 clips\)", done.out, re.M), done


def one_request_at_a_time_shows_in_the_latency():
    with whisper() as s:
        alone = bench_json("stt", s.url, "-p", "whispercpp", "-c", clips(), "-n", 6, "-w", 1)["figures"]
        three = bench_json("stt", s.url, "-p", "whispercpp", "-c", clips(), "-u", 3, "-n", 9, "-w", 3)["figures"]
        assert three["answered"] == 9
        assert three["e2e_ms"]["mean"]["value"] > 1.7 * alone["e2e_ms"]["mean"]["value"], (alone, three)


def plain_http_is_measured_too():
    with llama() as s:
        f = bench_json("http", s.url + "/health", "-r", 50, "--constant", "-n", 50)["figures"]
        assert f["answered"] == 50 and f["failed"] == 0
        done = bench("http", s.url + "/no/such/page", "-r", 50, "-n", 5, "-w", 0)
        assert done.code == 1 and "404" in done.out, done


def in_mid_stream(server, streams):
    """Have that many slots written tokens already?"""
    slots = json.loads(server.ask("GET", "/slots")[1])
    return sum(slot["is_processing"] and slot["next_token"][0]["n_decoded"] > 20 for slot in slots) >= streams


def start_and_disturb(server, streams, disturb, *args):
    """The JSON and the exit status of a bench whose server is disturbed in the middle of its streams, and how long it
    took to end after that."""
    p = HOME.start("bench", "llm", server.url, "--json", "-u", str(streams), "-n", str(streams), *LONG, *args)
    wait_until(lambda: in_mid_stream(server, streams), what="the streams do not begin")
    disturb()
    since = time.monotonic()
    out, err = p.communicate(timeout=60)
    return json.loads(out), p.returncode, time.monotonic() - since, err.decode()


def a_server_killed_in_mid_stream_is_noticed_at_once():
    with llama("-np", 2, "-c", 8192) as s:
        body, code, took, err = start_and_disturb(s, 2, s.kill)
        assert code == 1 and "no request was answered" in err, (code, err)
        assert body["figures"]["failures"] == {"truncated": 2} and body["figures"]["answered"] == 0, body["figures"]
        assert took < 1, took


def what_was_answered_before_the_death_is_still_shown():
    with llama("-np", 1, "-c", 4096) as s:
        p = HOME.start("bench", "llm", s.url, "--json", "-n", "200", "-w", "0", *SHORT, "--think", "20ms")
        wait_until(lambda: s.metric("llamacpp:tokens_predicted_total") > 10 * TOKENS)
        s.kill()
        out, _ = p.communicate(timeout=60)
        body = json.loads(out)
        f = body["figures"]
        assert p.returncode == 0 and f["answered"] >= 10 and f["answered"] + f["failed"] == f["sent"] == 200, body
        assert set(f["failures"]) <= {"connect", "truncated", "reset", "closed"} and f["failures"]["connect"] > 0, f


def a_server_that_stops_answering_is_given_up_in_time():
    with llama("-np", 2, "-c", 8192) as s:
        body, code, took, _ = start_and_disturb(s, 2, lambda: s.signal(signal.SIGSTOP), "--timeout", "2s")
        assert code == 1 and body["figures"]["failures"] == {"timeout": 2}, body["figures"]
        assert took < 2.5 and "timeout" in body["first_error"], (took, body["first_error"])


def nobody_at_the_port_is_a_refused_connection():
    for kind, more in [("llm", ()), ("stt", ("-c", clips())), ("http", ())]:
        done = bench(kind, f"http://127.0.0.1:{free_port()}", "-n", 3, "-w", 0, *more, timeout=10)
        assert done.code == 1 and "Connection refused" in done.out, done
        body = bench_json(kind, f"http://127.0.0.1:{free_port()}", "-n", 3, "-w", 0, *more, code=1)
        assert body["figures"]["failures"] == {"connect": 3}, body


try:
    run_all([
        both_ways_to_ask_streamed_or_not_count_the_tokens_that_the_server_counted,
        users_share_the_slots_and_a_rate_is_kept,
        a_capacity_is_found_and_a_limit_that_nothing_meets_has_none,
        speech_is_compared_with_what_the_clips_say,
        one_request_at_a_time_shows_in_the_latency,
        plain_http_is_measured_too,
        a_server_killed_in_mid_stream_is_noticed_at_once,
        what_was_answered_before_the_death_is_still_shown,
        a_server_that_stops_answering_is_given_up_in_time,
        nobody_at_the_port_is_a_refused_connection,
    ])
finally:
    HOME.__exit__()
