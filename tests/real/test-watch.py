#!/usr/bin/python3
"""The watch on real servers: its probes are understood and answered, what the servers count of themselves is read, and
one that stops answering is found out."""
import json
import os
import signal
import statistics
import subprocess
import threading

from servers import Server, llama, llama_command, run_all, wait_until, whisper


class Watching:
    """A watch of one server, for the time of a `with`."""

    def __init__(self, kind, server, rate=10):
        self.server = server
        self.process = subprocess.Popen([os.environ["WATCH_URL"], kind, server.url, str(rate)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.seen = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.reader.join(20)
        self.process.kill()
        self.process.wait()

    def samples(self, metric, failed=False):
        return [s for s in list(self.seen) if s.get("metric") == metric and s["failed"] == failed]

    def values(self, metric):
        return [s["value"] for s in self.samples(metric)]

    def hard(self):
        return [s["hard"] for s in list(self.seen) if "hard" in s]

    def wait(self, metric, n, failed=False):
        wait_until(lambda: len(self.samples(metric, failed)) >= n, what=f"no {n} {metric}: {self.seen[-5:]}")


def a_language_model_gives_its_figures():
    with llama() as server, Watching("llamacpp", server) as w:
        w.wait("latency_ms", 20)
        whole, first = statistics.median(w.values("latency_ms")), statistics.median(w.values("ttft_ms"))
        assert 0 < first < whole < 1000, (first, whole)
        tokens = w.values("server_token_ms")
        assert len(tokens) >= 10 and all(0 < t < whole for t in tokens), tokens
        assert all(s["load"] is not None for s in w.samples("latency_ms")[1:])
        assert not w.samples("latency_ms", failed=True) and w.hard() == []
        # Each probe is a request to it and nothing else is.
        assert server.metric("llamacpp:tokens_predicted_total") <= 16 * (len(w.samples("latency_ms")) + 1)


def a_server_without_a_page_is_watched_by_its_answers():
    with Server(llama_command()) as server, Watching("llamacpp", server) as w:
        w.wait("latency_ms", 5)
        assert not w.values("server_token_ms") and not w.hard()
        assert all(s["load"] is None for s in w.samples("latency_ms"))


def one_that_stands_still_is_found_out_and_comes_back():
    with llama() as server, Watching("llamacpp", server) as w:
        w.wait("latency_ms", 3)
        server.signal(signal.SIGSTOP)
        w.wait("latency_ms", 3, failed=True)
        wait_until(lambda: w.hard() == ["unhealthy"], what=str(w.seen[-5:]))
        server.signal(signal.SIGCONT)
        before = len(w.samples("latency_ms"))
        w.wait("latency_ms", before + 5)
        server.kill()
        wait_until(lambda: w.hard() == ["unhealthy"] * 2, what=str(w.seen[-5:]))


def a_busier_server_is_slower_and_says_so():
    with llama("-np", 1) as server, Watching("llamacpp", server) as w:
        w.wait("latency_ms", 10)
        quiet = len(w.values("latency_ms"))
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                server.ask("POST", "/v1/completions", {"prompt": "one two three", "max_tokens": 400, "ignore_eos": True})
        user = threading.Thread(target=ask)
        user.start()
        try:
            w.wait("latency_ms", quiet + 10)
        finally:
            stop.set()
            user.join()
        values = w.values("latency_ms")
        loads = [s["load"] for s in w.samples("latency_ms")[quiet:] if s["load"] is not None]
        assert statistics.median(values[quiet + 1:]) > 1.2 * statistics.median(values[:quiet]), values
        assert max(loads) >= 1, loads


def speech_is_recognised():
    with whisper() as server, Watching("whispercpp", server) as w:
        w.wait("latency_ms", 3)
        assert all(v > 0 for v in w.values("latency_ms")) and not w.values("ttft_ms") and w.hard() == []


run_all([a_language_model_gives_its_figures, a_server_without_a_page_is_watched_by_its_answers,
         one_that_stands_still_is_found_out_and_comes_back, a_busier_server_is_slower_and_says_so, speech_is_recognised])
