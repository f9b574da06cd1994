import json

import pytest

from tinyrm.config import DataConfig, DomainRule, MadeConfig, Source
from tinyrm.data import load_mixture
from tinyrm.data.made.requests import texts
from tinyrm.errors import UserError


def write(folder, name, count, **columns):
    rows = [{"prompt": f"{name} {n}?", "chosen": "long one", "rejected": "short", **columns} for n in range(count)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "own.jsonl", 20, domain="safety", source="theirs", subset="deep")
    write(tmp_path, "bare.jsonl", 30)
    return tmp_path


def mix(root, *sources, told=None, seed=17, **options):
    sources = sources or (Source("own.jsonl"), Source("bare.jsonl"))
    notice = [].append if told is None else told.append
    return load_mixture(DataConfig(train=sources, root=str(root), validation=0.1, **options), seed, notice)


def domains(mixture):
    return {row.source: row.domain for row in mixture.train + mixture.held_out}


def test_sources_and_domains(root):
    assert domains(mix(root)) == {"theirs": "safety", "bare": None}
    rules = (DomainRule("chat", ("x", "BA*")), DomainRule("reasoning", ("*",)))
    assert domains(mix(root, domains=rules)) == {"theirs": "safety", "bare": "chat"}
    assert domains(mix(root, domains=rules[::-1])) == {"theirs": "safety", "bare": "reasoning"}
    assert domains(mix(root, Source("own.jsonl", domain="chat"))) == {"theirs": "chat"}
    write(root, "deep.jsonl", 5, subset="Deep")
    assert domains(mix(root, Source("deep.jsonl"), domains=(DomainRule("chat", ("deep",), "subset"),))) == {
        "deep": "chat"
    }


def test_a_rule_on_the_prompt_reads_the_last_turn_of_the_user_of_its_sources(root):
    turns = [("user", "Write Python."), ("assistant", "What of?"), ("user", "A ROSE"), ("assistant", "Well")]
    prompt = [{"role": role, "content": content} for role, content in turns]
    write(root, "mine.jsonl", 1, source="Magpie-Ultra", prompt=prompt)
    write(root, "other.jsonl", 5, source="other")
    sources = (Source("mine.jsonl"), Source("other.jsonl"))
    for words, found in ((("*python*",), None), (("*maths*", "a rose"), "reasoning")):
        rule = DomainRule("reasoning", words, "prompt", source="*magpie*")
        assert domains(mix(root, *sources, domains=(rule,))) == {"Magpie-Ultra": found, "other": None}
    rules = (DomainRule("reasoning", ("*",), "prompt", source="*magpie*"),)
    assert domains(mix(root, *sources, domains=rules)) == {"Magpie-Ultra": "reasoning", "other": None}


def test_rows_without_a_domain_are_told_by_source(root):
    write(root, "more.jsonl", 5)
    sources = (Source("own.jsonl"), Source("bare.jsonl"), Source("more.jsonl"))
    for told, options in (
        (["35 rows have no domain and are left out: bare 30, more 5"], {"only": "safety"}),
        (["30 rows have no domain: bare 30"], {"domains": (DomainRule("chat", ("more",)),)}),
        ([], {"domains": (DomainRule("chat", ("*",)),)}),
        ([], {}),
    ):
        found = []
        mix(root, *sources, told=found, **options)
        assert found == told


def test_the_winner_column_of_a_source_decides(root):
    row = {"prompt": "p", "response_0": "x", "response_1": "yy", "better_response_id": 0, "safer_response_id": 1}
    rows = [json.dumps(row | {"prompt": f"{n}?"}) for n in range(20)]
    (root / "pku.jsonl").write_text("\n".join(rows))
    mixtures = [mix(root, Source("pku.jsonl", winner=winner)) for winner in (None, "safer_response_id")]
    assert [mixture.facts["sources"]["pku"]["longer_wins"] for mixture in mixtures] == [0, 1]


