from __future__ import annotations

import json

import tinyrm
from tinyrm.evaluate import evaluate, load


def test_eval_is_the_python_api(cli, checkpoint, pairs_file, tmp_path):
    source, folder = pairs_file(30), tmp_path / "new" / "results"
    expected = evaluate(tinyrm.load(checkpoint), source, protocol="pair").to_dict()
    done = cli("eval", source, "--model", checkpoint, "-o", folder, "--json")
    assert done.code == 0
    found = done.json
    saved = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert saved == found
    assert len((folder / "verdicts.jsonl").read_text("utf-8").splitlines()) == 30
    assert len(load(folder).outcomes.credit) == 30
    who = found.pop("model")
    assert who["name"] == "random-bert"
    assert len(who["sha256"]) == 64
    assert found.pop("cost")["gflops_per_response"] > 0
    assert found.pop("counts") == {}
    assert (found.pop("format"), found.pop("tinyrm")) == (1, tinyrm.__version__)
    for facts in (found, expected):
        assert facts.pop("seconds") > 0
    assert found == json.loads(json.dumps(expected))


def test_eval_shows_a_table(cli, checkpoint, pairs_file):
    done = cli("eval", pairs_file(30), "--model", checkpoint, "--protocol", "single", "--limit", "12")
    assert done.code == 0
    assert "%" in done.out or "accuracy" in done.out
    assert "judging: 12 of 12" in done.err
    assert "pairs a second" in done.out


def test_blind_groups_and_another_model(cli, checkpoint, checkpoint_folder, pairs_file, tmp_path):
    source = pairs_file(30)
    options = ("eval", source, "--group", "domain")
    assert cli(*options, "--model", checkpoint_folder("modernbert"), "-o", tmp_path / "other").code == 0
    done = cli(*options, "--model", checkpoint, "--blind", "--against", tmp_path / "other")
    assert done.code == 0
    assert "judging: 60 of 60" in done.err
    for shown in ("domain = chat", "prompt of another row", "minus random-modernbert", "McNemar"):
        assert shown in done.out
    found = cli(*options, "--model", checkpoint, "--against", tmp_path / "other", "--json").json
    assert found["against"]["model"]["name"] == "random-modernbert"
    assert [pair["name"] for pair in found["against"]["scores"]] == [score["name"] for score in found["scores"]]


def test_results_of_another_model_are_not_replaced(cli, mistake, checkpoint, checkpoint_folder, pairs_file, tmp_path):
    source, folder = pairs_file(6), tmp_path / "results"
    options = ("eval", source, "-o", folder)
    assert cli(*options, "--model", checkpoint).code == 0
    assert cli(*options, "--model", checkpoint).code == 0  # its own
    other = checkpoint_folder("bert", ("single",))
    assert "holds the results of random-bert on pairs.jsonl" in mistake(*options, "--model", other)
    assert json.loads((folder / "evaluation.json").read_text("utf-8"))["protocol"] == "pair"
    assert cli(*options, "--model", other, "--overwrite").code == 0
    assert json.loads((folder / "evaluation.json").read_text("utf-8"))["protocol"] == "single"


def test_mistakes(mistake, checkpoint, checkpoint_folder, pairs_file, tmp_path):
    assert "did you mean 'rewardbench'?" in mistake("eval", "rewardbanch", "--model", checkpoint)
    assert "none.jsonl" in mistake("eval", "rewardbench", "--data", tmp_path / "none.jsonl", "--model", checkpoint)
    assert "a file already" in mistake("eval", pairs_file(3), "--data", "more.jsonl", "--model", checkpoint)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a?"}\n', "utf-8")
    assert "bad.jsonl holds no preference" in mistake("eval", tmp_path / "bad.jsonl", "--model", checkpoint)
    singles = checkpoint_folder("bert", ("single",))
    assert "it has no 'pair' template" in mistake("eval", pairs_file(3), "--protocol", "pair", "--model", singles)
    assert "--limit" in mistake("eval", pairs_file(3), "--limit", "0", "--model", checkpoint)
    assert "as --data" in mistake("eval", "llmbar", "--model", checkpoint)
    assert "no evaluation in" in mistake("eval", pairs_file(3), "--against", tmp_path, "--model", checkpoint)
    assert "its own sections" in mistake("eval", "rewardbench", "--group", "domain", "--model", checkpoint)
    assert "is a file" in mistake("eval", pairs_file(3), "-o", pairs_file(3), "--model", checkpoint)


def test_what_was_judged_is_kept_where_the_comparison_fails(cli, checkpoint, pairs_file, tmp_path):
    options = ("--model", checkpoint, "--group", "domain")
    source = pairs_file(12)
    assert cli("eval", source, *options, "-o", tmp_path / "one").code == 0
    source.write_text("".join(source.read_text().splitlines(keepends=True)[:-1]))
    done = cli("eval", source, *options, "-o", tmp_path / "two", "--against", tmp_path / "one")
    assert (done.code, done.out) == (2, "")
    assert "same rows" in done.err
    assert load(tmp_path / "two").facts["rows"]["judged"] == 11


def test_names_in_rows_are_no_markup(cli, checkpoint, tmp_path):
    source = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"{i}?", "chosen": "a", "rejected": "b", "kind": ["[/INST]", "[code]"][i % 2]} for i in range(8)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("eval", source, "--model", checkpoint, "--group", "kind")
    assert done.code == 0
    assert "kind = [/INST]" in done.out
    assert "kind = [code]" in done.out


def test_no_text_of_a_bad_row_is_kept(cli, checkpoint, tmp_path):
    source = tmp_path / "rows.jsonl"
    row = {"prompt": "a?", "output_1": "x", "output_2": "y", "winner": "1"}
    source.write_text("".join(json.dumps(row | {"winner": name}) + "\n" for name in ("1", "2", "patient Jane Roe")))
    assert cli("eval", source, "--model", checkpoint, "-o", tmp_path / "out").code == 0
    facts = (tmp_path / "out" / "evaluation.json").read_text()
    assert "unknown winner" in facts
    assert "Jane" not in facts
