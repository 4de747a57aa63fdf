#!/usr/bin/python3
"""dream bench against a server of a few lines: what it prints, for people and for programs."""
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import wave

from tap import DREAM, Home, run_cases

HOME = Home()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # clients that go away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(503 if self.path == "/busy" else 200, b"ok", "text/plain")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((self.path, self.headers.get("Authorization"), body))
        if self.path.endswith("/transcriptions"):
            return self.answer(200, json.dumps({"text": "The colour is gray."}).encode())
        asked = json.loads(body)
        tokens = min(asked.get("max_tokens", 4), 4)
        usage = {"prompt_tokens": 9, "completion_tokens": tokens}
        if not asked.get("stream"):
            return self.answer(200, json.dumps({"choices": [{"message": {"content": "w " * tokens}}],
                                                "usage": usage}).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(tokens):
            time.sleep(0.002)
            self.event({"choices": [{"delta": {"content": "w "}}]})
        self.event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")


seen = []
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_address[1]}"


def bench(*args):
    return HOME.dream("bench", *args)


def bench_json(*args):
    """A measurement that a busy machine spoilt is made again."""
    for _ in range(5):
        done = bench(*args, "--json")
        if done.code != 1 or not (json.loads(done.out or "{}").get("generator") or {}).get("limited_by_client"):
            break
    assert done.code == 0, done
    return json.loads(done.out)


def a_table_has_percentiles_with_intervals_or_says_why_not():
    # On a busy machine some may be left out as not yet steady, or count as fewer because neighbours are alike.
    done = bench("llm", URL, "-n", "129", "--model", "m", "--limit", "10s")
    assert done.code == 0, done
    assert re.search(r"^answered     129 of 129 in .*, after 10 of warm-up$", done.out, re.M), done
    assert re.search(r"^end to end, ms +p50 +[0-9.]+ +[0-9.]+ to [0-9.]+$", done.out, re.M), done
    assert re.search(r"^ +p90 +([0-9.]+ +[0-9.]+ to [0-9.]+|insufficient \(n=\d+, needs \d+\))$", done.out, re.M), done
    assert re.search(r"p95    insufficient \(n=\d+, needs \d+\)", done.out), done
    assert re.search(r"p99    insufficient \(n=\d+, needs \d+\)", done.out), done
    assert "first token, ms" in done.out and "per further token, ms" in done.out, done
    assert "100.0 % of the requests" in done.out, done
    assert max(map(len, done.out.splitlines())) <= 80, done


def json_has_the_documented_members():
    body = bench_json("llm", URL, "-n", "60", "-r", "100", "--constant")
    assert set(body) == set("schema kind url protocol model load interrupted figures first_error generator wer "
                            "capacity".split()), body
    assert body["schema"] == "dream.bench/v1" and body["kind"] == "llm" and body["load"]["arrivals"] == "constant"
    figures = body["figures"]
    assert figures["answered"] == 60 and figures["e2e_ms"]["max"] > 0
    p99 = figures["e2e_ms"]["p99"]
    assert set(p99) == {"value", "ci95", "n", "needs"} and p99["value"] is None and p99["ci95"] is None, p99
    assert p99["n"] <= 60 and p99["needs"] >= 662, p99
    assert abs(figures["asked_rate"] - 100) < 1e-6
    assert figures["ttft_ms"]["min"] < figures["e2e_ms"]["max"]
    assert body["generator"]["limited_by_client"] is False


def whole_endpoints_and_bases_with_v1_both_work():
    for url in [URL, URL + "/", URL + "/v1", URL + "/v1/chat/completions"]:
        seen.clear()
        assert bench("llm", url, "-n", "3", "-w", "0").code == 0
        assert {path for path, _, _ in seen} == {"/v1/chat/completions"}, (url, seen)


def extra_members_the_model_and_the_lengths_reach_the_server():
    seen.clear()
    bench_json("llm", URL, "-n", "3", "-w", "0", "--model", "m", "--extra", '{"ignore_eos": true}', "--output-tokens",
               "3", "--no-stream")
    for _, _, body in seen:
        asked = json.loads(body)
        assert asked["model"] == "m" and asked["ignore_eos"] is True and asked["max_tokens"] == 3
        assert not asked["stream"]


def a_token_comes_from_a_file_or_the_environment_and_is_never_printed():
    secret = "sk-not-to-be-seen"
    file = HOME.path / "token"
    file.write_text(secret + "\n")
    HOME.env["THE_TOKEN"] = secret
    for option in [("--token-file", file), ("--token-env", "THE_TOKEN")]:
        seen.clear()
        done = bench("llm", URL, "-n", "2", "-w", "0", "--json", *option)
        assert done.code == 0 and {auth for _, auth, _ in seen} == {f"Bearer {secret}"}, done
        assert secret not in done.out + done.err
    assert bench("llm", URL, "--token-env", "NOT_THERE_AT_ALL").code == 2


