"""Ours in the benchmarks: the agent on veth ports, and sluice-bench on a trace."""

import json
import os

from machine import PEERS, ROOT, WORKER_CPU, BenchmarkError, at_exit, end, on, prefer, run, start, wait_for

BIN = ROOT / ".build/release"


class Agent:
    """The agent in a namespace, with one worker that polls as the peers' do."""

    def __init__(self, namespace, mode="busy"):
        self.base = PEERS / f"sluice-{os.getpid()}"
        self.socket = f"{self.base}.sock"
        config = {
            "agent": {"socket": self.socket, "store": f"{self.base}.db"},
            "workers": {"count": 1, "cpus": [WORKER_CPU], "mode": mode},
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

    def control(self, *arguments):
        prefer(self.process.pid)
        return run(BIN / "sluicectl", "--socket", self.socket, *arguments)

    def close(self):
        end(self.process)
        for suffix in (".db", ".db-wal", ".db-shm", ".yaml"):
            self.base.with_suffix(suffix).unlink(missing_ok=True)


def forward(rules, trace, seconds):
    """The figures of `sluice-bench forward`, as its JSON document. Its worker stays on the CPU that the program is put on."""
    output, errors = PEERS / "sluice-bench.json", PEERS / "sluice-bench.log"
    with open(output, "w") as stdout, open(errors, "w") as stderr:
        process = start(
            *on(WORKER_CPU, BIN / "sluice-bench", "forward"), "--rules", rules, "--trace", trace, "--seconds", seconds, "--json",
            stdout=stdout, stderr=stderr)
        if process.wait(60 + seconds) != 0:
            raise BenchmarkError(f"sluice-bench: {errors.read_text()[-600:]}")
    return json.loads(output.read_text())
