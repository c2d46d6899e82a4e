"""Fixtures of the integration tests: real programs, real namespaces, real traffic.

`net` makes namespaces, `agent` is a running agent on its node, `pair` two containers on ports 1 and 2 of it. Everything is
removed when the test ends, whichever way it ends. These tests need root and the release programs (`make build`).
"""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from agent import BIN, Agent  # noqa: E402
from namespaces import Net  # noqa: E402


def pytest_sessionstart(session):
    # A finaliser runs on KeyboardInterrupt; a termination request is made to look like one.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    if os.geteuid() != 0:
        pytest.exit("the integration tests make network namespaces; run them as root", returncode=2)
    missing = [name for name in ("sluiced", "sluicectl", "sluice-bench") if not (BIN / name).exists()]
    if missing:
        pytest.exit(f"{BIN} lacks {', '.join(missing)}; build with: make build", returncode=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the agent's log beside a failure."""
    report = yield
    agent = getattr(item, "funcargs", {}).get("agent")
    if report.when == "call" and report.failed and agent is not None:
        report.sections.append(("the agent's log", agent.log()[-4000:]))
    return report


@pytest.fixture
def net():
    made = Net()
    yield made
    made.close()


@pytest.fixture
def sections():
    """Sections of the agent's configuration; a file of tests overrides it."""
    return {}


@pytest.fixture
def agent(net, sections):
    """A running agent with no ports and the default rule."""
    made = Agent(net.node, **sections)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def pair(net, agent):
    """Two containers on ports 1 and 2 of the agent's switch."""
    first, second = net.container("c1"), net.container("c2")
    agent.add(first, second)
    return first, second


@pytest.fixture
def trio(net, agent, pair):
    """Three containers on ports 1, 2 and 3."""
    third = net.container("c3")
    agent.add(third)
    return (*pair, third)
