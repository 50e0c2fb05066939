#!/bin/sh
# Measures everything and makes RESULTS.md anew, in about half an hour:   bench/results.sh PEER_DIR [OPTION...]
# PEER_DIR is the folder of the reference's benchmark; options go to every measurement (for example --loop uvloop).
set -e
peer=${1:?"usage: bench/results.sh PEER_DIR [OPTION...]"}
shift
bench=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
documents=$(mktemp -d)
trap 'rm -rf "$documents"' EXIT
"$python" "$bench/run.py" --stack embedded "$@" --out "$documents/1-embedded.json" >/dev/null
"$python" "$bench/run.py" --stack real --memory "$@" --out "$documents/2-real.json" >/dev/null
"$python" "$bench/run.py" --stack real --workers 2 --idle 0 "$@" --out "$documents/3-two-workers.json" >/dev/null
"$python" "$bench/constructs.py" --stack real "$@" --out "$documents/4-constructs.json" >/dev/null
"$python" "$bench/head_to_head.py" "$peer" "$@" --out "$documents/5-head-to-head.json" >/dev/null
"$python" "$bench/report.py" "$documents"
