#!/usr/bin/env python3
"""`dream twin vllm`, `whisper` and `gpu` as programs: what a client, a log reader and the card see of them."""
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from programs import MODEL, Card, Stream, busy_port, median, multipart, run_cases, transcribe, wav  # noqa: E402

GIB = 1 << 30
SHARE = ("--gpu-memory-utilization", "0.5")


def wait_until(check, seconds=30):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- vLLM: start ---


def a_start_says_what_the_real_one_says_and_holds_its_memory():
    with Card() as card:
        v = card.vllm(*SHARE)
        log = v.log()
        for line in ["vLLM API server version 0.11.0", "'gpu_memory_utilization': 0.5",
                     "Available KV cache memory: 0.37 GiB", "GPU KV cache size: 6,976 tokens",
                     "Maximum concurrency for 2,048 tokens per request: 3.41x", "Application startup complete."]:
            assert line in log, (line, log)
        # 6,134 MiB were seen by nvidia-smi.
        assert abs(card.bytes_of(v) / (1 << 20) - 6134) < 2, card.show()


def a_share_that_is_too_small_ends_with_the_words_of_the_real_one():
    for args, words in [
            (("--gpu-memory-utilization", "0.4"), "No available memory for the cache blocks"),
            (("--gpu-memory-utilization=0.469",), "To serve at least one request with the models's max seq len (2048)"),
            (("--gpu_memory_utilization", "0.5", "--max-model-len", "8k"), "max seq len (8000)")]:
        with Card() as card:
            v = card.vllm(*args, ready=False)
            assert v.end() == 1
            assert words in v.log(), v.log()
            assert "RuntimeError: Engine core initialization failed" in v.log()
            assert card.show()["used_bytes"] == 0


def memory_that_others_hold_is_seen_by_a_start():
    with Card() as card:
        card.neighbour("--grow", "7GiB")
        v = card.vllm("--gpu-memory-utilization", "0.6", ready=False)
        assert v.end() == 1
        assert "Free memory on device (4.6" in v.log() and "is less than desired GPU memory utilization (0.6, 7.05" \
            in v.log(), v.log()


def two_starts_share_one_card():
    with Card() as card:
        a = card.vllm("--gpu-memory-utilization", "0.49")
        b = card.whisper("--model", "tiny")
        held = card.show()["used_bytes"]
        assert held == card.bytes_of(a) + card.bytes_of(b)
        c = card.vllm("--gpu-memory-utilization", "0.49", ready=False)
        assert c.end() == 1 and "Free memory on device" in c.log()
        assert card.show()["used_bytes"] == held


def a_port_that_is_taken_ends_the_start_before_a_model_is_loaded():
    with Card() as card:
        s, port = busy_port()
        v = card.start("vllm", "serve", MODEL, *SHARE, "--host", "127.0.0.1", "--port", str(port))
        assert v.end() == 1
        assert "[Errno 98] Address already in use" in v.log() and "Model loading" not in v.log()
        w = card.start("whisper", "--port", str(port))
        assert w.end() == 1 and f"couldn't bind to server socket: hostname=127.0.0.1 port={port}" in w.log()
        s.close()


def command_lines_of_the_real_server_are_understood():
    with Card() as card:
        v = card.start("vllm", "--model", f"/models/{MODEL}/", "--served-model-name", "judge", "alias", "--host",
                       "127.0.0.1", "--port", "0", "--gpu_memory_utilization=0.55", "--max-model-len", "1024",
                       "--max-num-seqs", "4", "--no-enable-prefix-caching", "-tp", "1", "--trust-remote-code",
                       "--dtype", "half").ready()
        models = v.json("GET", "/v1/models")[1]["data"]
        assert [m["id"] for m in models] == ["judge", "alias"] and models[0]["max_model_len"] == 1024
        assert "--dtype has no effect on the simulated box" in v.log()
        assert v.complete(model="alias", max_tokens=2)[0] == 200
    for args, code, words in [(("--no-such-flag", "1"), 2, "unrecognized arguments: --no-such-flag"),
                              (("--port", "http"), 2, "argument --port: invalid int value: 'http'"),
                              (("--max-num-seqs",), 2, "argument --max-num-seqs: expected one argument"),
                              (("--gpu-memory-utilization", "7"), 1, "above 0 and at most 1")]:
        with Card() as card:
            v = card.start("vllm", "serve", MODEL, *args)
            assert v.end() == code and words in v.log(), (args, v.log())
    with Card() as card:
        v = card.start("vllm", "serve", "no-such-model")
        assert v.end() == 1 and "is not a valid model identifier" in v.log()


# --- vLLM: requests ---


