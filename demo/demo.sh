#!/usr/bin/env bash
# demo.sh: two containers and the outside world, joined by Sluice; real traffic; nothing left behind.
#
#     web 10.77.0.2 --veth--+
#                           +-- node: sluiced --veth-- outside 10.77.0.1
#     db  10.77.0.3 --veth--+
#
# The four are network namespaces of this machine with names of this run. The interfaces keep the kernel's defaults:
# nobody turns checksum or segmentation offload off. Busy flows move into the kernel by themselves. Exits non-zero when any step failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(id -u)" != 0 ]; then
  echo "demo.sh: the demo makes network namespaces and loads XDP programs; run it as root: sudo make demo" >&2
  exit 1
fi

Packaging/deps.sh build test
. Packaging/toolchain.sh

# --- build --------------------------------------------------------------------------------------------------------
echo "=== building (the first time takes minutes, later runs seconds)"
build_log=$(mktemp)
if ! build_release >"$build_log" 2>&1; then
  tail -n 40 "$build_log" >&2
  rm -f "$build_log"
  exit 1
fi
rm -f "$build_log"

bin=$PWD/.build/release
run=$(mktemp -d /tmp/sluice-demo.XXXXXX)
prefix=sluice-demo-$$
socket=$run/sluice.sock
pins=/sys/fs/bpf/$prefix
agent=""
servers=()
failures=()

