#!/usr/bin/env bash
# install-peers.sh: installs the peers of the benchmarks (OVS, DPDK) and builds the traffic generators into .peers/.
#
# Nothing is started, and no system-wide OVS is touched: the benchmarks run private instances out of .peers/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(id -u)" != 0 ]; then
  echo "install-peers.sh: the benchmarks need namespaces, XDP and huge pages; run them as root" >&2
  exit 1
fi
Packaging/deps.sh build bench
. Packaging/toolchain.sh
mkdir -p .peers

newer() { [ "$1" -nt "$2" ]; }
source=Benchmarks/xdpgen
if newer $source/xdpgen.bpf.c .peers/xdpgen.bpf.o; then
  clang -O2 -g -Wall -Werror -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -c $source/xdpgen.bpf.c -o .peers/xdpgen.bpf.o
fi
if newer $source/xdpgen.c .peers/xdpgen; then gcc -O2 -Wall -Werror $source/xdpgen.c -o .peers/xdpgen -lbpf; fi
if newer $source/tsc.c .peers/tsc; then gcc -O2 -Wall -Werror $source/tsc.c -o .peers/tsc; fi
if newer Benchmarks/sockgen/sockgen.c .peers/sockgen; then gcc -O2 -Wall -Werror Benchmarks/sockgen/sockgen.c -o .peers/sockgen -lpthread; fi
