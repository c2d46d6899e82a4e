"""The machine under the benchmarks: processes that end with us, namespaces, huge pages, cores and their clock.

Invariant: everything made here is undone when the program ends, on Ctrl-C and on a termination request too.
Cores: control work on CPU 0, the contender's poll thread on CPU 1. So a machine needs two.
"""

import atexit
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
CONTROL_CPU, WORKER_CPU = 0, 1

_undo = []
_processes = []


class BenchmarkError(Exception):
    """Something that the benchmark needs is not there, or a contender failed."""


def at_exit(function):
    _undo.append(function)


@atexit.register
def _leave():
    for process in reversed(_processes):
        end(process)
    for function in reversed(_undo):
        with contextlib.suppress(Exception):
            function()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(*command, check=True, timeout=120, **options):
    """The standard output of a command; both outputs are in the error when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise BenchmarkError(f"{' '.join(map(str, command))}: exit {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
    return done.stdout


def start(*command, log=None, **options):
    """Starts a process in a session of its own, its output in a file of .peers/ (or where `stdout` says)."""
    if log:
        options["stdout"] = open(PEERS / log, "w")
        options["stderr"] = subprocess.STDOUT
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen([str(word) for word in command], start_new_session=True, **options)
    _processes.append(process)
    prefer(process.pid)
    return process


def end(process, by=signal.SIGTERM, seconds=10):
    """Ends a process that `start` started; kills it when it does not listen."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)


def wait_for(condition, seconds, what):
    """Waits until `condition()` is true and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not so within {seconds} seconds")
        time.sleep(0.05)
    return value


def prefer(pid):
    """Puts a process before other work of the machine. `nice` alone does nothing between sessions: each is a scheduling group
    of its own, whose weight is in /proc/PID/autogroup."""
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-20")
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(task), -19)


def thread_seconds(pid, pattern):
    """CPU seconds so far of the threads of a process whose name matches."""
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            if re.match(pattern, pathlib.Path(f"/proc/{pid}/task/{task}/comm").read_text()):
                total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) / 1e9
    return total


def resident_bytes(pid):
    """Resident memory of a process; huge pages of hugetlbfs are not in it."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def cycles_per_second():
    """The rate of the time-stamp counter."""
    if not hasattr(cycles_per_second, "known"):
        cycles_per_second.known = float(run(PEERS / "tsc"))
    return cycles_per_second.known


def huge_pages(mebibytes):
    """Sees to it that so much memory is free in 2 MiB pages; what was added goes back at the end."""
    setting = pathlib.Path("/proc/sys/vm/nr_hugepages")
    before = int(setting.read_text())
    free = _free_huge_pages()
    if free * 2 < mebibytes:
        pathlib.Path("/proc/sys/vm/compact_memory").write_text("1")
        setting.write_text(str(before + (mebibytes + 1) // 2 - free))
        at_exit(lambda: setting.write_text(str(before)))
    if _free_huge_pages() * 2 < mebibytes:
        raise BenchmarkError(f"DPDK needs {mebibytes} MiB of huge pages, the machine gave {_free_huge_pages() * 2}")


def _free_huge_pages():
    return int(re.search(r"HugePages_Free:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])


class Namespace:
    """A network namespace of this benchmark run."""

    def __init__(self, role):
        self.name = f"slbench{os.getpid()}-{role}"
        run("ip", "netns", "add", self.name)
        at_exit(self.delete)
        self.ip("link", "set", "lo", "up")
        # Router solicitations and the like would be counted as traffic.
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")

    def enter(self, *command):
        """The command line that runs `command` in here. Not `ip netns exec`, which hides /sys/fs/bpf."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def run(self, *command, **options):
        return run(*self.enter(*command), **options)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)


def on(cpu, *command):
    """The command line that runs `command` on one CPU."""
    return ["taskset", "-c", str(cpu), *command]


def check(*programs):
    """Refuses a machine that cannot run the benchmarks, with the reason."""
    if os.geteuid() != 0:
        raise BenchmarkError("the benchmarks need namespaces, XDP and huge pages; run them as root")
    if os.cpu_count() < 2:
        raise BenchmarkError("the benchmarks need two CPUs: one for the traffic, one for the contender")
    for program in programs:
        if not (ROOT / ".build/release" / program).exists():
            raise BenchmarkError(f".build/release/{program} is not there; build it with: make build")