# --- cleaning up: on success, failure and Ctrl-C alike ---------------------------------------------------------------
cleanup() {
  local status=$? namespace pid
  trap - EXIT INT TERM
  set +e
  for pid in "${servers[@]}" $agent; do kill "$pid" 2>/dev/null; done
  for pid in "${servers[@]}" $agent; do wait "$pid" 2>/dev/null; done
  # What executes flows in the kernel outlives an agent that is merely ended.
  [ -z "$agent" ] || in_ns node "$bin/sluiced" --config "$run/sluiced.yaml" --uninstall >/dev/null
  for namespace in node web db outside; do ip netns del "$prefix-$namespace" 2>/dev/null; done
  rm -rf "$run"
  exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- words ----------------------------------------------------------------------------------------------------------
# Not `ip netns exec`: that would hide /sys/fs/bpf from the agent.
in_ns() { local name=$1; shift; nsenter --net="/run/netns/$prefix-$name" "$@"; }
# Starts a command in the background; its process id is then in $!. Not a function with &, which would be a shell in between.
start_in() { local name=$1; shift; nsenter --net="/run/netns/$prefix-$name" "$@" >"$run/$name.log" 2>&1 & }
ctl() { "$bin/sluicectl" --socket "$socket" "$@"; }
title() { printf '\n=== %s\n' "$*"; }

# Shows a command and its output; a failure is remembered, so that the demo shows all it can before it fails.
show() {
  printf '\n$ %s\n' "$(sed -e "s,$bin/,,g" -e "s, --socket $socket,," -e "s,nsenter --net=/run/netns/$prefix-,in ,g" <<<"$*")"
  "$@" || failures+=("$*")
}
show_ctl() { show "$bin/sluicectl" --socket "$socket" "$@"; }
show_in() { local name=$1; shift; show nsenter --net="/run/netns/$prefix-$name" "$@"; }

# Runs iperf3's own client and prints its summary lines only.
throughput() {
  local from=$1 output
  shift
  printf '\n$ in %s iperf3 %s\n' "$from" "$*"
  if output=$(in_ns "$from" iperf3 "$@" --connect-timeout 3000 2>&1); then
    grep -E 'sender|receiver' <<<"$output"
    # A connection that carried nothing is a failure, even though iperf3 is content with it.
    if grep -qE ' 0\.00 (bits|Bytes)|0\.00 Bytes' <<<"$(grep receiver <<<"$output")"; then failures+=("iperf3 $*: no traffic"); fi
  else
    echo "$output" >&2
    failures+=("iperf3 $*")
  fi
}

# --- the machine ----------------------------------------------------------------------------------------------------
title "four network namespaces: node, web, db, outside"
ip netns add "$prefix-node"
ip -n "$prefix-node" link set lo up

connect() { # NAMESPACE PORT ADDRESS4 ADDRESS6
  ip netns add "$prefix-$1"
  # Duplicate address detection would make the first IPv6 ping wait for two seconds.
  in_ns "$1" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
  ip -n "$prefix-node" link add "$2" type veth peer name eth0 netns "$prefix-$1"
  ip -n "$prefix-node" link set "$2" up
  ip -n "$prefix-$1" link set lo up
  ip -n "$prefix-$1" addr add "$3" dev eth0
  ip -n "$prefix-$1" -6 addr add "$4" dev eth0
  ip -n "$prefix-$1" link set eth0 up
}
connect web web 10.77.0.2/24 fd77::2/64
connect db db 10.77.0.3/24 fd77::3/64
connect outside uplink 10.77.0.1/24 fd77::1/64
echo "web 10.77.0.2, db 10.77.0.3, outside 10.77.0.1 (behind the port uplink)"

title "the agent"
cat >"$run/sluiced.yaml" <<YAML
agent: {socket: $socket, store: $run/sluice.db}
workers: {count: 1, cpus: [$(($(nproc) > 1 ? 1 : 0))]}
kernel: {directory: $pins}
YAML
start_in node "$bin/sluiced" --config "$run/sluiced.yaml"
agent=$!
for _ in $(seq 100); do
  if ctl version >/dev/null 2>&1; then break; fi
  kill -0 "$agent" 2>/dev/null || break
  sleep 0.1
done
if ! ctl version >/dev/null; then
  cat "$run/node.log" >&2
  exit 1
fi
for port in web db uplink; do show_ctl port add "$port"; done

# --- traffic --------------------------------------------------------------------------------------------------------
title "ping: container to container, IPv4 and IPv6, and to the outside"
show_in web ping -c 3 -i 0.2 -W 2 10.77.0.3
show_in web ping -c 3 -i 0.2 -W 2 fd77::3
show_in db ping -c 3 -i 0.2 -W 2 10.77.0.1

title "iperf3: TCP and UDP"
for server in db outside; do
  start_in "$server" iperf3 -s
  servers+=($!)
done
sleep 0.5
throughput web -c 10.77.0.3 -t 3
throughput web -c 10.77.0.1 -t 3
throughput db -c 10.77.0.1 -t 3 -R
throughput web -c 10.77.0.3 -u -b 200M -l 1400 -t 2

# --- what the switch says ---------------------------------------------------------------------------------------------
title "what the switch says about it"
show_ctl status
show_ctl port list
show_ctl port show web
show_ctl fdb list
show_ctl flow list
show_ctl kernel show
if ! ctl flow list | grep -qw kernel; then failures+=("no flow went into the kernel"); fi
mac() { ip -n "$prefix-$1" -o link show eth0 | sed 's/.*ether \([^ ]*\).*/\1/'; }
show_ctl trace "in_port=web,tcp,dl_src=$(mac web),dl_dst=$(mac db),nw_src=10.77.0.2,nw_dst=10.77.0.3,tp_dst=80"
show_ctl worker show

title "a rule takes effect before the command returns"
show_ctl rule add 'priority=100,icmp,nw_dst=10.77.0.1,actions=drop'
printf '\n$ in web ping -c 2 10.77.0.1\n'
if in_ns web ping -c 2 -i 0.2 -W 1 10.77.0.1; then failures+=("the drop rule did not drop"); fi
show_ctl rule list
show_ctl rule del icmp,nw_dst=10.77.0.1
show_in web ping -c 2 -i 0.2 -W 2 10.77.0.1

# --- the end -----------------------------------------------------------------------------------------------------------
title "the agent is ended in the middle of a transfer, which the kernel goes on forwarding"
(sleep 2; kill -TERM "$agent") &
throughput web -c 10.77.0.3 -t 4
wait "$agent" || failures+=("the agent's exit status was $?")

title "and is removed"
show_in node "$bin/sluiced" --config "$run/sluiced.yaml" --uninstall
agent=""
if ip -n "$prefix-node" link show | grep -E 'xdp'; then failures+=("an XDP program was left attached"); fi
if in_ns node tc qdisc show | grep clsact; then failures+=("a tc program was left attached"); fi
[ ! -e "$pins" ] || failures+=("$pins was left behind")
[ ! -e "$socket" ] || failures+=("the socket was left behind")

if [ ${#failures[@]} -gt 0 ]; then
  printf '\ndemo.sh: %d steps failed:\n' ${#failures[@]} >&2
  printf '  %s\n' "${failures[@]}" >&2
  echo "the agent's log:" >&2
  tail -n 30 "$run/node.log" >&2
  exit 1
fi
echo "ok"