def test_one_domain_alone(root):
    assert domains(mix(root, only="safety")) == {"theirs": "safety"}
    with pytest.raises(UserError, match=r"'saftey' leaves no row; domains found: none, safety"):
        mix(root, only="saftey")


def test_rows_are_drawn_with_the_seed(root):
    drawn = [mix(root, Source("bare.jsonl", rows=10), seed=seed) for seed in (1, 1, 2)]
    assert [len(mixture.train) for mixture in drawn] == [9, 9, 9]
    assert drawn[0] == drawn[1]
    assert {row.prompt for row in drawn[0].train} != {row.prompt for row in drawn[2].train}


def test_only_the_rows_that_are_named_are_kept(root):
    rows = write(root, "named.jsonl", 9, source="named")
    (root / "named.jsonl").write_text("".join(json.dumps({**row, "id": n}) + "\n" for n, row in enumerate(rows)))
    (root / "sound.csv").write_text("id\n7\n2\n4\nelsewhere\n")
    mixture = mix(root, Source("named.jsonl", keep="sound.csv"))
    assert {row.id for row in mixture.train + mixture.held_out} == {"2", "4", "7"}
    drawn = mix(root, Source("named.jsonl", keep="sound.csv", rows=2))
    assert len(drawn.train + drawn.held_out) == 2
    for keep, wrong in (("missing.csv", "missing.csv"), ("bare.jsonl", "names no row of named.jsonl")):
        with pytest.raises(UserError, match=wrong):
            mix(root, Source("named.jsonl", keep=keep))


def test_better_responses_beat_both_of_their_row_whichever_rows_count(root):
    rows = write(root, "named.jsonl", 9, source="named")
    (root / "named.jsonl").write_text("".join(json.dumps({**row, "id": n}) + "\n" for n, row in enumerate(rows)))
    (root / "sound.csv").write_text("id\n7\n")
    better = [{"id": n, "response": f"best of {n}"} for n in (7, 3, 400)]
    better += [{"id": 4}, {"id": 5, "response": None}, {"id": 6, "response": " "}]
    better += [{"id": 2, "response": rows[2]["rejected"]}]
    (root / "better.jsonl").write_text("".join(json.dumps(row) + "\n" for row in better))
    mixture = mix(root, Source("named.jsonl", keep="sound.csv", better="better.jsonl"))
    found = sorted((row.source, row.chosen, row.rejected) for row in mixture.train + mixture.held_out)
    sides = {n: (rows[n]["chosen"], rows[n]["rejected"]) for n in (3, 7)}
    beaten = [("named-better", f"best of {n}", side) for n in (3, 7) for side in sides[n]]
    assert found == sorted([("named", *sides[7]), *beaten])
    with pytest.raises(UserError, match="'safety' leaves no row"):
        mix(root, Source("named.jsonl", better="better.jsonl", domain="chat"), only="safety")
    with pytest.raises(UserError, match=r"sound.csv \(better\) has nothing for named.jsonl"):
        mix(root, Source("named.jsonl", better="sound.csv"))


def test_facts_and_notices(root):
    with (root / "bare.jsonl").open("a") as file:
        file.write('{"prompt": "bare.jsonl 3?", "chosen": "long  one", "rejected": "short"}\n{"prompt": 1}\n')
    (root / "bench.jsonl").write_text('{"question": "OWN jsonl 7"}\n')
    told = []
    mixture = mix(root, told=told, leak_files=("bench.jsonl",))
    assert mixture.facts == json.loads(json.dumps(mixture.facts))
    assert mixture.facts == {
        "read": 52,
        "bad": 1,
        "duplicates": 1,
        "leaked": {"theirs": {"exact": 1}},
        "train": 45,
        "held_out": 4,
        "domains": {"none": 30, "safety": 19},
        "sources": {
            "theirs": {"train": 17, "held_out": 2, "domains": {"safety": 19}, "longer_wins": 1.0},
            "bare": {"train": 28, "held_out": 2, "domains": {"none": 30}, "longer_wins": 1.0},
        },
    }
    assert len(told) == 3
    assert "bare.jsonl:32" in told[0]
    assert told[1].startswith("1 duplicate")
    assert "theirs 1" in told[2]
    assert mix(root, leak_files=("bench.jsonl",), leak_check=False).facts["leaked"] == {}