def an_answer_has_as_many_tokens_as_were_asked_for():
    with Card() as card:
        v = card.vllm(*SHARE)
        status, body = v.complete(max_tokens=7)
        assert status == 200 and body["object"] == "text_completion"
        assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 10, "completion_tokens": 7,
                                 "prompt_tokens_details": None}, body
        assert len(body["choices"][0]["text"].split()) == 7 and body["choices"][0]["finish_reason"] == "length"
        status, body = v.json("POST", "/v1/chat/completions",
                              {"model": MODEL, "messages": [{"role": "user", "content": "hello there"}]})
        said = body["choices"][0]
        assert status == 200 and said["message"]["role"] == "assistant" and said["finish_reason"] == "stop"
        assert len(said["message"]["content"].split()) == body["usage"]["completion_tokens"]
        status, body = v.complete(prompt=[11, 12, 13, 14], max_tokens=1)
        assert body["usage"]["prompt_tokens"] == 4


def a_stream_has_one_event_for_each_token_then_the_usage_and_the_end():
    with Card() as card:
        v = card.vllm(*SHARE)
        events = Stream(v, max_tokens=5, ignore_eos=True, stream_options={"include_usage": True}).all()
        assert events.pop() == "[DONE]"
        usage = events.pop()
        assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 5
        assert [len(e["choices"][0]["text"].split()) for e in events] == [1] * 5
        assert [e["choices"][0]["finish_reason"] for e in events] == [None] * 4 + ["length"]
        events = Stream(v, "/v1/chat/completions", max_tokens=3, messages=[{"role": "user", "content": "hi"}]).all()
        assert events.pop() == "[DONE]"
        assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert len(events) == 4 and all("usage" not in e for e in events)


def what_is_wrong_with_a_request_is_said_as_the_real_server_says_it():
    with Card() as card:
        v = card.vllm(*SHARE)
        for body, status, words in [
                ({"model": "other"}, 404, "The model `other` does not exist."),
                ({"prompt": "word " * 3000}, 400, "maximum context length is 2048 tokens. However, your request has "
                                                  "3000 input tokens"),
                ({"max_tokens": 4000}, 400, "'max_tokens' or 'max_completion_tokens' is too large: 4000"),
                ({"max_tokens": 0}, 400, "max_tokens must be at least 1"),
                ({"prompt": None}, 400, "prompt")]:
            got, answer = v.complete(**body)
            assert got == status and words in answer["error"]["message"] and answer["error"]["code"] == status, answer
        assert v.ask("POST", "/v1/completions", "{nonsense")[0] == 400
        assert v.ask("GET", "/v1/completions")[0] == 405
        assert v.ask("GET", "/nowhere")[0] == 404
        assert v.ask("GET", "/health") == (200, b"")
        assert v.json("GET", "/version")[1] == {"version": "0.11.0"}
        assert v.complete(max_tokens=1)[0] == 200


def a_key_is_asked_for_where_one_was_given():
    with Card() as card:
        v = card.vllm(*SHARE, "--api-key", "secret")
        assert "secret" not in v.log()
        assert v.json("GET", "/v1/models") == (401, {"error": "Unauthorized"})
        assert v.ask("GET", "/v1/models", headers={"Authorization": "Bearer secret"})[0] == 200
        assert v.ask("GET", "/health")[0] == 200


def it_serves_on_a_unix_socket():
    with Card() as card:
        v = card.start("vllm", "serve", MODEL, *SHARE, "--uds", card.path("sock"))
        v.wait_for("Application startup complete")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(card.path("sock"))
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")


def metrics_count_what_was_served():
    with Card() as card:
        v = card.vllm(*SHARE)
        for _ in range(3):
            v.complete(max_tokens=4)
        assert v.metric("prompt_tokens_total") == 9 and v.metric("generation_tokens_total") == 12
        assert v.metric("request_success_total") == 3
        assert v.metric("e2e_request_latency_seconds_count") == 3
        assert v.metric("num_requests_running") == 0 and v.metric("kv_cache_usage_perc") == 0
        assert 0 < v.metric("time_to_first_token_seconds_sum") < v.metric("e2e_request_latency_seconds_sum")


def a_client_that_leaves_takes_its_request_out_of_the_engine():
    with Card(speed=5) as card:
        v = card.vllm(*SHARE)
        s = Stream(v, max_tokens=1500)
        s.next()
        assert v.metric("num_requests_running") == 1 and v.metric("kv_cache_usage_perc") > 0
        s.close()
        wait_until(lambda: v.metric("num_requests_running") == 0)
        assert v.metric("kv_cache_usage_perc") == 0
        assert v.complete(max_tokens=1)[0] == 200


def a_stop_lets_answers_end():
    with Card(speed=20) as card:
        v = card.vllm(*SHARE)
        s = Stream(v, max_tokens=100)
        s.next()
        v.process.send_signal(signal.SIGTERM)
        assert s.all()[-1] == "[DONE]"
        assert v.end() == 0 and "Finished server process" in v.log()
        assert card.show()["used_bytes"] == 0


