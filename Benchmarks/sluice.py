"""Ours in the benchmarks: the agent on veth ports, and sluice-bench on a trace."""

import json
import os
import subprocess

from machine import PEERS, ROOT, WORKER_CPU, BenchmarkError, at_exit, end, prefer, run, start, wait_for

BIN = ROOT / ".build/release"


class Agent:
    """The agent in a namespace, with one worker that polls as the peers' do. `kernel` is the placement of flows in the kernel."""

    def __init__(self, namespace, mode="busy", kernel="off"):
        self.base = PEERS / f"sluice-{os.getpid()}"
        self.socket = f"{self.base}.sock"
        config = {
            "agent": {"socket": self.socket, "store": f"{self.base}.db"},
            "workers": {"count": 1, "cpus": [WORKER_CPU], "mode": mode},
            "kernel": {"placement": kernel},
        }
        path = self.base.with_suffix(".yaml")
        path.write_text(json.dumps(config))
        self.process = start(*namespace.enter(BIN / "sluiced", "--config", path), log="sluiced.log")
        at_exit(self.close)
        wait_for(self._answers, 15, "sluiced")

    def _answers(self):
        if self.process.poll() is not None:
            raise BenchmarkError(f"sluiced ended: {(PEERS / 'sluiced.log').read_text()[-600:]}")
        # The exit status tells; an agent that is not there yet is no error here.
        return os.path.exists(self.socket) and run(BIN / "sluicectl", "--socket", self.socket, "version", check=False)

    def control(self, *arguments, timeout=120):
        prefer(self.process.pid)
        return run(BIN / "sluicectl", "--socket", self.socket, *arguments, timeout=timeout)

    def uninstall(self):
        """Ends the agent and takes away what it leaves in the kernel for the next one."""
        run(BIN / "sluicectl", "--socket", self.socket, "agent", "uninstall", check=False)
        self.close()

    def close(self):
        end(self.process)
        for suffix in (".db", ".db-wal", ".db-shm", ".db.lock", ".yaml"):
            self.base.with_suffix(suffix).unlink(missing_ok=True)


def bench(command, *arguments, seconds):
    """The figures of a command of sluice-bench, a list of JSON documents. Its worker has the contender's CPU."""
    output, errors = PEERS / "sluice-bench.json", PEERS / "sluice-bench.log"
    with open(output, "w") as stdout, open(errors, "w") as stderr:
        process = start(
            BIN / "sluice-bench", command, "--cpu", WORKER_CPU, "--json", *arguments, stdout=stdout, stderr=stderr)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"sluice-bench {command}: did not end within {seconds} seconds") from None
        if status != 0:
            raise BenchmarkError(f"sluice-bench {command}: {errors.read_text()[-600:]}")
    return [json.loads(line) for line in output.read_text().splitlines()]


def forward(rules, traces, seconds, *arguments):
    """The figures of `sluice-bench forward`, as its JSON document."""
    inputs = [word for trace in traces for word in ("--trace", trace)]
    return bench("forward", "--rules", rules, *inputs, "--seconds", seconds, *arguments, seconds=120 + seconds)[0]