def test_mistakes_in_the_recipe(root):
    with pytest.raises(UserError, match="names nothing to train on"):
        load_mixture(DataConfig(), 1, print)
    with pytest.raises(UserError, match="missing"):
        mix(root, Source("missing.jsonl"))
    (root / "same.jsonl").write_text(
        '{"prompt": "p", "chosen": "x", "rejected": "y"}\n{"prompt": "p", "chosen": "y", "rejected": "x"}\n'
    )
    with pytest.raises(UserError, match="no row of the mixture is left"):
        mix(root, Source("same.jsonl"))


def test_a_held_out_source_is_never_trained_on_and_keeps_its_prompts_to_itself(root):
    theirs = write(root, "apart.jsonl", 12, domain="chat")
    shared = [{**row, "chosen": "another answer"} for row in theirs[:3]]
    (root / "shared.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shared))
    sources = (Source("own.jsonl"), Source("shared.jsonl"))
    mixture = mix(root, *sources, held_out=(Source("apart.jsonl", rows=10),))
    assert [row.source for row in mixture.held_out].count("apart") == 10
    assert not {row.prompt for row in mixture.train} & {row.prompt for row in mixture.held_out}
    assert mixture.facts["sources"]["apart"]["train"] == 0
    assert mixture.facts["held_out"] == len(mixture.held_out)


def test_what_is_made_comes_from_training_rows_alone_and_is_told(root):
    write(root, "chat.jsonl", 40, domain="chat")
    mixture = mix(root, Source("chat.jsonl"), made=MadeConfig(refusals=40))
    made = [row for row in mixture.train if row.source == "made-refusals"]
    assert mixture.facts["sources"]["made-refusals"]["train"] == len(made) == 40
    assert not {row.prompt for row in made} & {row.prompt for row in mixture.held_out}
    assert {row.prompt for row in made} & {row.prompt for row in mixture.train if row.source == "chat"}


def test_made_rows_pass_the_leak_check(root):
    harmful = texts("harmful_questions")[0]
    write(root, "chat.jsonl", 40, domain="chat")
    (root / "benchmark.jsonl").write_text(json.dumps({"prompt": harmful}) + "\n")
    kept = {
        checked: {row.prompt[0].content for row in mixture.train}
        for checked in (True, False)
        for mixture in [
            mix(
                root,
                Source("chat.jsonl"),
                made=MadeConfig(refusals=900),
                leak_check=checked,
                leak_files=("benchmark.jsonl",),
            )
        ]
    }
    assert harmful in kept[False]
    assert harmful not in kept[True]


def test_made_rows_are_of_the_domain_that_is_asked_for(root):
    write(root, "chat.jsonl", 40, domain="chat")
    mixture = mix(root, Source("chat.jsonl"), only="chat", made=MadeConfig(refusals=40))
    assert {row.domain for row in mixture.train} == {"chat"}


def test_made_rows_keep_off_what_is_held_out(root):
    asked = texts("harmless_questions")
    (root / "apart.jsonl").write_text(
        "".join(json.dumps({"prompt": text, "chosen": "yes", "rejected": "no"}) + "\n" for text in asked)
    )
    write(root, "chat.jsonl", 40, domain="chat")
    mixture = mix(root, Source("chat.jsonl"), held_out=(Source("apart.jsonl"),), made=MadeConfig(refusals=900))
    assert not {row.prompt[0].content for row in mixture.train} & {*asked}


def test_without_the_leak_check_its_files_are_not_read(root):
    assert mix(root, leak_check=False, leak_files=("nosuch.jsonl",)).train
    with pytest.raises(UserError, match=r"nosuch\.jsonl"):
        mix(root, leak_files=("nosuch.jsonl",))