def killed_it_holds_nothing():
    with Card() as card:
        v = card.vllm(*SHARE)
        assert card.bytes_of(v) > 5 * GIB
        v.process.kill()
        v.process.wait()
        assert card.show()["used_bytes"] == 0


# --- Faults ---


def a_start_goes_wrong_as_it_is_told():
    with Card() as card:
        began = time.monotonic()
        card.vllm(*SHARE, "--fault", "slow-start=100s")
        assert time.monotonic() - began > 114 / card.speed
    for fault, code, words in [("crash-start", -signal.SIGSEGV, ""), ("exit-code=7", 7, ""),
                               ("cpu", 1, "Failed to infer device type"),
                               ("no-such", 2, "there is no fault 'no-such'")]:
        with Card() as card:
            v = card.vllm(*SHARE, "--fault", fault, ready=False)
            assert v.end() == code and words in v.log(), (fault, v.process.returncode, v.log())
    with Card(speed=500) as card:
        v = card.vllm(*SHARE, "--fault", "hang-start", ready=False)
        v.wait_for("Starting to load model")
        wait_until(lambda: card.bytes_of(v) > 5 * GIB)
        time.sleep(0.3)  # ten times what the rest of the start takes
        assert v.process.poll() is None and "startup complete" not in v.log()


def a_server_goes_wrong_under_load_as_it_is_told():
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "crash-at=10s")
        assert v.end() == -signal.SIGSEGV
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "oom-under-load")
        status, body = v.complete(max_tokens=4)
        assert status == 500 and "EngineCore encountered an issue" in body["error"]["message"]
        # Its exit code is 0, as vLLM's is (vllm-project/vllm#48966).
        assert v.end() == 0
        assert "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate" in v.log()
        assert "EngineDeadError" in v.log()
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "503")
        assert v.complete(max_tokens=1)[0] == 503 and v.ask("GET", "/health")[0] == 200
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "wrong-model")
        assert v.json("GET", "/v1/models")[1]["data"][0]["id"] != MODEL
        assert v.complete(max_tokens=1)[0] == 404


def a_server_that_leaks_gets_slower_as_it_runs():
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "slower:10s")

        def seconds():
            began = time.monotonic()
            assert v.complete(max_tokens=32)[0] == 200
            return time.monotonic() - began
        fresh = min(seconds() for _ in range(3))
        wait_until(lambda: seconds() > 3 * fresh)  # 20 s of its time, 0.4 of ours
        assert v.ask("GET", "/health")[0] == 200


def half_a_stream_ends_without_its_end():
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "half-stream")
        s = Stream(v, max_tokens=20)
        events = []
        try:
            while (e := s.next()) is not None:
                events.append(e)
        except Exception:
            pass  # a chunked body that broke off
        assert 5 < len(events) < 20 and "[DONE]" not in events
        wait_until(lambda: v.metric("num_requests_running") == 0)


def a_hanging_server_takes_requests_and_never_answers():
    with Card() as card:
        v = card.vllm(*SHARE, "--fault", "hang")
        c = v.connect()
        c.request("POST", "/v1/completions", '{"model": "%s", "prompt": "a", "max_tokens": 1}' % MODEL)
        c.sock.settimeout(0.5)
        try:
            c.getresponse()
            assert False, "it answered"
        except TimeoutError:
            pass
        assert v.ask("GET", "/health")[0] == 200


def a_card_that_falls_off_the_bus_takes_its_programs_along():
    with Card() as card:
        v = card.vllm(*SHARE)
        w = card.whisper("--model", "tiny")
        card.gpu("--xid", "79")
        assert v.end() == 0 and "CUDA error" in v.log()
        wait_until(lambda: transcribe(w, wav(1000))[0] == 500)
        late = card.vllm(*SHARE, ready=False)
        assert late.end() == 1
        shown = card.show()
        assert shown["xids"] == 1 and not shown["present"]


# --- Whisper ---


def whisper_takes_a_peak_of_memory_to_load_and_keeps_less():
    with Card(speed=2) as card:
        w = card.whisper("-m", "models/ggml-small.en.bin", ready=False)
        port_line = "loading model from 'models/ggml-small.en.bin'"
        w.wait_for(port_line)
        wait_until(lambda: card.bytes_of(w) > 0)
        peak = card.bytes_of(w)
        w.ready()
        steady = card.bytes_of(w)
        assert (peak - steady) == 1866000000 - 1378000000, (peak, steady)
        assert "Loaded small model on cuda" in w.log()


