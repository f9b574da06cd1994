import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data.made import degraded
from tinyrm.data.split import normalise
from tinyrm.types import Preference, to_prompt

words = st.lists(st.text(st.sampled_from("abé ., *\n"), min_size=1, max_size=8), min_size=8, max_size=60).map(" ".join)
made_of = st.builds(
    lambda asked, chosen, rejected, domain: Preference(to_prompt(asked), chosen, rejected, domain=domain),
    words,
    words,
    words,
    st.sampled_from(["chat", "reasoning", "safety"]),
)


@given(st.lists(made_of, max_size=12), st.integers(0, 20), st.integers(0, 99))
def test_the_better_side_is_an_answer_of_the_row_and_the_other_is_not_it(rows, count, seed):
    made = degraded.make(rows, count, random.Random(seed))
    assert len(made) <= min(count, sum(row.domain != "safety" for row in rows))
    answers = {row.prompt: set() for row in rows}
    for row in rows:
        answers[row.prompt] |= {row.chosen, row.rejected}
    for row in made:
        assert row.chosen in answers[row.prompt]
        assert row.rejected.strip()
        assert normalise(row.rejected) != normalise(row.chosen)


def test_every_kind_of_broken_answer_is_made_and_mostly_of_the_chosen():
    rows = [
        Preference(
            to_prompt(f"Why is thing {n} so blue?"),
            f"Good {n}: " + " ".join(f"word{n}x{i}" for i in range(40)),
            f"Bad {n}: " + " ".join(f"other{n}x{i}" for i in range(40)),
            domain="chat",
        )
        for n in range(300)
    ]
    made = degraded.make(rows, 300, random.Random(3))
    kinds = Counter()
    for row in made:
        n = row.chosen.split()[1].rstrip(":")
        text, answer = row.rejected, row.chosen
        kinds["worse"] += answer.startswith("Bad")
        kinds["piece"] += answer.startswith(text)
        kinds["echo"] += f"Why is thing {n} so blue?" in text and text.count("blue") == 1
        kinds["shuffled"] += sorted(text.split()) == sorted(answer.split())
        kinds["vague"] += any(filler in text for filler in degraded.FILLERS)
        kinds["stranger"] += text.startswith("Good") and not text.startswith(f"Good {n}:")
        kinds["stub"] += text in degraded.STUBS
        kinds["loop"] += max(Counter(text.split()).values()) > 2
    assert 60 < kinds.pop("worse") < 150
    assert all(count > 25 for count in kinds.values()), kinds
    assert len(kinds) == 7
