"""A server that answers as `tinyrm serve` does, with a real model behind it."""

from __future__ import annotations

import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import Message, to_prompt


def test_verdicts_are_those_of_the_model(server, checkpoint_folder, pairs):
    model = tinyrm.load(checkpoint_folder("bert"))

    def answer(path, body, headers):
        assert path == "/v1/compare"
        asked = [(tuple(Message(**m) for m in item["messages"]), item["a"], item["b"]) for item in body["items"]]
        verdicts = model.compare_many(asked, domains=[item.get("domain") for item in body["items"]])
        return 200, {"model": "served", "protocol": "pair", "results": [verdict.to_dict() for verdict in verdicts]}

    judge = load_judge(f"tinyrm:{server(answer).url}/")
    assert judge.protocols == ("pair",)
    assert judge.about["model"] == "served"
    many, done = pairs * 10, []
    domains = ["chat", "safety", None, "reasoning"] * 10
    found = judge.compare_many(many, domains=domains, progress=done.append)
    expected = model.compare_many(many, domains=domains)
    assert [verdict.logit for verdict in found] == pytest.approx([verdict.logit for verdict in expected], abs=1e-5)
    assert [verdict.cut for verdict in found] == [verdict.cut for verdict in expected]
    assert sum(done) == len(many)


def test_other_servers_are_told_apart(server):
    with pytest.raises(UserError, match="does not answer like `tinyrm serve`"):
        load_judge(f"tinyrm:{server(lambda path, body, headers: (200, {'fine': 1})).url}")
    short = {"model": "m", "protocol": "pair", "results": []}
    judge = load_judge(f"tinyrm:{server(lambda path, body, headers: (200, short)).url}")
    with pytest.raises(UserError, match="0 verdicts on 1 pairs"):
        judge.compare_many([(to_prompt("q"), "a", "b")])
