#!/usr/bin/env python3
"""The real servers with the models of random weights: they start, answer, and fail with the texts that we know."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import (FILES, LLAMA, TOOLS, Server, busy_port, clips, end_of, language_model, llama, llama_command,  # noqa: E402
                     make, run_all, speech_model, wait_until, whisper, whisper_command)


def cut(path, to):
    """The first part of a file."""
    short = os.path.join(FILES, "cut-" + os.path.basename(path))
    with open(path, "rb") as f, open(short, "wb") as g:
        g.write(f.read(to))
    return short


def catches(pid, number):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^SigCgt:\s+(\w+)$", f.read(), re.M)[1], 16) >> (number - 1) & 1


def a_process_is_the_server_itself():
    with llama() as s:
        assert os.readlink(f"/proc/{s.process.pid}/exe") == os.path.realpath(LLAMA)
        assert open(f"/proc/{s.process.pid}/cmdline").read().split("\0")[0] == LLAMA
        # It answers a moment before it minds the signal.
        wait_until(lambda: catches(s.process.pid, signal.SIGTERM), what="it does not mind SIGTERM")
        s.signal(signal.SIGTERM)
        assert s.process.wait(30) == 0


def llama_answers_as_long_as_it_is_told():
    with llama("-c", 1024, "-np", 2) as s:
        for path, body in [("/v1/completions", {"prompt": "w1 w2 w3"}),
                           ("/v1/chat/completions", {"messages": [{"role": "user", "content": "w1 w2 w3"}]})]:
            status, text = s.ask("POST", path, {**body, "max_tokens": 12, "ignore_eos": True})
            assert status == 200 and json.loads(text)["usage"]["completion_tokens"] == 12, text
        assert s.metric("llamacpp:tokens_predicted_total") == 24
        assert len(json.loads(s.ask("GET", "/slots")[1])) == 2


def whisper_hears_something_in_every_clip():
    with whisper() as s:
        for name in sorted(n for n in os.listdir(clips()) if n.endswith(".wav")):
            with open(os.path.join(clips(), name), "rb") as f:
                sound = f.read()
            body = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
                    b"Content-Type: audio/wav\r\n\r\n" + sound + b"\r\n--B\r\n"
                    b'Content-Disposition: form-data; name="response_format"\r\n\r\njson\r\n--B--\r\n')
            status, text = s.ask("POST", "/inference", body, "multipart/form-data; boundary=B")
            assert status == 200 and json.loads(text)["text"].strip(), text


def models_and_clips_follow_from_their_seed():
    def digest(tool, name, *options):
        with open(make(tool, name, *options), "rb") as f:
            return hashlib.sha256(f.read()).digest()
    for tool, small in [("mkgguf", ("--embd", 32, "--layers", 1)), ("mkwhisper", ("--state", 16))]:
        first, again, other = (digest(tool, f"{tool}-{i}", *small, "--seed", seed) for i, seed in enumerate([5, 5, 6]))
        assert first == again != other, tool
    folders = [make("mkclips", f"clips-{i}", "--clips", 2, "--seed", 9) for i in range(2)]
    for name in ["clip-01.wav", "clip-02.wav", "clip-02.txt"]:
        assert len({open(os.path.join(f, name), "rb").read() for f in folders}) == 1


def other_shapes_load_too():
    big = make("mkgguf", "other.gguf", "--embd", 64, "--layers", 3, "--heads", 2, "--ff", 96, "--context", 512)
    with Server(llama_command("-c", 512, model=big)) as s:
        assert s.ask("POST", "/v1/completions", {"prompt": "w1", "max_tokens": 2})[0] == 200
    heard = make("mkwhisper", "other.bin", "--state", 32, "--heads", 2, "--layers", 2, "--text-context", 32)
    with Server(whisper_command(model=heard)) as s:
        assert s.ask("GET", "/health")[0] == 200


def mistakes_of_the_makers_options_are_said():
    for tool, *args in [("mkgguf",), ("mkgguf", "--embd", "7", "x"), ("mkgguf", "--layers", "many", "x"),
                        ("mkwhisper", "--heads"), ("mkclips", "--shortest", "9", "--longest", "8", "x"),
                        ("mkclips", "/nowhere/at/all"), ("mkgguf", "--nonsense", "x")]:
        got = subprocess.run([os.path.join(TOOLS, tool), *args], capture_output=True, text=True, cwd=FILES, timeout=20)
        assert got.returncode in (1, 2) and got.stderr, (tool, args, got)


def wrong_starts_end_at_once_with_words_that_tell_why():
    listener, port = busy_port()
    junk = os.path.join(FILES, "junk")
    with open(junk, "w") as f:
        f.write("no model\n" * 100)
    cases = [
        (llama_command(model="/nowhere/m.gguf"), None, 1, "failed to load model"),
        (llama_command(model=junk), None, 1, "failed to load model"),
        (llama_command(model=cut(language_model(), 1000000)), None, 1, "is corrupted or incomplete"),
        (llama_command(), port, 1, "couldn't bind HTTP server socket"),
        (llama_command("--nonsense"), None, 1, "error: invalid argument: --nonsense"),
        (["sh", "-c", 'ulimit -v 500000; exec "$@"', "sh", *llama_command("-c", 400000)], None, 1,
         "failed to allocate buffer for kv cache"),
        (whisper_command(model="/nowhere/m.bin"), None, 3, "failed to initialize whisper context"),
        (whisper_command(model=junk), None, 3, "invalid model data (bad magic)"),
        (whisper_command(model=cut(speech_model(), 3000000)), None, 3, "not all tensors loaded"),
        (whisper_command(), port, 1, "couldn't bind to server socket"),
        (["sh", "-c", 'ulimit -v 200000; exec "$@"', "sh", *whisper_command()], None, -signal.SIGABRT, "std::bad_alloc"),
    ]
    for command, on, status, says in cases:
        got, log = end_of(command, port=on)
        assert got == status and says in log, (command, got, log[-2000:])
    listener.close()


def a_killed_server_leaves_its_port_free_for_the_next():
    first = llama()
    port = first.port
    first.kill()
    with llama(port=port) as second:
        assert second.ask("GET", "/health")[0] == 200


run_all([
    a_process_is_the_server_itself,
    llama_answers_as_long_as_it_is_told,
    whisper_hears_something_in_every_clip,
    models_and_clips_follow_from_their_seed,
    other_shapes_load_too,
    mistakes_of_the_makers_options_are_said,
    wrong_starts_end_at_once_with_words_that_tell_why,
    a_killed_server_leaves_its_port_free_for_the_next,
])