def whisper_takes_as_long_as_its_clip_says():
    with Card(speed=5) as card:
        w = card.whisper("--model", "small", "--device", "cuda")
        times = {}
        for ms in (2000, 20000):
            clip, took = wav(ms), []
            for _ in range(9):
                at = time.monotonic()
                assert transcribe(w, clip)[0] == 200
                took.append((time.monotonic() - at) * card.speed)
            times[ms] = median(took)
        # 20 ms + 40 ms a window of 30 s + 24 ms for each of 3.3 tokens a second, as the box has it.
        assert abs(times[2000] - 0.218) < 0.04 and abs(times[20000] - 1.644) < 0.2, times


def whisper_without_room_goes_to_the_processor_and_says_so():
    with Card(speed=50) as card:
        card.neighbour("--grow", "11.5GiB")
        w = card.whisper("--model", "tiny")
        assert "Performing inference on CPU when CUDA is available" in w.log()
        assert "Loaded tiny model on cpu" in w.log() and card.bytes_of(w) == 0
        at = time.monotonic()
        assert transcribe(w, wav(3000))[0] == 200
        assert (time.monotonic() - at) * card.speed > 28 * 0.033


def whisper_hears_what_the_transcript_says_with_the_models_errors():
    words = " ".join(f"word{i}" for i in range(4000))
    with Card(speed=1000) as card:
        os.mkdir(card.path("said"))
        with open(card.path("said/talk.txt"), "w") as f:
            f.write(words)
        w = card.whisper("--model", "tiny", "--transcripts", card.path("said"))
        status, text = transcribe(w, wav(1000), name="talk.wav", response_format="text")
        wrong = len(set(words.split()) - set(text.decode().split()))
        # Two of three kinds of errors lose a word: 7.47 % of 4,000 times 2/3, and four deviations.
        assert status == 200 and 140 < wrong < 260, wrong
        assert transcribe(w, wav(1000), name="talk.wav", response_format="text")[1] == text
        status, text = transcribe(w, wav(8000), path="/v1/audio/transcriptions", name="other.wav")
        assert status == 200 and text.startswith(b'{"text":') and len(text.split()) == 20


def whisper_answers_in_the_form_that_was_asked_for_and_refuses_what_is_no_clip():
    with Card() as card:
        w = card.whisper("--model", "tiny")
        form = {f: transcribe(w, wav(1500), response_format=f)[1].decode() for f in
                ("json", "verbose_json", "srt", "vtt")}
        assert '"duration":1.5' in form["verbose_json"] and form["vtt"].startswith("WEBVTT")
        assert "00:00:00,000 --> 00:00:01,500" in form["srt"]
        assert transcribe(w, None)[0] == 400 and transcribe(w, b"no sound")[0] == 400
        assert transcribe(w, wav(1000)[:30])[0] == 400
        assert w.ask("POST", "/inference", multipart(wav(100)), {"Content-Type": "text/plain"})[0] == 400
        assert w.json("GET", "/health") == (200, {"status": "ok"})
        assert w.ask("GET", "/nowhere")[0] == 404


def whisper_says_that_it_is_loading():
    with Card(speed=1) as card:
        s, port = busy_port()
        s.close()
        w = card.start("whisper", "--model", "small", "--port", str(port))
        w.port = port

        def loading():
            try:
                return w.json("GET", "/health") == (503, {"status": "loading model"})
            except ConnectionError:
                return False

        wait_until(loading)
        w.process.terminate()
        assert w.end() == -signal.SIGTERM


def a_model_that_is_not_there_ends_a_whisper():
    with Card() as card:
        w = card.start("whisper", "-m", "models/ggml-nothing.bin")
        assert w.end() == 3 and "error: failed to initialize whisper context" in w.log()


# --- Together ---


def a_neighbour_that_computes_makes_everybody_slower():
    with Card(speed=5) as card:
        v = card.vllm(*SHARE)

        def took():
            at = time.monotonic()
            assert v.complete(max_tokens=40)[0] == 200
            return (time.monotonic() - at) * card.speed

        alone = median([took() for _ in range(5)])
        n = card.neighbour("--busy", "0.5")
        beside = median([took() for _ in range(5)])
        n.process.kill()
        n.process.wait()
        again = median([took() for _ in range(5)])
        # (1 - 0.97) + 0.97 x 1.5 x 1.284 of the time in steps; 26 ms of the front end do not stretch.
        assert 1.6 < beside / alone < 2.0, (alone, beside)
        assert abs(again / alone - 1) < 0.15, (alone, again)


def the_tenants_of_the_box_hold_their_memory():
    with Card() as card:
        t = card.neighbour("--tenants")
        assert card.bytes_of(t) == 1200000000
        t.process.terminate()
        assert t.end() == 0 and card.show()["used_bytes"] == 0


run_cases([f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__"
           and name not in ("wait_until",)])
