"""An independent client of sluice.v1: Python's grpcio and stubs made from the .proto, nothing of Sluice's own client.

What holds here holds for any gRPC client: every service, the codes and sentences of errors, streams, many calls at once.
"""

import concurrent.futures
import os
import pathlib
import socket
import sys
import time

import grpc
import pytest
from agent import ROOT
from grpc_tools import protoc

PROTO = ROOT / "Sources" / "AgentAPI" / "Proto"
SERVICES = ["Agent", "Ports", "Rules", "Groups", "Meters", "Flows", "Deny", "Limits", "Workers", "Fdb", "Monitor"]


class Stubs:
    """The modules that protoc makes; `health` is made from its own folder, as its package's name is grpcio's."""

    def __init__(self, directory):
        for root, proto in [(PROTO / "sluice" / "v1", "sluice.proto"), (PROTO / "grpc" / "health" / "v1", "health.proto")]:
            failed = protoc.main(
                ["protoc", f"-I{root}", f"--python_out={directory}", f"--grpc_python_out={directory}", proto])
            assert not failed, f"protoc refuses {proto}"
        sys.path.insert(0, str(directory))
        import health_pb2
        import health_pb2_grpc
        import sluice_pb2
        import sluice_pb2_grpc

        self.messages, self.services = sluice_pb2, sluice_pb2_grpc
        self.health_messages, self.health_services = health_pb2, health_pb2_grpc


class Client:
    """One channel, and a stub of each service as an attribute: `client.ports.List(...)`."""

    def __init__(self, stubs, path):
        self.m = stubs.messages
        self.channel = grpc.insecure_channel(f"unix:{path}")
        for name in SERVICES:
            setattr(self, name.lower(), getattr(stubs.services, f"{name}Stub")(self.channel))
        self.health = stubs.health_services.HealthStub(self.channel)

    def add_rules(self, *batches):
        return self.rules.Add(iter([self.m.RuleText(lines=batch) for batch in batches]), timeout=10)

    def all_rules(self, **selector):
        request = self.m.ListRulesRequest(selector=self.m.RuleSelector(**selector))
        return [rule for reply in self.rules.List(request, timeout=10) for rule in reply.rules]

    def all_flows(self, **selection):
        request = self.m.ListFlowsRequest(**selection)
        return [flow for reply in self.flows.List(request, timeout=10) for flow in reply.flows]


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    return Stubs(tmp_path_factory.mktemp("stubs"))


@pytest.fixture
def client(agent, stubs):
    made = Client(stubs, agent.socket)
    yield made
    made.channel.close()


def refusal(call, code):
    """The sentence of a call that must fail with this code."""
    with pytest.raises(grpc.RpcError) as raised:
        result = call()
        if not hasattr(result, "DESCRIPTOR"):
            list(result)
    assert raised.value.code() == code, raised.value
    sentence = raised.value.details()
    assert sentence and "\n" not in sentence, sentence
    return sentence


def test_the_status_is_that_of_the_running_agent(agent, client):
    status = client.agent.GetStatus(client.m.GetStatusRequest(), timeout=5)
    assert status.pid == agent.process.pid and status.socket == agent.socket
    assert status.rules == 1 and status.workers == 1 and status.rss_bytes > 0
    assert status.components and all(component.ok for component in status.components)
    version = client.agent.GetVersion(client.m.GetVersionRequest(), timeout=5)
    assert version.version == status.version
    assert version.kernel_release == os.uname().release


def test_a_port_is_added_once_found_by_name_and_number_and_deleted_once(client, net, agent):
    m = client.m
    container = net.container("c1")
    request = m.AddPortRequest(name=container.port, number=7)
    added = client.ports.Add(request, timeout=20)
    assert added.port.number == 7 and added.port.state == m.PORT_STATE_UP and not added.already_present
    assert added.port.ifindex > 0 and added.port.max_mtu >= added.port.mtu > 0 and added.port.queues
    assert client.ports.Add(request, timeout=20).already_present
    assert client.ports.Get(m.GetPortRequest(port="7"), timeout=5).port.name == container.port
    assert [port.name for port in client.ports.List(m.ListPortsRequest(), timeout=5).ports] == [container.port]
    assert client.ports.Delete(m.DeletePortRequest(port=container.port), timeout=20).deleted
    assert not client.ports.Delete(m.DeletePortRequest(port=container.port, if_exists=True), timeout=20).deleted


