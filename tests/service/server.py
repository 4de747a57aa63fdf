#!/usr/bin/python3 -IS
# A server of few words for the tests of instances: /health and /v1/completions on 127.0.0.1:PORT,
# and one bad habit at a time, as its arguments say.
import os, signal, socket, sys, time

port = int(sys.argv[1])
habits = sys.argv[2:]


def value(name, default):
    return next((float(h.split("=")[1]) for h in habits if h.startswith(name + "=")), default)


print("hello from", os.getpid(), *habits, flush=True)
if "env" in habits:
    for name in sorted(os.environ):
        print(f"{name}={os.environ[name]}", flush=True)
if "no-term" in habits:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "children" in habits:  # in a session of their own, deaf, and abandoned
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() != 0:
                os._exit(0)
            time.sleep(1000)
if "fail" in habits:
    sys.exit("error: model.gguf: no such file")
if "flood" in habits:
    line = b"x" * 1023 + b"\n"
    for _ in range(64):
        os.write(1, line * 1024)
    print("the last line of the flood", flush=True)
time.sleep(value("late", 0))
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", port))
s.listen(64)
began = time.monotonic()


def answer(c, status, body):
    c.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


while True:
    c, _ = s.accept()
    rq = b""
    while b"\r\n\r\n" not in rq:
        more = c.recv(65536)
        if not more:
            break
        rq += more
    head, _, body = rq.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += c.recv(65536)
    if rq.startswith(b"GET /health"):
        loading = time.monotonic() - began < value("loading", 0)
        answer(c, 503 if loading else 200, '{"status":"ok"}')
    elif "stop-self" in habits:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif "refuse" in habits:
        answer(c, 500, '{"error":"no such model"}')
    elif "empty" in habits:
        answer(c, 200, '{"choices":[]}')
    else:
        answer(c, 200, '{"choices":[{"text":"hi"}],"usage":{"completion_tokens":1}}')
        if "die" in habits:
            print("something broke", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
    c.close()
