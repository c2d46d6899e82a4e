"""sluice-bench: the benchmark program's contract with the scripts in Benchmarks/."""

import json
import subprocess

import pytest
from agent import BIN, ROOT

KEYS = {"mpps", "cyclesPerPacket", "packets", "exactHits", "classifierHits", "upcalls", "flows", "masks", "rssBytes"}


@pytest.fixture
def trace(tmp_path):
    """A trace of 1,000 flows and the rule that sends them on."""
    pcap, rules = tmp_path / "t.pcap", tmp_path / "rules"
    subprocess.run(["python3", ROOT / "Benchmarks/gen_trace.py", pcap, "--flows", "1000"], check=True, capture_output=True)
    rules.write_text("ip,nw_dst=10.0.0.0/8 actions=output:2\n")
    return pcap, rules


def bench(*arguments):
    return subprocess.run([str(BIN / "sluice-bench"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_forward_prints_one_json_document_with_the_agreed_keys(trace):
    pcap, rules = trace
    done = bench("forward", "--rules", rules, "--trace", pcap, "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert KEYS <= set(result)
    assert result["packets"] > 100_000 and result["mpps"] > 0 and result["cyclesPerPacket"] > 0
    assert result["upcalls"] <= 1000 and result["flows"] >= 1 and result["masks"] >= 1


def test_forward_prints_words_without_json(trace):
    pcap, rules = trace
    done = bench("forward", "--rules", rules, "--trace", pcap, "--seconds", "1")
    assert done.returncode == 0 and "Mpps" in done.stdout


def test_forward_takes_several_traces_and_learns_where_stations_are(trace, tmp_path):
    _, rules = trace
    rules.write_text("actions=normal\n")
    subprocess.run(
        ["python3", ROOT / "Benchmarks/gen_trace.py", tmp_path / "m.pcap", "--flows", "100", "--macs", "10", "--parts", "2"],
        check=True, capture_output=True)
    done = bench(
        "forward", "--rules", rules, "--trace", tmp_path / "m-0.pcap", "--trace", tmp_path / "m-1.pcap", "--stations-at", "2",
        "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    # Five pairs of stations come in by each of the two ports.
    assert json.loads(done.stdout)["flows"] == 10


def test_setup_sets_up_every_flow_and_says_what_one_costs():
    done = bench("setup", "--flows", "20000", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["flows"] == 20000 and result["setupsPerSecond"] > 1000 and result["bytesPerFlow"] > 0


def test_rules_loads_changes_and_removes(tmp_path):
    path = tmp_path / "acl.rules"
    subprocess.run(["python3", ROOT / "Benchmarks/gen_rules.py", path, "--count", "500"], check=True, capture_output=True)
    for arguments in (["--count", "500"], ["--rules", path]):
        done = bench("rules", *arguments, "--changes", "20", "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["rules"] in (500, 501) and result["loadsPerSecond"] > 0 and result["changesPerSecond"] > 0


def test_attack_prints_a_document_for_each_point():
    done = bench("attack", "--rate", "20000", "--tuples", "64", "--seconds", "0.2", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert [point["kind"] for point in points] == ["upcalls", "tuples"]
    assert all(point["attackPackets"] > 0 and point["mppsWithout"] > 0 for point in points)


def test_a_missing_trace_a_trace_that_is_none_and_a_bad_rule_are_refused(trace, tmp_path):
    pcap, rules = trace
    done = bench("forward", "--rules", rules, "--trace", tmp_path / "absent.pcap")
    assert done.returncode == 1 and "absent.pcap" in done.stderr
    text = tmp_path / "text.pcap"
    text.write_text("this is no trace, but it is long enough to be one\n" * 10)
    done = bench("forward", "--rules", rules, "--trace", text)
    assert done.returncode == 1 and "text.pcap" in done.stderr
    rules.write_text("ip actions=output:2\nip,nw_dst=banana actions=drop\n")
    done = bench("forward", "--rules", rules, "--trace", pcap)
    assert done.returncode == 1 and "banana" in done.stderr and "2" in done.stderr


def test_a_wrong_option_is_a_usage_error():
    assert bench("forward", "--colour").returncode == 2