def test_errors_have_a_code_and_one_sentence(client, net, agent):
    m, code = client.m, grpc.StatusCode
    container, other = net.container("c1"), net.container("c2")
    client.ports.Add(m.AddPortRequest(name=container.port, number=1), timeout=20)
    assert "ghost" in refusal(lambda: client.ports.Get(m.GetPortRequest(port="ghost"), timeout=5), code.NOT_FOUND)
    assert "ghost" in refusal(lambda: client.ports.Delete(m.DeletePortRequest(port="ghost"), timeout=5), code.NOT_FOUND)
    refusal(lambda: client.ports.Add(m.AddPortRequest(name=""), timeout=5), code.INVALID_ARGUMENT)
    taken = m.AddPortRequest(name=other.port, number=1)
    assert "1" in refusal(lambda: client.ports.Add(taken, timeout=5), code.ALREADY_EXISTS)
    traced = m.TraceRequest(description="in_port=1,ip,nw_dst=10.0.0.300")
    assert "10.0.0.300" in refusal(lambda: client.flows.Trace(traced, timeout=5), code.INVALID_ARGUMENT)
    denied = m.AddDenyRequest(prefixes=["192.0.2.0/24", "frog"])
    assert "frog" in refusal(lambda: client.deny.Add(denied, timeout=5), code.INVALID_ARGUMENT)
    assert not [entry for reply in client.deny.List(m.ListDenyRequest(), timeout=5) for entry in reply.entries]


def test_rules_stream_in_and_out_in_batches(client):
    batches = [[f"priority=5,ip,nw_dst=10.{batch}.{host}.0/24,actions=drop" for host in range(200)] for batch in range(5)]
    reply = client.add_rules(*batches)
    assert (reply.added, reply.modified) == (1000, 0)
    reply = client.add_rules(batches[0][:10])
    assert (reply.added, reply.modified) == (0, 10)
    request = client.m.ListRulesRequest()
    sizes = [len(reply.rules) for reply in client.rules.List(request, timeout=10)]
    assert sum(sizes) == 1001 and len(sizes) < 100
    selector = client.m.RuleSelector(match="ip,nw_dst=10.3.0.0/16")
    assert client.rules.Delete(client.m.DeleteRulesRequest(selector=selector), timeout=10).deleted == 200


def test_a_bad_rule_refuses_the_whole_stream_and_says_where(client, stubs):
    before = [rule.text for rule in client.all_rules()]
    with pytest.raises(grpc.RpcError) as raised:
        client.add_rules(
            ["# a comment", "", "priority=1,ip,actions=drop"], ["priority=2,ip,nw_dst=10.0.0.300,actions=drop", "nonsense"])
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details().startswith("line 4: ")
    metadata = dict(raised.value.trailing_metadata())
    errors = stubs.messages.RuleErrors.FromString(metadata["sluice-rule-errors-bin"])
    assert errors.total == 2 and [error.line for error in errors.errors] == [4, 5]
    assert "10.0.0.300" in errors.errors[0].text and errors.errors[0].message
    assert [rule.text for rule in client.all_rules()] == before


def test_rules_are_selected_by_cookie_and_mask(client):
    client.add_rules([f"cookie={cookie:#x},priority={cookie},ip,actions=drop" for cookie in (0x10, 0x11, 0x21)])
    assert sorted(rule.cookie for rule in client.all_rules(cookie=0x10, cookie_mask=0xF0)) == [0x10, 0x11]
    selector = client.m.RuleSelector(cookie=0x01, cookie_mask=0x0F)
    assert client.rules.Delete(client.m.DeleteRulesRequest(selector=selector), timeout=10).deleted == 2


