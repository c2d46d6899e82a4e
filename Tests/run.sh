#!/usr/bin/env bash
# run.sh [SECTION...]: everything that `make test` runs, in sections, each with its time. Without arguments: all of them.
#
# Sections: debug unit address thread release features fuzz proof integration demo
# With CI=true a test that was skipped is a failure: on the machines of the CI everything can run.
# The release programs are built once and used by the integration tests and the demo; the sanitizers run on the part of the
# package that links no gRPC, because building gRPC again for each would take longer than all tests together.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

Packaging/deps.sh build test
. Packaging/toolchain.sh

: "${FUZZ_RUNS:=200000}"
: "${PROOF_PACKETS:=1000000}"
: "${KERNEL_PROOF_PACKETS:=200000}"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
results=()
failures=()

# Swift Testing says "Test name() skipped", XCTest says "Test Case '...' skipped".
refuse_skips() {
  if [ "${CI:-}" = true ] && grep -E "^[^ ]* ?(Test|Suite) .* skipped|: skipped" "$1"; then
    echo "CI: the tests above were skipped; on this machine they must run" >&2
    return 1
  fi
}

unit_tests() { # LOG ARGUMENTS...: swift test, its output kept to look for skips
  local log=$1
  shift
  swift test "$@" 2>&1 | tee "$log" && refuse_skips "$log"
}

debug() { as_owner swift build --build-tests; }
unit() { unit_tests "$logs/unit" --skip-build; }

# Leaks are not looked for: the test runner itself leaves some 370 bytes behind, all of them XCTest's own.
address() {
  SLUICE_DATAPLANE_ONLY=1 ASAN_OPTIONS=halt_on_error=1:detect_leaks=0:detect_stack_use_after_return=1 \
    unit_tests "$logs/address" --sanitize=address --scratch-path .build/asan
}

thread() {
  SLUICE_DATAPLANE_ONLY=1 TSAN_OPTIONS=halt_on_error=1 \
    unit_tests "$logs/thread" --sanitize=thread --scratch-path .build/tsan
}

release() { build_release; }
features() { Packaging/venv.sh && .venv/bin/python Packaging/features.py --check; }

# See Tests/Proof/README.md. Run them alone: meters and the attack are measured in time.
proof() {
  .build/release/sluice-proof sameness --packets "$PROOF_PACKETS"
  .build/release/sluice-proof sameness --workers 2 --packets "$((PROOF_PACKETS / 50))"
  .build/release/sluice-proof kernel --packets "$KERNEL_PROOF_PACKETS"
  .build/release/sluice-proof barrier
  .build/release/sluice-proof bundles
  .build/release/sluice-proof shares
  .build/release/sluice-proof meters
  .build/release/sluice-proof attack
}

fuzz() { Tests/Fuzz/run.sh --runs "$FUZZ_RUNS"; }

integration() {
  Packaging/venv.sh
  .venv/bin/python -m pytest Tests/Integration -q -rs --durations=5 2>&1 | tee "$logs/integration"
  if [ "${CI:-}" = true ] && grep -qE "^SKIPPED|[0-9]+ skipped" "$logs/integration"; then
    echo "CI: the tests above were skipped; on this machine they must run" >&2
    return 1
  fi
}

demo() { demo/demo.sh; }

# Runs one section and keeps its result. It is a subshell of its own with errexit, because bash ignores errexit inside a
# condition.
section() {
  local name=$1 started=$SECONDS rc
  printf '\n=== %s\n' "$name"
  set +e
  (
    set -e
    "$name"
  ) 2>&1 | tee "$logs/section-$name"
  rc=${PIPESTATUS[0]}
  set -e
  local outcome=ok
  [ $rc = 0 ] || { outcome=FAILED; failures+=("$name"); }
  results+=("$(printf '%-12s %-7s %4d s' "$name" "$outcome" $((SECONDS - started)))")
  printf '=== %s\n' "${results[-1]}"
  # Without its build a section's tests would only repeat the compiler's errors.
  if [ $rc != 0 ] && [[ $name == debug || $name == release ]]; then summary; fi
}

# What failed says why again at the end, because of a long log often only the end is kept.
summary() {
  local name
  for name in "${failures[@]}"; do printf '\n=== the end of %s, which failed\n' "$name"; tail -n 40 "$logs/section-$name"; done
  printf '\n=== summary\n'
  printf '%s\n' "${results[@]}"
  exit $((${#failures[@]} > 0))
}

if [ "$(id -u)" != 0 ]; then
  echo "run.sh: the tests make network namespaces and load XDP programs; run them as root: sudo make test" >&2
  exit 1
fi

for name in ${@:-debug unit address thread release features fuzz proof integration demo}; do
  declare -F "$name" >/dev/null || { echo "run.sh: $name: no such section" >&2; exit 2; }
  section "$name"
done
summary
