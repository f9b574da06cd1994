import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data.made import styles
from tinyrm.data.split import normalise
from tinyrm.types import Preference, to_prompt

MARKDOWN = "# Title\n\nSome **bold** words, 2**3 + 4**5.\n- one\n  * two\n- 5 is negative\n**kwargs and __init__ stay"


def test_marks_of_style_go_and_other_marks_stay():
    assert styles.plain(MARKDOWN) == (
        "Title\n\nSome bold words, 2**3 + 4**5.\none\n  two\n- 5 is negative\n**kwargs and __init__ stay"
    )


@given(st.text(st.sampled_from("ab *#-\n"), max_size=60))
def test_neither_way_changes_the_words(text):
    assert normalise(styles.plain(text)) == normalise(text)
    assert normalise(styles.marked(text)) == normalise(text)


def test_the_label_stands_and_only_style_and_filler_change():
    rows = [
        Preference(to_prompt(f"q {n}?"), f"**right** {n}", "wrong " * 60 + str(n), domain="chat") for n in range(50)
    ]
    made = styles.make(rows, 50, random.Random(1))
    assert made
    for row in made:
        number = int(row.prompt[0].content.split()[1].rstrip("?"))
        assert normalise(row.chosen) == f"right {number}"
        assert normalise(row.rejected).startswith(normalise("wrong " * 60 + str(number)))


def test_rows_with_code_and_sources_left_out_are_left_alone():
    row = Preference(to_prompt("No commas!"), "**a**", "b", domain="chat", source="form")
    assert styles.make([row] * 9, 5, random.Random(1), without=["form"]) == []
    assert styles.make([row] * 9, 5, random.Random(1))
    assert styles.make([replace(row, chosen="`**a**`")] * 9, 5, random.Random(1)) == []
