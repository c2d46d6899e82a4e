#!/usr/bin/env bash
# results.sh [--quick]: runs every benchmark but veth.sh and kernel.sh and writes RESULTS.md: the machine, the date, the tables, missed goals included.
#
# The figures as JSON are kept in .peers/results/; `results.py` makes the page anew from them. Takes about half an hour, --quick five minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
quick=()
case "${1:-}" in
  --quick) quick=(--quick) ;;
  "") ;;
  *) echo "usage: results.sh [--quick]" >&2; exit 2 ;;
esac
"$here/install-peers.sh" >&2
kept=$root/.peers/results
mkdir -p "$kept"

# A missed goal (exit status 1) is a result too; only a benchmark that says nothing is a failure.
measure() {
  local name=$1
  shift
  echo "results.sh: $name" >&2
  "$@" >"$kept/$name.new" || [ -s "$kept/$name.new" ] || { echo "results.sh: $name failed" >&2; exit 1; }
  mv "$kept/$name.new" "$kept/$name.jsonl"
}
bench=$root/.build/release/sluice-bench
measure peers python3 "$here/peers.py" --json "${quick[@]}"
measure setup python3 "$here/setup.py" --json "${quick[@]}"
measure rules python3 "$here/rules.py" --json "${quick[@]}"
measure core-rules "$bench" rules --json --count "$([ ${#quick[@]} -gt 0 ] && echo 100000 || echo 1000000)"
measure attack "$bench" attack --json
exec python3 "$here/results.py"