def test_a_listed_rule_can_be_added_again(client):
    client.add_rules(
        ["priority=9,in_port=1,dl_vlan=5,actions=pop_vlan,output:2", "priority=8,tcp,tp_dst=80,actions=dec_ttl,output:3"])
    reply = client.add_rules([rule.text for rule in client.all_rules()])
    assert (reply.added, reply.modified) == (0, 3)


def test_traffic_shows_as_flows_addresses_and_worker_counters(client, pair):
    m = client.m
    first, second = pair
    first.ping(second.ip4, count=5)
    flows = client.all_flows()
    assert flows and all(flow.tier == m.TIER_USER and flow.match for flow in flows)
    assert len({flow.id for flow in flows}) == len(flows)
    assert 0 < len(client.all_flows(port=first.port)) < len(flows)
    assert len(client.all_flows(limit=1)) == 1
    learned = {entry.mac: entry.port for reply in client.fdb.List(m.ListFdbRequest(), timeout=5) for entry in reply.entries}
    assert learned[first.mac] == first.port and learned[second.mac] == second.port
    workers = client.workers.List(m.ListWorkersRequest(), timeout=5)
    assert workers.cycles_per_second > 100_000_000 and sum(worker.packets for worker in workers.workers) >= 10
    assert client.flows.Purge(m.PurgeFlowsRequest(), timeout=5).purged >= len(flows)
    assert client.fdb.Flush(m.FlushFdbRequest(port=first.port), timeout=5).flushed >= 1


def test_a_trace_of_fields_and_of_bytes_agree(client, pair):
    m = client.m
    first, second = pair
    client.add_rules(["priority=10,tcp,tp_dst=80,actions=output:2"])
    fields = f"in_port=1,tcp,dl_src={first.mac},dl_dst={second.mac},nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1234,tp_dst=80"
    described = client.flows.Trace(m.TraceRequest(description=fields), timeout=5)
    ethernet = bytes.fromhex(second.mac.replace(":", "") + first.mac.replace(":", "") + "0800")
    ip = bytes.fromhex("45000028000040004006" "26ce" "0a0000010a000002")
    tcp = (1234).to_bytes(2, "big") + (80).to_bytes(2, "big") + bytes.fromhex("0000000000000000" "5002ffff00000000")
    framed = client.flows.Trace(m.TraceRequest(frame=ethernet + ip + tcp, in_port=first.port), timeout=5)
    for reply in (described, framed):
        assert reply.actions == f"output:{second.port}" and reply.verdict and reply.flow
        assert "tp_dst=80" in reply.steps[0].rule and reply.steps[0].table == 0
        assert any("tp_dst" in field.match for field in reply.fields)
    assert described.flow == framed.flow


def test_denied_prefixes_come_and_go_all_or_none(client):
    m = client.m
    reply = client.deny.Add(m.AddDenyRequest(prefixes=["192.0.2.0/24", "2001:db8::/32"]), timeout=5)
    assert (reply.added, reply.already_present) == (2, 0)
    reply = client.deny.Add(m.AddDenyRequest(prefixes=["192.0.2.0/24", "198.51.100.7"]), timeout=5)
    assert (reply.added, reply.already_present) == (1, 1)
    listed = {entry.prefix for reply in client.deny.List(m.ListDenyRequest(), timeout=5) for entry in reply.entries}
    assert {"192.0.2.0/24", "2001:db8::/32"} < listed and len(listed) == 3
    gone = m.DeleteDenyRequest(prefixes=["192.0.2.0/24", "203.0.113.0/24"])
    assert "203.0.113.0/24" in refusal(lambda: client.deny.Delete(gone, timeout=5), grpc.StatusCode.NOT_FOUND)
    gone.if_exists = True
    assert client.deny.Delete(gone, timeout=5).deleted == 1


def test_a_watcher_sees_what_happens_after_its_headers(client):
    m = client.m
    stream = client.monitor.Watch(m.WatchRequest(kinds=[m.EVENT_KIND_RULES]), timeout=20)
    stream.initial_metadata()
    client.add_rules(["cookie=0x99,priority=3,arp,actions=normal"])
    event = next(iter(stream))
    assert event.WhichOneof("event") == "rule" and event.rule.change == m.RULE_CHANGE_ADDED
    assert event.rule.rule.cookie == 0x99 and event.lost == 0
    assert abs(event.unix_nanoseconds / 1e9 - time.time()) < 10
    stream.cancel()


