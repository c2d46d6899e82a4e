#!/usr/bin/env bash
# deps.sh [build] [test] [bench]: installs the system packages that are needed, only those that are missing, quietly.
#
# Without arguments: build. `test` is what the demo and the integration tests run (ping, iperf3, namespaces), `bench` the
# peers that the benchmarks measure. Without root it only says what is missing.
set -euo pipefail

build="ca-certificates git make pkg-config binutils g++ libbpf-dev libelf-dev libmnl-dev
  libnuma-dev libsqlite3-dev zlib1g-dev"
test="iproute2 iputils-ping iperf3 procps util-linux curl python3 python3-venv"
bench="ethtool iperf3 iputils-ping openvswitch-switch openvswitch-switch-dpdk dpdk librte-net-af-xdp23 librte-net-pcap23 librte-net-null23
  iproute2 python3"

wanted=""
for set in "${@:-build}"; do
  case $set in
    build) wanted+=" $build" ;;
    test) wanted+=" $test" ;;
    bench) wanted+=" $bench" ;;
    *) echo "deps.sh: $set: expected build, test or bench" >&2; exit 2 ;;
  esac
done

missing=""
for package in $wanted; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=" $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "deps.sh: missing packages; install them with: sudo apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1; }
# The package lists of a fresh machine may be absent or old: fetch them only when the first attempt fails.
if ! install && ! { apt-get update -qq >>"$log" 2>&1 && install; }; then
  cat "$log" >&2
  exit 1
fi
