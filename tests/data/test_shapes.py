import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data import BadRow, Responses, to_preference, to_responses
from tinyrm.data.shapes import _MANY, _ONE, _PROMPTS, to_preferences
from tinyrm.data.winners import SHAPES
from tinyrm.types import Message, Preference

ASKED = (Message("user", "Why?"),)
words = st.text("abcdef .\n", min_size=1).filter(str.strip)


def turns(*contents):
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]


def sharegpt(*contents):
    return [{"from": ("human", "gpt")[place % 2], "value": content} for place, content in enumerate(contents)]


def hh(*contents):
    return "".join(f"\n\n{('Human', 'Assistant')[place % 2]}: {content}" for place, content in enumerate(contents))


# Each gives a row that says that `good` is better than `bad`, with `good` first or second.
SIDES = {
    "arena": lambda a, b, w: {
        "conversation_a": turns("Why?", a),
        "conversation_b": turns("Why?", b),
        "winner": ("model_a", "model_b", "tie (bothbad)")[w],
    },
    "kaggle": lambda a, b, w: {
        "prompt": '["Why?"]',
        "response_a": json.dumps([a]),
        "response_b": json.dumps([b]),
        **{f"winner_{name}": int(w == place) for place, name in enumerate(("model_a", "model_b", "tie"))},
    },
    "mt-bench": lambda a, b, w: {
        "conversation_a": turns("Why?", a, "More?", "x"),
        "conversation_b": turns("Why?", b, "More?", "y"),
        "winner": ("model_a", "model_b", "tie")[w],
        "turn": 1,
    },
    "pandalm": lambda a, b, w: {
        "instruction": "Why?",
        "input": "",
        "response1": a,
        "response2": b,
        "label": (1, 2, 0)[w],
    },
    "pandalm votes": lambda a, b, w: {
        "instruction": "Why?",
        "response1": a,
        "response2": b,
        "annotator1": (1, 2, 0)[w],
        "annotator2": (2, 0, 1)[w],
        "annotator3": (1, 2, 0)[w],
    },
    "auto-j": lambda a, b, w: {"prompt": "Why?", "response 1": a, "response 2": b, "label": w},
    "llmbar": lambda a, b, w: {"input": "Why?", "output_1": a, "output_2": b, "label": (1, 2, "tie")[w]},
    "judgebench": lambda a, b, w: {
        "question": "Why?",
        "response_A": a,
        "response_B": b,
        "label": ("A>B", "B>A", "A=B")[w],
    },
    "pku": lambda a, b, w: {
        "prompt": "Why?",
        "response_0": a,
        "response_1": b,
        "better_response_id": (0, 1, "tie")[w],
        "safer_response_id": (1, 0, 0)[w],
    },
    "webgpt": lambda a, b, w: {
        "question": {"dataset": "eli5", "full_text": "Why?"},
        "answer_0": a,
        "answer_1": b,
        "score_0": (0.5, -0.5, 0.0)[w],
        "score_1": (-0.5, 0.5, 0.0)[w],
    },
    "shp": lambda a, b, w: {"history": "Why?", "human_ref_A": a, "human_ref_B": b, "labels": (1, 0, "tie")[w]},
    "named": lambda a, b, w: {"prompt": "Why?", "answer_a": a, "answer_b": b, "winner": ("a", "B", "Tie")[w]},
    "column": lambda a, b, w: {
        "query": "Why?",
        "response_1": a,
        "response_2": b,
        "better": ("response_1", "response_2", "tie")[w],
    },
    "text": lambda a, b, w: {"prompt": "Why?", "output_1": a, "output_2": b, "label": ("1", "2.0", "tie")[w]},
}


