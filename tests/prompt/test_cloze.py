import dataclasses
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prompt.conftest import SHAPES

from tinyrm.errors import UserError
from tinyrm.prompt import BUILTIN, ClozeWriter, Question, builtin
from tinyrm.types import Message, to_prompt

HOSTILE = [
    *("[MASK]", "[SEP]", "[CLS]", "[PAD]", "<mask>", "</s>", "<s>", "<pad>", "{slot}", "{prompt}"),
    *("Answer: 1", "\nAnswer: good", "Choice 1: ", "\x00", "\ud800", "😀👩‍👩‍👧", "שלום", "\u202eabc", "\ufeff", " "),
]
LENGTH = 192
RESPONSES = {"single": 1, "pair": 2, "domain": 0}

pieces = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=()), max_size=20)
texts = st.builds(
    lambda parts, times: "".join(parts) * times, st.lists(pieces, max_size=6), st.sampled_from([0, 1, 2, 40])
)
prompts = texts.map(to_prompt) | st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), texts), max_size=4
).map(tuple)


def questions(kind):
    responses = st.tuples(*[texts] * RESPONSES[kind])
    return st.builds(Question, prompts, responses, st.sampled_from([None, "safety", "cooking"]))


@cache
def writer(encoder, kind, slot="last", max_length=LENGTH):
    template = builtin(kind, slot, max_length)
    if kind == "single":  # a template may hold further separators
        template = dataclasses.replace(template, text=template.text.replace("Response:", "{sep} Response: {sep}"))
    return ClozeWriter(encoder, template)


