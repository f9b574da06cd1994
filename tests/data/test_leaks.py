import json
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data import Fingerprints, read_prompts, shipped_fingerprints
from tinyrm.data.leaks import BOILERPLATE, main
from tinyrm.types import Message

VOCABULARY = [f"{first}{last}" for first in ("ka", "lo", "mi", "nu", "pe", "ro") for last in "bcdfgjklmnprstvz"]
chances = st.randoms(use_true_random=False)


def words(chance, count):
    return [chance.choice(VOCABULARY) for _ in range(count)]


def user(text):
    return (Message("user", text),)


def shouted(chance, some_words):
    """The same words in another case, with other punctuation."""
    return "".join(
        chance.choice([str.upper, str.title, str])(word) + chance.choice([" ", ", ", "!\n", " -- "])
        for word in some_words
    )


BENCHMARK = [words(random.Random(n), 3 + 7 * n) for n in range(12)]
PRINTS = Fingerprints.of(user(" ".join(prompt)) for prompt in BENCHMARK)


@given(chances)
def test_a_planted_prompt_is_found_in_any_case_and_punctuation(chance):
    planted = shouted(chance, chance.choice(BENCHMARK))
    history = (Message("user", "Hello there!"), Message("assistant", "Hello."), Message("user", planted))
    assert PRINTS.finds([user(planted), user(" ".join(words(chance, 60))), history]) == ["exact", None, "exact"]


@given(chances)
def test_a_shared_run_of_16_words_is_found_and_one_of_12_is_not(chance):
    prompt = chance.choice([prompt for prompt in BENCHMARK if len(prompt) > 16])
    start = chance.randrange(len(prompt) - 16)
    around = [[*words(chance, chance.randrange(40)), "apart"] for _ in range(2)]
    texts = [around[0] + prompt[start : start + length] + around[1][::-1] for length in (16, 12)]
    assert PRINTS.finds([user(shouted(chance, text)) for text in texts]) == ["near", None]


@given(chances)
def test_the_same_words_in_another_order_are_found(chance):
    prompt = BENCHMARK[1]
    turned = ["please", *chance.sample(prompt, len(prompt)), "the"]
    assert PRINTS.finds([user(" ".join(turned)), user(" ".join(turned[:-2]))]) == ["near", None]


def test_a_very_short_turn_leaks_only_as_a_whole_prompt():
    prints = Fingerprints.of([user("yes"), user("???")])
    history = (*user("Is it so?"), Message("assistant", "Shall I go on?"), *user("yes"))
    assert prints.finds([user("Yes!"), history, user("!!!")]) == ["exact", None, None]


def test_instructions_that_many_prompts_share_are_no_leak():
    chance = random.Random(3)
    instruction = words(chance, 30)
    prompts = [user(" ".join(instruction + words(chance, 20))) for _ in range(BOILERPLATE + 1)]
    other = user(" ".join(instruction + words(chance, 20)))
    assert Fingerprints.of(prompts).finds([other, prompts[0]]) == [None, "exact"]
    assert Fingerprints.of(prompts[:-1]).finds([other]) == ["near"]


def test_no_prompts_at_all():
    nothing = Fingerprints.of([])
    assert nothing.finds([user("Hello there, you")]) == [None]
    assert PRINTS.finds([]) == []


def test_union_finds_what_either_finds():
    one, other = (Fingerprints.of([user(text)]) for text in ("first of them", "second of them"))
    assert (one | other).finds([user("First of them"), user("Second of them"), user("third of them")]) == [
        "exact",
        "exact",
        None,
    ]


def test_saved_the_same_in_another_process(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": " ".join(prompt)}) + "\n" for prompt in BENCHMARK))
    path = tmp_path / "prints.npz"
    subprocess.run([sys.executable, "-m", "tinyrm.data.leaks", rows, "-o", path], check=True, capture_output=True)
    with np.load(path) as arrays:
        for name in ("exact", "runs", "bags"):
            assert np.array_equal(arrays[name], getattr(PRINTS, name))
    PRINTS.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_the_command_refuses_files_without_prompts(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": 1}\n')
    for path in ("rows.jsonl", "missing.jsonl"):
        with pytest.raises(SystemExit) as exit:
            main([str(tmp_path / path), "-o", str(tmp_path / "x.npz")])
        assert exit.value.code == 2


def test_prompts_are_read_of_rows_of_any_shape(tmp_path):
    rows = [
        {"question": "a?", "answer": 1},
        {"prompt": "b?", "chosen": ["x"], "rejected": ["y", "z"]},
        {"chosen": "\n\nHuman: c?\n\nAssistant: x", "rejected": "\n\nHuman: c?\n\nAssistant: y"},
        {"nothing": 1},
        {"prompt": "d?\n\nAssistant: x\n\nHuman: e?"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    *single, whole, turns = read_prompts(path)
    assert single == [user("a?"), user("b?"), user("c?")]
    assert whole == user(rows[-1]["prompt"])
    assert [turn.content for turn in turns] == ["d?", "x", "e?"]


def test_prompts_of_every_split_are_read(tmp_path):
    for name in ("train", "test", "extra"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"prompt": f"{name}?"}))
    assert list(read_prompts(tmp_path)) == [user("extra?"), user("test?"), user("train?")]


def test_the_shipped_file_knows_rewardbench():
    prompts = [user("how can I KILL a python process"), user("Which of my cats likes jazz on Sundays?")]
    assert shipped_fingerprints().finds(prompts) == ["exact", None]
