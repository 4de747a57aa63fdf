#!/bin/sh
# An evaluator in shell: asks the model services that are running now how fast they answer.
# Reads one JSON object, prints JSON lines, the last one the result. Needs curl and jq.
#
#   evaluator:
#     command: [./observe.sh]
#     env: {LLM_URL: "http://127.0.0.1:8000/v1/models"}
#
# It does not start the candidate, so its results count as `observed` and promote nothing.
set -eu
request=$(cat)
url=${LLM_URL:-http://127.0.0.1:8000/v1/models}

fail() { # outcome, reason
	jq -cn --arg status "$1" --arg reason "$2" '{status: $status, reason: $reason}'
	exit 0
}

[ "$(printf %s "$request" | jq -r .schema)" = dream.eval-request/v1 ] ||
	fail measure_failed "this evaluator speaks dream.eval-request/v1 only"

n=5
times=
i=0
while [ $i -lt $n ]; do
	# Seconds, with curl's clock: from the connect to the last byte.
	t=$(curl -fsS -o /dev/null -w '%{time_total}' --max-time 10 "$url") ||
		fail unhealthy "the model server at $url does not answer"
	times="$times $t"
	i=$((i + 1))
	jq -cn --argjson share "$i" --argjson n $n '{event: "progress", share: ($share / $n)}'
done

echo "$times" | jq -cR --argjson n $n '
	split(" ") | map(select(. != "") | tonumber * 1000) | sort |
	{status: "ok", metrics: {llm_latency_ms: {value: .[length / 2 | floor], unit: "ms", n: $n}}}'