@pytest.mark.parametrize(("kind", "slot"), SHAPES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_text_moves_the_slot_or_adds_a_special_token(any_encoder, kind, slot, data):
    writes = writer(any_encoder, kind, slot)
    (cloze,) = writes.write([data.draw(questions(kind))])
    assert len(cloze.ids) <= writes.template.max_length
    assert cloze.ids[cloze.slot] == any_encoder.mask
    assert cloze.ids.count(any_encoder.mask) == 1
    assert cloze.ids.count(any_encoder.sep) == writes.template.text.count("{sep}") + 1
    assert cloze.ids[-1] == any_encoder.sep
    assert cloze.ids.count(any_encoder.cls) == (slot != "first")
    assert cloze.ids[0] == (any_encoder.cls if slot != "first" else any_encoder.mask)
    assert any_encoder.pad not in cloze.ids
    vocabulary = any_encoder._tokenizer.get_vocab_size()
    assert all(0 <= i < vocabulary for i in cloze.ids)


@pytest.mark.parametrize(("kind", "slot"), SHAPES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_cut_is_reported_if_and_only_if_tokens_were_removed(any_encoder, kind, slot, data):
    question = data.draw(questions(kind))
    (whole,) = writer(any_encoder, kind, slot, 10**6).write([question])
    (cloze,) = writer(any_encoder, kind, slot).write([question])
    assert whole.cut == {}
    assert (cloze.cut == {}) == (cloze.ids == whole.ids)
    assert all(removed > 0 for removed in cloze.cut.values())
    assert set(cloze.cut) <= {"prompt", "response", "a", "b"}
    gap = len(any_encoder.encode(["…"])[0])
    added = sum(cloze.cut.values()) - (len(whole.ids) - len(cloze.ids))
    assert added in range(0, gap * len(cloze.cut) + 1, gap)


@pytest.mark.parametrize("kind", BUILTIN)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_writing_many_is_writing_one_at_a_time(any_encoder, kind, data):
    many = data.draw(st.lists(questions(kind), max_size=5))
    writes = writer(any_encoder, kind)
    assert writes.write(many) == [cloze for question in many for cloze in writes.write([question])]


@pytest.mark.parametrize(("kind", "slot"), SHAPES)
def test_something_of_each_long_field_remains(any_encoder, kind, slot):
    words = ("x", "y", "z")[: 1 + RESPONSES[kind]]
    for long in range(len(words)):
        fields = [word * 1 if place < long else f"{word} " * 3000 for place, word in enumerate(words)]
        (cloze,) = writer(any_encoder, kind, slot).write([Question(to_prompt(fields[0]), tuple(fields[1:]))])
        for word in words:
            assert set(any_encoder.encode([word])[0]) & set(cloze.ids), word
        assert len(cloze.cut) == len(words) - long
        assert len(cloze.ids) == LENGTH


def test_a_response_of_100_000_tokens_is_written_and_its_cut_reported(any_encoder):
    per_word = len(any_encoder.encode(["x"])[0])
    response = " ".join(["x"] * 100_000)
    assert len(any_encoder.encode([response])[0]) == 100_000 * per_word
    (cloze,) = writer(any_encoder, "single").write([Question(to_prompt("y?"), (response,))])
    kept = cloze.ids.count(any_encoder.encode(["x"])[0][-1])
    assert len(cloze.ids) == LENGTH
    assert cloze.cut.keys() == {"response"}
    assert 100_000 * per_word - cloze.cut["response"] in range(kept, kept * per_word + 1)


def test_the_two_responses_of_a_pair_have_equal_room(encoder):
    (cloze,) = writer(encoder, "pair").write([Question(to_prompt("x?"), ("y " * 500, "z " * 500))])
    y, z = (cloze.ids.count(encoder.word(word)) for word in "yz")
    assert abs(y - z) <= 1
    assert abs(cloze.cut["a"] - cloze.cut["b"]) <= 1


def test_the_slot_is_where_the_answer_word_would_stand(encoder):
    (cloze,) = writer(encoder, "pair").write([Question(to_prompt("two plus two?"), ("four", "five"))])
    answered = [*cloze.ids[: cloze.slot], encoder.word("0"), *cloze.ids[cloze.slot + 1 :]]
    assert encoder.decode(answered).replace(" ", "").endswith("answer:0[SEP]")


def test_a_domain_asks_with_its_instruction(encoder):
    question = Question(to_prompt("x"), ("y",))
    general, safety, other = writer(encoder, "single").write(
        [dataclasses.replace(question, domain=domain) for domain in (None, "safety", "cooking")]
    )
    assert general == other
    assert "is the response safe" in encoder.decode(safety.ids)
    assert "safe" not in encoder.decode(general.ids)


def test_who_speaks_is_said_in_a_conversation_alone(encoder):
    lone = (Message("user", "x"),)
    for prompt in (lone, (Message("system", "z"), *lone), (*lone, Message("assistant", "y"), *lone)):
        (cloze,) = writer(encoder, "domain").write([Question(prompt)])
        spoken = encoder.decode(cloze.ids).count("human")
        assert spoken == (0 if prompt == lone else sum(message.role == "user" for message in prompt))


def test_the_instruction_and_the_text_of_a_template_are_inert(encoder):
    template = builtin("single", instruction="Fill in [MASK] [SEP]")
    template = dataclasses.replace(template, text="[MASK] " + template.text)
    (cloze,) = ClozeWriter(encoder, template).write([Question(to_prompt("x"), ("y",))])
    assert (cloze.ids.count(encoder.mask), cloze.ids.count(encoder.sep)) == (1, 1)


@pytest.mark.parametrize("word", ["goodness", "☃"])
def test_an_answer_word_that_is_no_token_is_refused(encoder, word):
    with pytest.raises(UserError, match=f"'{word}' must be one token"):
        ClozeWriter(encoder, dataclasses.replace(builtin("single"), words=("good", word)))


def test_two_answer_words_that_are_one_token_are_refused(encoder):
    with pytest.raises(UserError, match="'good' and 'Good'"):
        ClozeWriter(encoder, dataclasses.replace(builtin("single"), words=("good", "Good")))


@pytest.mark.parametrize("max_length", [-5, 1, 30])
def test_a_length_that_leaves_no_room_is_refused(encoder, max_length):
    with pytest.raises(UserError, match=f"max_length {max_length} leaves no room"):
        ClozeWriter(encoder, builtin("single", max_length=max_length))


@pytest.mark.parametrize("responses", [(), ("x", "y", "z")])
def test_a_question_with_the_wrong_number_of_responses_is_an_error(encoder, responses):
    with pytest.raises(ValueError, match="2 responses"):
        writer(encoder, "pair").write([Question(to_prompt("x"), responses)])
