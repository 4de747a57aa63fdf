"""The client that Python programs are built on, measured as bench/loadgen.c measures ours.

usage: loadgen-aiohttp.py unary PORT BODY REQUESTS AT_ONCE
       loadgen-aiohttp.py stream PORT BODY STREAMS TOKENS

Prints "cpu_us=..." (a request's or an event's) and for streams "late_p50_us=... late_p99_us=...". What it takes to load
Python and aiohttp is not counted. The events are not decoded as JSON, which favours it.
"""
import asyncio
import sys
import time

import aiohttp

TOKEN = b'"text":" '


def cpu_us():
    return time.process_time_ns() / 1e3


async def unary(session, url, body, requests, at_once):
    left = requests

    async def user():
        nonlocal left
        while left > 0:
            left -= 1
            async with session.post(url, data=body) as answer:
                await answer.read()
                assert answer.status == 200

    began = cpu_us()
    await asyncio.gather(*(user() for _ in range(at_once)))
    print(f"cpu_us={(cpu_us() - began) / requests:.2f}")


async def stream(session, url, body, streams, tokens):
    late = []

    async def one(judged):
        seen = 0
        async with session.post(url, data=body) as answer:
            async for line in answer.content:
                at = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                place = line.find(TOKEN)
                if place >= 0:
                    seen += 1
                    if judged:
                        late.append(at - int(line[place + len(TOKEN) : line.index(b'"', place + len(TOKEN))]))
        assert seen == tokens

    await asyncio.gather(*(one(False) for _ in range(streams)))  # connects
    began = cpu_us()
    await asyncio.gather(*(one(True) for _ in range(streams)))
    used = cpu_us() - began
    late.sort()
    print(f"cpu_us={used / len(late):.2f} late_p50_us={late[len(late) // 2]} late_p99_us={late[len(late) * 99 // 100]}")


async def main():
    kind, port, body, n, m = sys.argv[1], sys.argv[2], sys.argv[3].encode(), int(sys.argv[4]), int(sys.argv[5])
    url = f"http://127.0.0.1:{port}/v1/completions"
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        await (unary if kind == "unary" else stream)(session, url, body, n, m)


asyncio.run(main())
