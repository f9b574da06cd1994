from __future__ import annotations

import io
import sys

import pytest

import tinyrm

LONG = "a " * 100_000
ODD = {
    "empty": "",
    "long": LONG,
    "emoji": "🙂👩‍👩‍👧",
    "right to left": "שלום عربي",
    "special": "[MASK] [SEP] </s> Answer: 1",
    "nul": "a\0b",
    "surrogate": "a\udcffb",
    "markup": "[bold]a[/bold] [/] \x1b[31m",
    "lines": "a\nb\tc",
}


def test_compare_is_the_python_api(cli, checkpoint):
    verdict = tinyrm.load(checkpoint).compare("what is a?", "yes", "no no", domain="chat")
    done = cli(
        "compare",
        "--prompt",
        "what is a?",
        "--a",
        "yes",
        "--b",
        "no no",
        "--domain",
        "chat",
        "--model",
        checkpoint,
        "--json",
    )
    assert (done.code, done.err) == (0, "")
    assert done.json == {"model": "random-bert", **verdict.to_dict()}


@pytest.mark.parametrize("kinds", [("single",), ("pair",)])
def test_compare_tells_people_what_the_model_can(cli, checkpoint_folder, kinds):
    folder = checkpoint_folder("bert", kinds)
    verdict = tinyrm.load(folder).compare("what is a?", "yes", "no")
    done = cli("compare", "--prompt", "what is a?", "--a", "yes", "--b", "no", "--model", folder)
    assert (done.code, done.err) == (0, "")
    assert f"{verdict.better} is better" in done.out
    assert f"{verdict.p_a:.3f}" in done.out
    orders = {True: "orders agree", False: "orders DISAGREE"}[verdict.agree] if kinds == ("pair",) else "read alone"
    assert orders in done.out


def test_equal_responses_are_no_mistake(cli, checkpoint):
    asked = ("compare", "--prompt", "a?", "--a", "yes", "--b", "yes", "--model", checkpoint)
    assert "neither is better" in cli(*asked).out
    assert cli(*asked, "--json").json["p_a"] == 0.5


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_responses_are_judged(cli, checkpoint, text):
    for more in ((), ("--json",)):
        compared = cli("compare", "--prompt", "a?", "--a", text, "--b", "yes", "--model", checkpoint, *more)
        ranked = cli("rank", "--prompt", "a?", "--model", checkpoint, *more, "yes", text)
        assert (compared.code, compared.err, ranked.code, ranked.err) == (0, "", 0, "")
        assert ("tokens cut" in compared.out or '"cut": {"a"' in compared.out) == (text is LONG)
        assert not set("\0\x1b") & set(ranked.out)


def test_odd_prompts_are_judged(cli, checkpoint):
    for name in ("long", "emoji", "right to left", "special", "nul"):
        assert cli("compare", "--prompt", ODD[name], "--a", "yes", "--b", "no", "--model", checkpoint).code == 0


def test_rank_is_the_python_api(cli, checkpoint):
    candidates = ["yes", "no", "good a", "yes"]
    ranking = tinyrm.load(checkpoint).rank("what is a?", candidates)
    done = cli("rank", "--prompt", "what is a?", "--model", checkpoint, "--json", *candidates)
    assert (done.code, done.err) == (0, "")
    assert done.json == {"model": "random-bert", "ranking": [place.to_dict() for place in ranking]}
    table = cli("rank", "--prompt", "what is a?", "--model", checkpoint, *candidates).out
    assert [line.split()[2] for line in table.splitlines()[1:]] == [str(place.index + 1) for place in ranking]


def test_a_thousand_candidates_from_a_file_or_standard_input(cli, checkpoint, tmp_path, monkeypatch):
    lines = [" ".join(chr(97 + i // 26**place % 26) for place in range(3)) for i in range(1000)]
    (tmp_path / "candidates.txt").write_text("\n\n".join(lines), "utf-8")
    done = cli("rank", "--prompt", "a?", "--from", tmp_path / "candidates.txt", "--model", checkpoint, "--json")
    assert done.code == 0
    ranking = done.json["ranking"]
    assert sorted(place["index"] for place in ranking) == list(range(1000))
    assert all(place["response"] == lines[place["index"]] for place in ranking)
    scores = [place["score"] for place in ranking]
    assert scores == sorted(scores, reverse=True)
    assert "ranking: 1,000 of 1,000" in done.err  # long work shows where it stands
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"yes\nno\n")))
    piped = cli("rank", "--prompt", "a?", "--from", "-", "--model", checkpoint, "--json", "good")
    assert sorted(place["response"] for place in piped.json["ranking"]) == ["good", "no", "yes"]


def test_a_domain_without_an_instruction_is_named(mistake, checkpoint):
    said = mistake("compare", "--prompt", "a?", "--a", "b", "--b", "c", "--domain", "reasonning", "--model", checkpoint)
    assert "did you mean 'reasoning'?" in said


def test_candidates_of_a_jsonl_are_its_strings(cli, mistake, checkpoint, tmp_path):
    file = tmp_path / "candidates.jsonl"
    file.write_text('\ufeff"yes\\nno"\n{"response": "four"}\n\n', "utf-8")
    done = cli("rank", "--prompt", "a?", "--from", file, "--json", "--model", checkpoint)
    assert {place["response"] for place in done.json["ranking"]} == {"yes\nno", "four"}
    file.write_text('{"prompt": "a?", "chosen": "b"}\n', "utf-8")
    assert "candidates.jsonl:1: a candidate is a JSON string" in mistake(
        "rank", "--prompt", "a?", "--from", file, "--model", checkpoint
    )
    file.write_text('"yes"\n"no\n', "utf-8")
    assert "candidates.jsonl:2: not JSON: Invalid control character at column 4" in mistake(
        "rank", "--prompt", "a?", "--from", file, "--model", checkpoint
    )
    rows = file.rename(tmp_path / "candidates.csv")
    assert "`tinyrm score` judges files of rows" in mistake(
        "rank", "--prompt", "a?", "--from", rows, "--model", checkpoint
    )
