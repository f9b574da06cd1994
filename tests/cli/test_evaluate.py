from __future__ import annotations

import json

import tinyrm
from tinyrm.evaluate import evaluate


def test_eval_is_the_python_api(cli, checkpoint, pairs_file, tmp_path):
    source, folder = pairs_file(30), tmp_path / "new" / "results"
    expected = evaluate(tinyrm.load(checkpoint), source, protocol="pair").to_dict()
    done = cli("eval", source, "--model", checkpoint, "-o", folder, "--json")
    assert done.code == 0
    found = done.json
    saved = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert saved == found
    assert len((folder / "verdicts.jsonl").read_text("utf-8").splitlines()) == 30
    assert found.pop("model") == "random-bert"
    for facts in (found, expected):
        assert facts.pop("seconds") > 0
    assert found == json.loads(json.dumps(expected))


def test_eval_shows_a_table(cli, checkpoint, pairs_file):
    done = cli("eval", pairs_file(30), "--model", checkpoint, "--protocol", "single", "--limit", "12")
    assert done.code == 0
    assert "%" in done.out or "accuracy" in done.out
    assert "judging: 12 of 12" in done.err


def test_mistakes(mistake, checkpoint, checkpoint_folder, pairs_file, tmp_path):
    assert "did you mean 'rewardbench'?" in mistake("eval", "rewardbanch", "--model", checkpoint)
    assert "none.jsonl" in mistake("eval", "rewardbench", "--data", tmp_path / "none.jsonl", "--model", checkpoint)
    assert "a file already" in mistake("eval", pairs_file(3), "--data", "more.jsonl", "--model", checkpoint)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a?"}\n', "utf-8")
    assert "bad.jsonl holds no preference" in mistake("eval", tmp_path / "bad.jsonl", "--model", checkpoint)
    singles = checkpoint_folder("bert", ("single",))
    assert "it has no 'pair' template" in mistake("eval", pairs_file(3), "--protocol", "pair", "--model", singles)
    assert "--limit" in mistake("eval", pairs_file(3), "--limit", "0", "--model", checkpoint)
