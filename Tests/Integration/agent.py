"""The agent under test: started in a node's namespace with a configuration, store and socket of its own."""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# SLUICE_BIN names another directory with the three programs, such as .build/debug.
BIN = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / ".build" / "release"))
CTL = BIN / "sluicectl"
METRICS = "127.0.0.1:9474"
_sequence = itertools.count(1)


def worker_cpu():
    """The CPU of the worker: the second one where there is one."""
    return 1 if os.cpu_count() > 1 else 0


class Agent:
    """One agent, from start to end.

    Attributes: `socket` (its gRPC socket), `directory` (everything it writes), `node` (its namespace), `process`.
    """

    def __init__(self, node, directory=None, **sections):
        self.node = node
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sluice-test-")
            directory = self._temporary.name
        self.directory = pathlib.Path(directory)
        self.socket = str(self.directory / "sluice.sock")
        self.store = self.directory / "sluice.db"
        self.config = self.directory / "sluiced.yaml"
        # Maps outlive an agent, and all namespaces share the file system where they are pinned.
        self.pins = pathlib.Path(f"/sys/fs/bpf/sluice-test-{os.getpid()}-{next(_sequence)}")
        self.process = None
        self._log = self.directory / "agent.log"
        self.configure(**sections)

    # --- its life -----------------------------------------------------------------------------------------------------

    def configure(self, **sections):
        """Writes the configuration: the sections given, over the defaults of the tests. JSON is YAML too."""
        settings = {
            "agent": {"socket": self.socket, "store": str(self.store), "logLevel": "debug"},
            "metrics": {"address": METRICS},
            "workers": {"count": 1, "cpus": [worker_cpu()]},
            # Tests of the workers want every packet there; test_kernel.py says otherwise.
            "kernel": {"placement": "off", "directory": str(self.pins)},
        }
        for name, section in sections.items():
            if isinstance(section, dict):
                settings.setdefault(name, {}).update(section)
            else:
                settings[name] = section
        self.config.write_text(json.dumps(settings, indent=2) + "\n")

    def start(self, timeout=20):
        """Starts the program and returns when it says READY=1 to its supervisor."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = str(self.directory / "notify.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        notify.bind(path)
        with notify, open(self._log, "a") as log:
            self.process = subprocess.Popen(
                self.node.enter(BIN / "sluiced", "--config", self.config), stdout=log, stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": path})
            notify.settimeout(0.1)
            end = time.monotonic() + timeout
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError, socket.timeout):
                    if b"READY=1" in notify.recv(4096):
                        return self
                if self.process.poll() is not None:
                    raise AssertionError(f"sluiced ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        raise AssertionError(f"sluiced did not become ready in {timeout} s:\n{self.log()[-3000:]}")

    def stop(self, timeout=15):
        """Ends the agent as a supervisor does (SIGTERM) and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        self.process = None
        return status

    def kill9(self):
        """Ends the agent without any chance to clean up."""
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def restart(self):
        """Starts again what was stopped or killed, with the same configuration and store."""
        if self.process is not None:
            self.stop()
        return self.start()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill9()
        if self.pins.exists():
            self.uninstall()
        if self._temporary:
            self._temporary.cleanup()

    def uninstall(self):
        """Removes what an agent that does not run left in the kernel, and returns what that was."""
        done = subprocess.run(
            self.node.enter(BIN / "sluiced", "--config", self.config, "--uninstall"), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.splitlines()

    def log(self):
        """All that the agent has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    # --- talking to it --------------------------------------------------------------------------------------------------

    def ctl(self, *arguments, check=True, input=None, timeout=30):
        """Runs sluicectl against this agent and returns its CompletedProcess."""
        done = subprocess.run(
            [str(CTL), "--socket", self.socket, *map(str, arguments)], capture_output=True, text=True, input=input,
            timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(
                f"sluicectl {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}\n"
                f"the agent's log:\n{self.log()[-2000:]}")
        return done

    def json(self, *arguments, **options):
        """The document that `sluicectl -o json` prints."""
        return json.loads(self.ctl("-o", "json", *arguments, **options).stdout)

    def refusal(self, *arguments, input=None):
        """The error message of a command that must fail with exit status 1."""
        done = self.ctl(*arguments, check=False, input=input)
        assert done.returncode == 1, f"exit {done.returncode}, expected 1\n{done.stdout}{done.stderr}"
        assert done.stderr.startswith("sluicectl: "), done.stderr
        return done.stderr

    def add(self, *containers):
        """A port for each container, numbered 1, 2, 3 ... in this order."""
        for container in containers:
            self.ctl("port", "add", container.port, "--number", container.number)

    def rules(self, *rules):
        """Replaces all rules."""
        self.ctl("rule", "del", "--all")
        if rules:
            self.ctl("rule", "add", "-", input="\n".join(rules) + "\n")

    def port(self, name):
        return self.json("port", "show", name)

    def drops(self):
        """Dropped packets by reason, all ports together."""
        return self.json("status")["drops"]

    def get(self, path):
        """(status, body) of an HTTP GET at the metrics address, from inside the node's namespace."""
        host, port = METRICS.split(":")
        opened = self.node.call(lambda: socket.create_connection((host, int(port)), 5))
        connection = http.client.HTTPConnection(host, int(port))
        connection.sock = opened
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The value of one metric, summed over the series that carry these labels; None when there is none."""
        total = None
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == name and all(f'{key}="{word}"' in series for key, word in labels.items()):
                total = (total or 0) + float(value)
        return total

    # --- what it costs --------------------------------------------------------------------------------------------------

    def cpu_seconds(self):
        """User and system time of the process so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def eventually(condition, seconds=5, every=0.05):
    """Waits until `condition()` is true and returns its value; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not so within {seconds} s: {getattr(condition, '__doc__', None) or condition}")
        time.sleep(every)
