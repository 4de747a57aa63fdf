#!/bin/sh
# An evaluator for tests: its latency follows from the parameters `a` and `b`, and when it ran goes to
# $SPANS.
begin=$(date +%s%N)
request=$(cat)
a=$(printf '%s' "$request" | sed -n 's/.*"a": *\([0-9]*\).*/\1/p')
b=$(printf '%s' "$request" | sed -n 's/.*"b": *\([0-9]*\).*/\1/p')
noise=$(printf '%s' "$request" | sed -n 's/.*"seed": *[0-9]*\([0-9]\)[^0-9].*/\1/p')
printf '{"status": "ok", "metrics": {"latency_ms": %s.%s}}\n' "$((a * 10 + ${b:-0} * 5))" "${noise:-0}"
echo "$begin $(date +%s%N)" >> "$SPANS"