def test_the_standard_health_service_answers(client, stubs):
    request = stubs.health_messages.HealthCheckRequest
    serving = stubs.health_messages.HealthCheckResponse.SERVING
    assert client.health.Check(request(), timeout=5).status == serving
    for name in SERVICES:
        assert client.health.Check(request(service=f"sluice.v1.{name}"), timeout=5).status == serving
    with pytest.raises(grpc.RpcError) as raised:
        client.health.Check(request(service="sluice.v1.Frog"), timeout=5)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert next(iter(client.health.Watch(request(), timeout=5))).status == serving


def test_hundreds_of_calls_at_once_are_all_answered(client):
    calls = [client.agent.GetStatus.future(client.m.GetStatusRequest(), timeout=30) for _ in range(500)]
    assert {call.result().rules for call in calls} == {1}


def test_many_clients_change_rules_at_once(agent, stubs):
    def work(number):
        one = Client(stubs, agent.socket)
        try:
            for step in range(10):
                one.add_rules([f"priority={number},ip,nw_dst=10.{number}.{step}.0/24,actions=drop"])
            selector = one.m.RuleSelector(match=f"ip,nw_dst=10.{number}.0.0/16")
            return one.rules.Delete(one.m.DeleteRulesRequest(selector=selector), timeout=20).deleted
        finally:
            one.channel.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(1, 17))) == [10] * 16


def test_a_cancelled_stream_of_rules_changes_nothing(client):
    before = [rule.text for rule in client.all_rules()]

    def endless():
        yield client.m.RuleText(lines=["priority=7,ip,actions=drop"])
        time.sleep(2)

    with pytest.raises(grpc.RpcError) as raised:
        client.rules.Add(endless(), timeout=0.5)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    time.sleep(0.5)
    assert [rule.text for rule in client.all_rules()] == before


def test_bytes_that_are_no_http2_do_not_disturb_the_agent(agent, client):
    for junk in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 9):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(agent.socket)
            try:
                raw.sendall(junk)
                raw.settimeout(0.2)
                raw.recv(4096)
            except OSError:
                pass
    assert client.agent.GetStatus(client.m.GetStatusRequest(), timeout=5).pid == agent.process.pid


def test_a_message_that_is_too_large_is_refused_and_nothing_else(client):
    line = "#" + "x" * (25 << 20)
    with pytest.raises(grpc.RpcError):
        client.add_rules([line])
    assert len(client.all_rules()) == 1


def test_a_method_that_does_not_exist_is_unimplemented(client):
    call = client.channel.unary_unary("/sluice.v1.Ports/Explode", lambda _: b"", lambda reply: reply)
    with pytest.raises(grpc.RpcError) as raised:
        call(None, timeout=5)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def as_nobody(path):
    """What a user without rights sees at the socket: "refused", or "closed" when it is turned away after connecting.

    Done in a forked child, which changes its own user; another interpreter might not be readable to that user.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        word = b"error"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as opened:
                opened.settimeout(5)
                opened.connect(path)
                word = b"answered"
                opened.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
                while opened.recv(4096):
                    pass
                word = b"closed"
        except PermissionError:
            word = b"refused"
        except ConnectionError:
            word = b"closed"
        except OSError:
            pass
        finally:
            os.write(writer, word)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        word = answer.read()
    os.waitpid(child, 0)
    return word


def test_other_users_are_not_let_in(agent):
    assert pathlib.Path(agent.socket).stat().st_mode & 0o777 == 0o660
    os.chmod(agent.directory, 0o755)
    assert as_nobody(agent.socket) == "refused"


def test_a_user_whom_only_the_file_mode_lets_in_is_turned_away(agent):
    os.chmod(agent.directory, 0o755)
    os.chmod(agent.socket, 0o666)
    assert as_nobody(agent.socket) == "closed"
    assert agent.ctl("status").returncode == 0
