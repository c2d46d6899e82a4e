"""DPDK's testpmd in io mode: what receiving and sending cost when nothing is decided in between. The floor."""

import os
import re
import signal
import statistics

from machine import CONTROL_CPU, PEERS, WORKER_CPU, BenchmarkError, end, prefer, start, wait_for


class TestPMD:
    """One testpmd that forwards between two virtual devices on the worker's CPU, and prints its rates each second."""

    __test__ = False  # not a test class, whatever its name begins with

    def __init__(self, devices, buffers, namespace=None):
        command = [
            "dpdk-testpmd", "-l", f"{CONTROL_CPU},{WORKER_CPU}", "--no-pci", "--in-memory", f"--file-prefix=slbenchtp{os.getpid()}"]
        for device in devices:
            command += ["--vdev", device]
        command += [
            "--", "--forward-mode=io", "--nb-cores=1", f"--total-num-mbufs={buffers}", "--auto-start", "--stats-period", "1"]
        self.log = PEERS / "testpmd.log"
        self.process = start(*(namespace.enter(*command) if namespace else command), log="testpmd.log")
        wait_for(lambda: "NIC statistics" in self.log.read_text() or self.process.poll() is not None, 60, "testpmd")
        if self.process.poll() is not None:
            raise BenchmarkError(f"testpmd ended: {self.log.read_text()[-600:]}")
        prefer(self.process.pid)

    def packets_per_second(self):
        """The median of the rates that it has printed."""
        return statistics.median(self._rates())

    def best_packets_per_second(self):
        """The largest of the rates that it has printed."""
        return max(self._rates())

    def _rates(self):
        """The rates so far, without the first two, which are its start."""
        reports = self.log.read_text().split("NIC statistics for port 0")[1:]
        rates = [sum(map(int, re.findall(r"Tx-pps:\s+(\d+)", report))) for report in reports]
        return rates[2:] or rates[-1:]

    def close(self):
        end(self.process, by=signal.SIGINT)