@pytest.mark.parametrize("shape", SIDES)
@given(good=words, bad=words)
def test_swapping_the_sides_and_the_winner_changes_nothing(shape, good, bad):
    if good == bad:
        bad += "!"
    first, second = to_preference(SIDES[shape](good, bad, 0)), to_preference(SIDES[shape](bad, good, 1))
    assert first == second
    assert (first.prompt, first.chosen, first.rejected, first.tie) == (ASKED, good, bad, False)
    assert first.margin == (1.0 if shape == "webgpt" else None)
    tie = to_preference(SIDES[shape](good, bad, 2))
    assert tie.tie
    assert {tie.chosen, tie.rejected} == {good, bad}
    pair = to_responses(SIDES[shape](good, bad, 0))
    assert (pair.prompt, pair.responses, pair.kind) == (ASKED, (good, bad), "pair")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "yes", "rejected": "no"},
        {"Question": "Why?", "Chosen": "yes", "Rejected": "no"},
        {"prompt": turns("Why?"), "chosen": turns("Why?", "yes"), "rejected": turns("Why?", "no")},
        {"prompt": "Why?", "chosen": turns("Why?", "yes"), "rejected": turns("Why?", "no")},
        {"chosen": turns("Why?", "yes"), "rejected": turns("Why?", "no")},
        {"chosen": sharegpt("Why?", "yes"), "rejected": sharegpt("Why?", "no")},
        {"prompt": turns("Why?"), "chosen": [turns("", "yes")[1]], "rejected": [turns("", "no")[1]]},
        {
            "conversations": sharegpt("Why?"),
            "chosen": {"from": "gpt", "value": "yes"},
            "rejected": {"from": "gpt", "value": "no"},
        },
        {"chosen": hh("Why?", "yes"), "rejected": hh("Why?", "no")},
        {"prompt": hh("Why?", "").lstrip(), "chosen": "yes", "rejected": "no"},
        {
            "chosen": {"role": ["user", "assistant"], "content": ["Why?", "yes"]},
            "rejected": {"role": ["user", "assistant"], "content": [[{"type": "text", "text": "Why?"}], "no"]},
        },
    ],
)
def test_chosen_and_rejected_in_their_forms(row):
    assert to_preference(row) == Preference(ASKED, "yes", "no")


def test_an_instruction_takes_its_input_and_a_system_column():
    row = {"system": "Be brief.", "instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4"}
    assert to_preference(row).prompt == (Message("system", "Be brief."), Message("user", "Add.\n\n1 2"))


def test_a_transcript_as_prompt_becomes_turns():
    row = {"prompt": "System: S\n\nHuman: a\n\nb\n\nAssistant: c\n\nHuman: d", "chosen": "x", "rejected": "y"}
    roles = [(turn.role, turn.content) for turn in to_preference(row).prompt]
    assert roles == [("system", "S"), ("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]


@pytest.mark.parametrize("text", ["Human: alone", "Userland: x\n\nAssistant: y", "See:\n\nHuman: a\n\nAssistant: b"])
def test_a_text_that_only_resembles_a_transcript_stays_one_message(text):
    assert to_preference({"prompt": text, "chosen": "x", "rejected": "y"}).prompt == (Message("user", text),)


@pytest.mark.parametrize("form", [turns, sharegpt, hh])
def test_conversations_that_part_early_give_the_rest_as_response(form):
    row = {"chosen": form("Why?", "a", "And?", "b"), "rejected": form("Why?", "c")}
    assert to_preference(row) == Preference(ASKED, "a\n\nHuman: And?\n\nAssistant: b", "c")


@pytest.mark.parametrize("form", [turns, sharegpt, hh])
@given(contents=st.lists(words.map(str.strip), min_size=1, max_size=5), good=words, bad=words)
def test_the_prompt_is_what_conversations_share(form, contents, good, bad):
    good, bad = good.strip(), bad.strip() + "!"
    contents = contents if len(contents) % 2 else contents[1:]
    preference = to_preference({"chosen": form(*contents, good), "rejected": form(*contents, bad)})
    assert [turn.content for turn in preference.prompt] == contents
    assert (preference.chosen, preference.rejected) == (good, bad)


def test_extra_columns_are_carried_when_present():
    row = {"prompt": "Why?", "chosen": "yes", "rejected": "no"}
    extra = {"margin": "0.5", "domain": "chat", "source": "s", "subset": "t", "id": 7, "tie": False}
    assert to_preference(row | extra) == Preference(
        ASKED, "yes", "no", 0.5, domain="chat", source="s", subset="t", id="7"
    )
    nothing = {"margin": math.nan, "domain": None, "source": math.nan, "subset": "", "id": None, "tie": None}
    assert to_preference(row | nothing) == Preference(ASKED, "yes", "no")
    assert to_preference(row | {"tie": "true"}).tie


PAIR = {"prompt": "Why?", "response_a": "x", "response_b": "y"}


@given(p=st.floats(0, 1), column=st.sampled_from(["p", "judged.p", "a.b.p"]), labelled=st.booleans())
def test_a_soft_label_decides_who_is_better_and_how_surely(p, column, labelled):
    *tables, last = column.split(".")
    soft = {last: p}
    for table in reversed(tables):
        soft = {table: soft}
    names = ("chosen", "rejected") if labelled else ("response_a", "response_b")
    found = to_preference({"prompt": "Why?", names[0]: "x", names[1]: "y"} | soft, soft=column)
    assert (found.chosen, found.rejected) == (("y", "x") if p < 0.5 else ("x", "y"))
    assert found.probability == max(p, 1 - p) == found.target
    assert found.tie == (p == 0.5)


@pytest.mark.parametrize("soft", [{}, {"p": None}, {"p": 1.5}, {"p": -0.1}, {"p": "sure"}, {"p": math.nan}])
def test_a_soft_label_that_is_no_probability_makes_a_bad_row(soft):
    with pytest.raises(BadRow, match=r"soft label|probability|number"):
        to_preference(PAIR | soft, soft="p")
    with pytest.raises(BadRow, match="no soft label"):
        to_preference(PAIR | {"judged": "text"} | soft, soft="judged.p")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "x"}, "no known shape: the row has the columns text; known are prompt"),
        ({"chosen": "x", "rejected": "y"}, "no prompt"),
        ({"prompt": " ", "chosen": "x", "rejected": "y"}, "the prompt is empty"),
        ({"prompt": "", "chosen": "x", "rejected": "y"}, "the prompt is empty"),
        ({"prompt": "p", "chosen": "x", "rejected": " "}, "rejected is empty"),
        ({"prompt": "p", "chosen": None, "rejected": "y"}, "chosen is empty"),
        ({"prompt": "p", "chosen": [], "rejected": turns("p", "a")}, "chosen is empty"),
        ({"chosen": turns("p"), "rejected": turns("p", "a")}, "chosen is empty"),
        ({"chosen": hh("p", ""), "rejected": hh("p", "a")}, "chosen is empty"),
        ({"chosen": turns("p", "x"), "rejected": turns("q", "y")}, "do not share a prompt"),
        ({"prompt": "p", "chosen": "x", "rejected": "x"}, "chosen and rejected are equal"),
        ({"chosen": turns("p", "x"), "rejected": turns("p", "x")}, "chosen and rejected are equal"),
        ({"prompt": "p", "chosen": 1, "rejected": "x"}, "different types"),
        ({"prompt": "p", "chosen": 1, "rejected": 2}, "neither a text nor a list"),
        ({"prompt": "p", "chosen": ["x", "y"], "rejected": ["z"]}, "RM-Bench"),
        ({"prompt": "p", "chosen": [{"role": "tool", "content": ""}], "rejected": turns("p", "a")}, "unknown role"),
        ({"prompt": 5, "chosen": "x", "rejected": "y"}, "prompt is neither"),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "margin": "much"}, "margin is not a number"),
        (PAIR, "no winner: response_a and response_b come without one of winner, label"),
        (PAIR | {"winner": "c"}, "unknown winner: winner = 'c'"),
        (PAIR | {"label": 1}, "unknown winner: the number label = 1 does not say which"),
        (PAIR | {"label": 0}, "unknown winner"),
        (PAIR | {"winner": True}, "unknown winner"),
        ({"prompt": "p", "output_1": "x", "output_2": "y", "label": 0}, "unknown winner"),
        ({"prompt": "p", "response_0": "x", "response_1": "y", "label": 2}, "unknown winner"),
        (PAIR | {"output_1": "x", "output_2": "y", "label": 1}, "ambiguous"),
        (
            {"prompt": "p", "response1": "x", "response2": "y", "annotator1": 0, "annotator2": 1, "annotator3": 2},
            "the annotators disagree",
        ),
    ],
)
def test_bad_rows_say_why(row, reason):
    with pytest.raises(BadRow, match=reason):
        to_preference(row)


