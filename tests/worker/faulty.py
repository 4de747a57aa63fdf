#!/usr/bin/env python3
"""Starts a server's command with something wrong about it, the same for every server: faulty.py FAULT COMMAND...
What becomes of the command is the command's own: most faults end in exec(), so that the process is the server."""
import http.server
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time


def port_of(words):
    return int(words[words.index("--port") + 1])


def run(words):
    os.execvp(words[0], words)


def front(words, answer):
    """Listens on the server's port and answers in its place."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer(self)

        do_POST = do_GET

        def log_message(self, *_):
            pass
    http.server.ThreadingHTTPServer(("127.0.0.1", port_of(words)), Handler).serve_forever()


def say(handler, status, text):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


def not_now(handler):
    say(handler, 503, b'{"error":{"message":"Service Unavailable","code":503}}')


def half(handler):
    """Well by its health page; every other answer breaks off."""
    if handler.command == "GET":
        return say(handler, 200, b'{"status":"ok"}')
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'data: {"choices":[{"index":0,"te')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def deaf(words):
    """A server that takes no SIGTERM, neither itself nor its last child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(words)
    child.wait()
    time.sleep(600)


def parent(words, ends):
    """Children that leave the group and the session, some of them orphans at once."""
    child = "import os,time\nos.setsid()\nif os.fork() == 0:\n time.sleep(600)\ntime.sleep(600)"
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", child])
    if ends:
        time.sleep(0.3)
        sys.exit(7)
    run(words)


def flood(words):
    def write():
        line = b"INFO: a line that says nothing, again and again, until nobody can read this log any more\n" * 500
        while True:
            os.write(1, line)
            time.sleep(0.001)
    threading.Thread(target=write, daemon=True).start()
    sys.exit(subprocess.run(words).returncode)


def little_memory(words):
    resource.setrlimit(resource.RLIMIT_AS, (6 << 20, 6 << 20))
    run(words)


def says_its_command(words):
    print("non-default args:", words, dict(os.environ), flush=True)
    sys.exit(3)


faults = {
    "slow": lambda w: (time.sleep(1.5), run(w)),
    "stopped": lambda w: (os.kill(os.getpid(), signal.SIGSTOP), run(w)),
    "ends": lambda w: (print("I cannot go on", flush=True), sys.exit(3)),
    "crashes": lambda w: os.kill(os.getpid(), signal.SIGSEGV),
    "503": lambda w: front(w, not_now),
    "half": lambda w: front(w, half),
    "deaf": deaf,
    "children": lambda w: parent(w, False),
    "orphans": lambda w: parent(w, True),
    "flood": flood,
    "memory": little_memory,
    "tells": says_its_command,
}

if __name__ == "__main__":
    faults[sys.argv[1]](sys.argv[2:])