def speech_has_a_word_error_rate_by_named_rules():
    clips = HOME.path / "clips"
    clips.mkdir()
    for i, said in enumerate(["The colour is grey.", "the colour was grey"]):
        with wave.open(str(clips / f"{i}.wav"), "wb") as w:
            w.setnchannels(1)
            w.setsampwidth(2)
            w.setframerate(16000)
            w.writeframes(b"\0\0" * 16000)
        (clips / f"{i}.txt").write_text(said)
    body = bench_json("stt", URL, "--clips", clips, "-n", "40", "-w", "0")
    assert body["wer"]["pct"] == 12.5 and body["wer"]["errors"] == 1 and body["wer"]["words"] == 8, body["wer"]
    assert body["wer"]["clips"] == 2 and body["wer"]["normaliser"] == "whisper-english"
    assert body["figures"]["real_time"]["max"] < 1
    made_up = bench_json("stt", URL, "--clip-ms", "200", "-n", "12", "-w", "0")
    assert made_up["figures"]["answered"] == 12 and made_up["wer"] is None, made_up
    said = bench("stt", URL, "-n", "4")
    assert said.code == 0 and "unknown: the clips were made up; give --clips DIR" in said.out, said
    done = bench("stt", URL, "--clips", clips, "-n", "4")
    assert "word errors  12.50 % (1 of 8 words in 2 clips)" in done.out, done


def failures_are_counted_by_kind_and_the_first_is_said_in_words():
    done = bench("http", URL + "/busy", "-n", "5", "-w", "0")
    assert done.code == 1 and "nothing was measured" in done.err, done
    assert "answered     0 of 5" in done.out and "503" in done.out, done
    done = bench("llm", "http://127.0.0.1:1", "-n", "5", "-w", "0")
    assert done.code == 1 and "Connection refused" in done.out, done


def a_capacity_is_a_sentence_and_a_number():
    body = bench_json("http", URL + "/", "--capacity", "2", "--limit", "10s")
    assert body["capacity"]["value"] == 2 and body["capacity"]["levels"] == 2, body
    assert "may be higher" in body["capacity"]["words"], body
    done = bench("http", URL + "/", "--capacity", "2", "--limit", "10s")
    assert done.code == 0 and re.search(r"^capacity     2, 95 % interval", done.out, re.M), done


def a_duration_ends_the_load():
    began = time.monotonic()
    body = bench_json("llm", URL, "-d", "1s", "-u", "2", "-w", "0")
    assert 0.9 < time.monotonic() - began < 20 and body["figures"]["answered"] > 5, body
    assert body["figures"]["failed"] == 0 and body["interrupted"] is False


def ctrl_c_prints_what_was_measured_so_far():
    p = subprocess.Popen([DREAM, "bench", "llm", URL, "-u", "2", "-n", "100000", "-w", "0", "--json"], cwd=HOME.path,
                         env=HOME.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in p.stderr:  # the first sign of life
        if re.search(r"[1-9][0-9]* answered", line):
            break
    os.kill(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 4, (p.returncode, out[-500:], err)
    body = json.loads(out)
    assert body["interrupted"] and body["figures"]["answered"] > 0


def mistakes_are_one_sentence_and_nothing_is_sent():
    cases = [
        (["llm"], "llm|stt|http URL"),
        (["tts", URL], "'tts' is no kind of server"),
        (["llm", "ftp://x"], "no address of a server"),
        (["llm", URL, "--users", "2", "--rate", "3"], "exclude each other"),
        (["llm", URL, "--gamma", "3"], "add --rate"),
        (["llm", URL, "--rate", "3", "--poisson", "--constant"], "exclude each other"),
        (["llm", URL, "--rate", "x"], "--rate takes a number"),
        (["llm", URL, "--ramp", "3"], "--ramp takes two rates"),
        (["llm", URL, "--rate", "1", "--think", "1"], "--think is the pause of users"),
        (["llm", URL, "--speed", "2"], "--speed belongs to --replay"),
        (["llm", URL, "--replay", "nowhere.csv"], "nowhere.csv"),
        (["llm", URL, "--capacity", "4"], "--capacity needs a limit"),
        (["llm", URL, "--ttft-limit", "1s", "--no-stream"], "about the tokens of a stream"),
        (["http", URL, "--tpot-limit", "1s"], "about the tokens of a stream"),
        (["llm", URL, "--capacity", "4", "--limit", "1", "-n", "5"], "chooses users and requests itself"),
        (["llm", URL, "--protocol", "whispercpp"], "does not fit"),
        (["llm", URL, "--extra", "[1]"], "--extra takes a JSON object"),
        (["llm", URL, "--prompt-tokens", "0"], "--prompt-tokens takes"),
        (["llm", URL, "--clips", "."], "belongs to 'dream bench stt'"),
        (["stt", URL, "--clip-ms", "0"], "--clip-ms takes"),
        (["stt", URL, "--clip-ms", "700000"], "such are not made up"),
        (["stt", URL, "--clips", "nowhere"], "nowhere"),
        (["llm", URL, "-n", "5", "-d", "5"], "exclude each other"),
    ]
    seen.clear()
    for args, says in cases:
        done = bench(*args)
        assert done.code == 2 and says in done.err and done.out == "", (args, done)
        assert len(done.err.splitlines()) == 1, (args, done)
    assert not seen


run_cases([
    a_table_has_percentiles_with_intervals_or_says_why_not,
    json_has_the_documented_members,
    whole_endpoints_and_bases_with_v1_both_work,
    extra_members_the_model_and_the_lengths_reach_the_server,
    a_token_comes_from_a_file_or_the_environment_and_is_never_printed,
    speech_has_a_word_error_rate_by_named_rules,
    failures_are_counted_by_kind_and_the_first_is_said_in_words,
    a_capacity_is_a_sentence_and_a_number,
    a_duration_ends_the_load,
    ctrl_c_prints_what_was_measured_so_far,
    mistakes_are_one_sentence_and_nothing_is_sent,
])
