#!/usr/bin/env python3
"""torch-server.py --mib N [--host H] [--port P] [--max-num-seqs N]: a server that asks as little of a machine with a GPU as
can be: PyTorch. It holds N MiB, answers /v1/completions like vLLM, streamed or not, and multiplies a matrix for every
token. Where PyTorch finds no GPU it does the same on the CPU and says so: a fall-back as it happens."""
import argparse
import http.server
import json
import sys

import torch

SIDE = 1024  # of the matrix


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a token goes out when it is there
    matrix = None

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200 if self.path in ("/health", "/v1/models") else 404, {"data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        tokens = int(body.get("max_tokens") or 16)
        usage = {"prompt_tokens": len(str(body.get("prompt", "")).split()), "completion_tokens": tokens}
        if body.get("stream"):
            return self.stream(tokens, usage)
        for _ in range(tokens):
            self.token()
        self.answer(200, {"choices": [{"index": 0, "text": " w" * tokens, "finish_reason": "length"}], "usage": usage})

    def stream(self, tokens, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(tokens):
            self.token()
            last = "length" if i == tokens - 1 else None
            self.event(json.dumps({"choices": [{"index": 0, "text": " w", "finish_reason": last}]}))
        self.event(json.dumps({"choices": [], "usage": usage}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def token(self):
        float((self.matrix @ self.matrix)[0, 0])  # a number that is read has been computed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mib", type=int, required=True)
    parser.add_argument("--max-num-seqs")  # taken, as a setting that an experiment can tune
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        print("no GPU was found, running on the CPU", file=sys.stderr, flush=True)
    held = torch.ones(args.mib << 18, dtype=torch.float32, device=device)
    Handler.matrix = torch.eye(SIDE, device=device)
    server = http.server.ThreadingHTTPServer((args.host, args.port), Handler)
    print(f"holding {held.nbytes} bytes on {device}, listening at http://{args.host}:{server.server_port}", flush=True)
    server.serve_forever()


main()
