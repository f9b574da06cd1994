"""`tinyrm eval --judge`: peers by the same command."""

from __future__ import annotations

import json
import sys

import pytest

LONGER = """
def longer(prompts, responses):
    return [len(text) for text in responses]

def first(prompts, first, second):
    return [1.0] * len(first)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "peers_of_a_test.py").write_text(LONGER, "utf-8")
    return "peers_of_a_test"


def test_a_peer_is_measured_and_recorded(cli, checkpoint, pairs_file, module, tmp_path):
    source = pairs_file(30)
    assert cli("eval", source, "--model", checkpoint, "-o", tmp_path / "ours").code == 0
    done = cli("eval", source, "--judge", f"{module}:longer", "-o", tmp_path / "peer", "--against", tmp_path / "ours")
    assert done.code == 0
    assert "Cost:" in done.out
    assert "pairs a second" in done.out
    assert "minus random-bert" in done.out
    found = json.loads((tmp_path / "peer" / "evaluation.json").read_text("utf-8"))
    assert (found["model"]["name"], found["model"]["kind"]) == (f"{module}:longer", "function")
    assert found["protocol"] == "single"
    assert found["cost"]["gflops_per_response"] is None
    assert found["cost"]["pairs_per_second"] > 0
    assert found["orders_agree"] == 1.0
    baseline = next(other for other in found["baselines"] if other["name"] == "longer wins")
    assert [score["value"] for score in found["scores"]] == [score["value"] for score in baseline["scores"]]


def test_a_judge_of_pairs_is_asked_in_both_orders(cli, pairs_file, module):
    found = cli("eval", pairs_file(12), "--judge", f"pairwise:{module}:first", "--json").json
    assert found["protocol"] == "pair"
    assert found["orders_agree"] == 0.0
    assert found["rows"]["called_ties"] == 12
    assert found["audits"]["position"]["first_named"] == 1.0


def test_the_naive_peer_needs_no_network(cli, pairs_file):
    found = cli("eval", pairs_file(6), "--judge", "similarity:minilm", "--json").json
    assert found["model"]["kind"] == "similarity"
    assert found["cost"]["gflops_per_token"] == pytest.approx(0.0213, rel=0.05)


def test_a_peer_may_replace_its_own_results_alone(cli, mistake, pairs_file, module, tmp_path):
    options = ("eval", pairs_file(6), "-o", tmp_path / "peer", "--judge")
    assert cli(*options, f"{module}:longer").code == 0
    assert cli(*options, f"{module}:longer").code == 0
    assert "holds the results of" in mistake(*options, f"pairwise:{module}:first")


def test_mistakes(mistake, checkpoint, pairs_file, module):
    source = pairs_file(3)
    assert "give one of them" in mistake("eval", source, "--judge", f"{module}:longer", "--model", checkpoint)
    assert "no protocol 'pair'" in mistake("eval", source, "--judge", f"{module}:longer", "--protocol", "pair")
    assert "knows no domains" in mistake("eval", source, "--judge", f"{module}:longer", "--domains")
    assert "has no 'none'" in mistake("eval", source, "--judge", f"{module}:none")
    assert "did you mean 'similarity'" in mistake("eval", source, "--judge", "similarty://minilm")
