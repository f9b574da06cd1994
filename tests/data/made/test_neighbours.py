import random

from tinyrm.data.made import neighbours
from tinyrm.data.split import prompt_key


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


def test_prompts_of_few_words_have_no_neighbours(rows):
    short = [row for row in rows if len(row.prompt[-1].content.split()) < neighbours.FEWEST_WORDS]
    assert neighbours.make(short, 5, random.Random(1)) == []
