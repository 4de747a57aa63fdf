#!/bin/sh
# An evaluator in shell: how long does one request to the running model server take?
# Reads one JSON object from standard input, writes JSON lines, the last one the result.
#
#   evaluator:
#     command: [./observe.sh]
#     env: {PROBE: "curl -fsS -o /dev/null http://127.0.0.1:8000/v1/models"}
#
# It does not start the candidate, so its results count as `observed`.
set -eu
request=$(cat)
probe=${PROBE:-curl -fsS -o /dev/null http://127.0.0.1:8000/v1/models}
n=5

case $request in
*'"schema": "dream.eval-request/v1"'*) ;;
*)
	echo '{"status": "measure_failed", "reason": "this evaluator speaks dream.eval-request/v1"}'
	exit 0
	;;
esac

i=0
times=
while [ $i -lt $n ]; do
	begin=$(date +%s%N)
	if ! $probe >&2; then # what it prints must not come between our lines
		echo '{"status": "unhealthy", "reason": "the model server does not answer"}'
		exit 0
	fi
	times="$times $((($(date +%s%N) - begin) / 1000))"
	i=$((i + 1))
	echo "{\"event\": \"progress\", \"done\": $i, \"of\": $n}"
done

median_us=$(printf '%s\n' $times | sort -n | sed -n $(((n + 1) / 2))p)
echo "$median_us $n" | awk '{
	printf "{\"status\": \"ok\", \"metrics\": {\"llm_latency_ms\": "
	printf "{\"value\": %.3f, \"unit\": \"ms\", \"n\": %d}}}\n", $1 / 1000, $2
}'
