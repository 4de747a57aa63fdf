#!/bin/sh
# An evaluator for tests: its latency follows from parameter `a`, and when it ran goes to $SPANS.
begin=$(date +%s%N)
request=$(cat)
a=$(printf '%s' "$request" | sed -n 's/.*"a": *\([0-9]*\).*/\1/p')
noise=$(printf '%s' "$request" | sed -n 's/.*"seed": *[0-9]*\([0-9]\)[^0-9].*/\1/p')
printf '{"status": "ok", "metrics": {"latency_ms": %s.%s}}\n' "$((a * 10))" "${noise:-0}"
echo "$begin $(date +%s%N)" >> "$SPANS"