def test_evaluation_may_keep_equal_and_empty_responses():
    row = {"prompt": "p", "chosen": "", "rejected": ""}
    assert to_preference(row, allow_equal=True, allow_empty_response=True).chosen == ""
    assert to_preference({"prompt": "p", "chosen": "x", "rejected": "x", "tie": 1}).tie


def test_pku_falls_back_on_the_safer_response():
    row = {"prompt": "Why?", "response_0": "bad", "response_1": "good", "safer_response_id": 1}
    assert to_preference(row).chosen == "good"


def test_a_winner_column_that_is_asked_for_decides_before_all_others():
    row = {"prompt": "Why?", "response_0": "x", "response_1": "y", "better_response_id": 0, "Safer": 1}
    assert to_preference(row).chosen == "x"
    assert to_preference(row, winner="Safer").chosen == "y"
    for nothing in (row | {"Safer": None}, {"prompt": "Why?", "chosen": "x", "rejected": "y"}):
        with pytest.raises(BadRow, match="no winner: the row has nothing in Safer"):
            to_preference(nothing, winner="Safer")


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_empty_columns_of_another_shape_do_not_hide_the_response(nothing):
    empty = {"prompt": "Why?", "chosen": nothing, "rejected": nothing}
    assert to_responses(empty | {"response": "r"}) == Responses(ASKED, ("r",), "single")
    assert to_responses(empty | {"candidates": ["r", "s", "t"]}).kind == "candidates"
    assert to_responses(empty | {"messages": turns("Why?", "r")}).kind == "single"
    assert to_responses(empty, allow_empty_response=True).kind == "pair"
    half = empty | {"chosen": "x", "answer": "r"}
    assert to_responses(half, allow_empty_response=True) == Responses(ASKED, ("x", ""), "pair")


