#!/usr/bin/env bash
# run.sh [--runs N] [--seconds S] [rule|frame]...: fuzzes rule text and the frame parser and rewriter with libFuzzer
# and AddressSanitizer. Default: both targets, 300,000 runs each. A bare number means --seconds.
#
# The modules are compiled by hand, without SwiftPM, because libFuzzer brings its own main. Build and corpus are kept in .build/fuzz, so
# that a longer run goes on where the last one stopped. What crashes a target is left in .build/fuzz/NAME-crash-*.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() { sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}"; exit 2; }
runs=300000
seconds=0
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=${2:?--runs needs a number}; seconds=0; shift ;;
    --seconds) seconds=${2:?--seconds needs a number}; runs=-1; shift ;;
    rule | frame) targets+=("$1") ;;
    [0-9]*) seconds=$1; runs=-1 ;;
    *) usage ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(rule frame)

out=$PWD/.build/fuzz
mkdir -p "$out"
cpu=()
[ "$(uname -m)" = x86_64 ] && cpu=(-Xcc -march=x86-64-v2)
swift=(swiftc -O -swift-version 6 -package-name sluice -sanitize=fuzzer,address -parse-as-library -wmo -enable-testing -gline-tables-only
  "${cpu[@]}" -I "$out" -I Sources/CSluice/Libnuma -Xcc -fmodule-map-file="$out/CSluice.modulemap")

# Compiles a module when one of its sources is newer than its object.
module() { # NAME FOLDER
  local sources
  mapfile -t sources < <(find "Sources/$2" -name '*.swift' | sort)
  if [ -f "$out/$1.o" ] && [ -z "$(find "Sources/$2" Sources/CSluice/Shims "$out"/*.modulemap -newer "$out/$1.o" -print -quit)" ]; then
    return
  fi
  echo "compiling $1"
  "${swift[@]}" -module-name "$1" -emit-module -emit-module-path "$out/$1.swiftmodule" -c "${sources[@]}" -o "$out/$1.o"
  rm -f "$out"/fuzz-*
}

build() {
  local map="module CSluice { header \"$PWD/Sources/CSluice/Shims/include/sluice.h\" export * }"
  [ "$(cat "$out/CSluice.modulemap" 2>/dev/null)" = "$map" ] || echo "$map" >"$out/CSluice.modulemap"
  local source objects=()
  for source in Sources/CSluice/Shims/*.c; do
    clang -O2 -g "${cpu[@]:1:1}" -fsanitize=address,fuzzer-no-link -I Sources/CSluice/Shims/include \
      -c "$source" -o "$out/$(basename "$source" .c).c.o"
    objects+=("$out/$(basename "$source" .c).c.o")
  done
  rm -f "$out/libcsluice.a"
  ar rcs "$out/libcsluice.a" "${objects[@]}"
  module Dataplane Dataplane
  module Pipeline Pipeline
  local target name
  for target in "${targets[@]}"; do
    name=$(tr '[:lower:]' '[:upper:]' <<<"${target:0:1}")${target:1}Fuzz
    [ "$out/fuzz-$target" -nt "Tests/Fuzz/$name.swift" ] && continue
    echo "compiling $name"
    "${swift[@]}" -module-name "$name" "Tests/Fuzz/$name.swift" "$out/Dataplane.o" "$out/Pipeline.o" \
      -L "$out" -lcsluice -lnuma -use-ld=lld -o "$out/fuzz-$target"
  done
}

build
python3 Tests/Fuzz/seeds.py "$out/seeds"
for target in "${targets[@]}"; do
  mkdir -p "$out/corpus-$target"
  limit=(-runs="$runs")
  [ "$seconds" = 0 ] || limit=(-max_total_time="$seconds")
  dictionary=()
  [ -f "Tests/Fuzz/Seeds/$target.dict" ] && dictionary=(-dict="Tests/Fuzz/Seeds/$target.dict")
  echo "fuzzing $target"
  # The crash handler of the Swift runtime takes long and says less than AddressSanitizer does.
  SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 timeout -s KILL $((seconds > 0 ? seconds + 120 : 7200)) \
    "$out/fuzz-$target" "${limit[@]}" "${dictionary[@]}" -max_len=400 -timeout=10 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="$out/$target-" "$out/corpus-$target" "$out/seeds/$target" >"$out/$target.log" 2>&1 || {
    grep -m1 -A15 -E 'ERROR:|Fatal error|Timeout' "$out/$target.log" >&2 || tail -20 "$out/$target.log" >&2
    echo "fuzzing $target found something: see $out/$target.log" >&2
    exit 1
  }
  grep -E '^stat::(number_of_executed_units|average_exec_per_sec)|^Done' "$out/$target.log"
done
