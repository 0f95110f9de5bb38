#!/usr/bin/env bash
# Runs a file of chat requests as a batch and prints every answer with its custom_id. It needs curl and jq.
#
#     ./run-batch.sh requests.jsonl
#
# The requests that failed are written to requests.failed.jsonl, so that you can correct them and run that file.
set -euo pipefail

api=${NIGHTSHIFT_BASE_URL:-http://127.0.0.1:7800/v1}
auth="authorization: Bearer ${NIGHTSHIFT_API_KEY:-local-key}"
input=$1
base=${input%.jsonl}

file_id=$(curl -sS --fail-with-body "$api/files" -H "$auth" -F purpose=batch -F "file=@$input" | jq -r .id)
endpoint=$(jq -nr 'input.url' "$input")
batch_id=$(curl -sS --fail-with-body "$api/batches" -H "$auth" -H 'content-type: application/json' \
  -d "{\"input_file_id\":\"$file_id\",\"endpoint\":\"$endpoint\",\"completion_window\":\"24h\"}" | jq -r .id)

while
  batch=$(curl -sS --fail-with-body "$api/batches/$batch_id" -H "$auth")
  [[ ! $(jq -r .status <<< "$batch") =~ ^(completed|failed|expired|cancelled)$ ]]
do
  sleep 1
done

if [[ $(jq -r .status <<< "$batch") == failed ]]; then
  jq -r '.errors.data[] | "line \(.line): \(.message)"' <<< "$batch" >&2
  exit 1
fi

# Only files that have a line exist.
for result in output error; do
  : > "$base.$result.jsonl"
  result_id=$(jq -r ".${result}_file_id // empty" <<< "$batch")
  if [[ -n $result_id ]]; then
    curl -sS --fail-with-body "$api/files/$result_id/content" -H "$auth" > "$base.$result.jsonl"
  fi
done

jq -r '[.custom_id, "ok", .response.body.choices[0].message.content] | @tsv' "$base.output.jsonl"
jq -r '[.custom_id, "failed", if .response then "\(.response.status_code) \(.response.body.error.message)" else .error.message end] | @tsv' \
  "$base.error.jsonl"

if [[ -s $base.error.jsonl ]]; then
  jq -cn --slurpfile failed "$base.error.jsonl" \
    '($failed | INDEX(.custom_id)) as $ids | inputs | select($ids[.custom_id])' "$input" > "$base.failed.jsonl"
  echo "Failed requests: $(jq -n "[inputs] | length" "$base.failed.jsonl"). Correct them in $base.failed.jsonl, then run that file." >&2
fi