@pytest.mark.parametrize(
    ("row", "responses", "kind"),
    [
        ({"prompt": "Why?", "response": "x"}, ("x",), "single"),
        ({"instruction": "Why?", "output": "x"}, ("x",), "single"),
        ({"messages": turns("Why?", "x")}, ("x",), "single"),
        ({"prompt": "Why?", "candidates": ["x", "y", "z"]}, ("x", "y", "z"), "candidates"),
        ({"prompt": "Why?", "responses": '["x", "y"]'}, ("x", "y"), "candidates"),
        ({"prompt": "Why?", "completions": [turns("", "x")[1:], turns("", "y")[1:]]}, ("x", "y"), "candidates"),
        ({"prompt": "Why?", "response_a": "x", "response_b": "y"}, ("x", "y"), "pair"),
        ({"chosen": turns("Why?", "x"), "rejected": turns("Why?", "y")}, ("x", "y"), "pair"),
    ],
)
def test_responses_to_score(row, responses, kind):
    found = to_responses(row)
    assert (found.prompt, found.responses, found.kind) == (ASKED, responses, kind)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"response": "x"},
        {"prompt": "p", "candidates": []},
        {"prompt": "p", "candidates": "[x"},
        {"prompt": "p", "response": ""},
        {"messages": turns("p")},
    ],
)
def test_rows_without_responses_are_bad(row):
    with pytest.raises(BadRow):
        to_responses(row)


message = st.dictionaries(st.sampled_from(["role", "content", "from", "value"]), st.sampled_from(["user", "gpt", None]))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | message | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=5,
)


names = [*_PROMPTS, *_MANY, *_ONE, "winner", "label", "annotator1", "score_0", "score_1", "tie", "margin", "turn"]
any_row = st.sampled_from(SHAPES).flatmap(
    lambda shape: st.fixed_dictionaries(
        {}, optional=dict.fromkeys([shape.first, shape.second, *names, "system", "messages"], anything)
    )
)


@pytest.mark.parametrize("read", [to_preference, to_responses])
@given(row=any_row)
def test_no_row_breaks_the_reader(read, row):
    before = repr(row)
    with contextlib.suppress(BadRow):
        found = read(row)
        texts = (found.chosen, found.rejected) if read is to_preference else found.responses
        assert all(text.strip() for text in texts)
        assert found.prompt
    assert repr(row) == before


@given(
    ranked=st.lists(st.tuples(st.integers(1, 4), words), min_size=1, max_size=6, unique_by=lambda pair: pair[1]),
    column=st.sampled_from(_MANY),
    as_text=st.booleans(),
)
def test_ranked_responses_are_every_pair_that_differs_in_rank(ranked, column, as_text):
    ranks, texts = [rank for rank, _ in ranked], [text for _, text in ranked]
    written = (json.dumps(texts), json.dumps(ranks)) if as_text else (texts, ranks)
    row = {"prompt": "Why?", column: written[0], "ranks": written[1], "domain": "chat", "source": "mine"}
    expected = {(a, b) for r, a in ranked for s, b in ranked if r < s}
    if not expected:
        with pytest.raises(BadRow, match=f"no two of {column} differ in rank"):
            to_preferences(row)
        return
    found = to_preferences(row)
    assert {(p.chosen, p.rejected) for p in found} == expected
    assert len(found) == len(expected)
    assert all((p.prompt, p.domain, p.source, p.tie) == (ASKED, "chat", "mine", False) for p in found)


@pytest.mark.parametrize(
    "ranks", [[1], [1, 2, 3], ["a", "b"], [None, 1], [1, float("nan")], [True, False], "1, 2", {"a": 1}, 3]
)
def test_ranks_that_do_not_fit_are_a_bad_row(ranks):
    with pytest.raises(BadRow, match="ranks is not a list of 2 numbers, one for each of responses"):
        to_preferences({"prompt": "Why?", "responses": ["a", "b"], "ranks": ranks})


def test_a_row_without_ranks_is_one_comparison():
    row = {"prompt": "Why?", "chosen": "good", "rejected": "bad"}
    assert to_preferences(row) == [to_preference(row)]


def test_labels_that_a_row_states_decide_before_ranks():
    row = {"prompt": "Why?", "chosen": "x", "rejected": "y", "margin": 2, "responses": ["y", "x"], "ranks": [1, 2]}
    assert to_preferences(row) == [to_preference(row)]
    with pytest.raises(BadRow, match="a response is empty"):
        to_preferences({"prompt": "Why?", "responses": ["a", " ", "b"], "ranks": [1, 2, 3]})
