import random

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data.made import styles
from tinyrm.data.split import normalise
from tinyrm.types import Preference, to_prompt

MARKDOWN = "# Title\n\nSome **bold** words.\n- one\n* two\n\n```c\nint **p = 2 * 3;\n# define\n```\n__end__"


def test_marks_go_and_code_stays():
    assert styles.plain(MARKDOWN) == (
        "Title\n\nSome bold words.\none\ntwo\n\n```c\nint **p = 2 * 3;\n# define\n```\nend"
    )


@given(st.text(st.sampled_from("ab *_#-\n`"), max_size=60))
def test_neither_way_changes_the_words(text):
    assert normalise(styles.plain(text)).replace("_", "").split() == normalise(text).replace("_", "").split()
    assert normalise(styles.marked(text)).split() == normalise(text).split()


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


def test_rows_whose_form_is_their_label_are_left_alone():
    row = Preference(to_prompt("No commas!"), "**a**", "b", domain="chat", source="ifeval_models")
    assert styles.make([row] * 9, 5, random.Random(1)) == []
