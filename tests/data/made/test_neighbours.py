import os
import random
import subprocess
import sys
from dataclasses import replace

from tinyrm.data.made import neighbours
from tinyrm.data.split import prompt_key
from tinyrm.types import Preference, to_prompt


def test_the_chosen_answer_is_the_prompts_own_and_the_rejected_one_a_good_answer_to_another(rows):
    answers = {answer: prompt_key(row.prompt) for row in rows for answer in (row.chosen, row.rejected)}
    made = neighbours.make(rows, 200, random.Random(1))
    good = {row.chosen for row in rows}
    assert made
    for row in made:
        assert answers[row.chosen] == prompt_key(row.prompt) != answers[row.rejected]
        assert row.rejected in good
    weak = sum(row.chosen not in good for row in made) / len(made)
    assert 0.3 < weak < 0.7


def test_neighbours_share_a_word_that_few_prompts_hold(rows):
    for row in neighbours.make(rows, 40, random.Random(1)):
        mine = {*row.prompt[-1].content.split()[4:7:2]}  # the topic and the number
        assert mine & {*row.rejected.replace("*", "").split()}


def test_prompts_of_few_words_have_no_neighbours():
    rows = [Preference(to_prompt(f"{word} glacier?"), f"{word} is.", "no", domain="chat") for word in ("a", "b", "c")]
    assert neighbours.make(rows, 5, random.Random(1)) == []
    longer = [replace(row, prompt=to_prompt(f"{row.prompt[0].content} in two words")) for row in rows]
    assert neighbours.make([*longer, *(ask(n) for n in range(40))], 5, random.Random(1))


def test_prompts_of_the_same_words_are_no_neighbours():
    twins = [replace(ask(n), chosen=f"answer {n}") for n in (1, 1)]
    assert (
        neighbours.make([*twins, replace(twins[0], prompt=to_prompt("Why number 1, ask?"))], 5, random.Random(1)) == []
    )


def test_what_is_made_is_the_same_in_every_process():
    """Python orders sets anew in each."""
    code = (
        "import random; from tinyrm.data.made import neighbours; from tinyrm.types import Preference, to_prompt\n"
        "r = random.Random(5); w = [f'w{i}' for i in range(60)]\n"
        "rows = [Preference(to_prompt(' '.join(r.sample(w, 12))), f'a{i}', 'b', domain='chat') for i in range(120)]\n"
        "print([(p.prompt[0].content, p.rejected) for p in neighbours.make(rows, 400, random.Random(1))])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


def ask(n):
    return Preference(to_prompt(f"Ask why number {n}?"), f"because {n}", "no", domain="chat")
