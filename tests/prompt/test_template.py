import dataclasses

import pytest

from tinyrm.errors import UserError
from tinyrm.prompt import BUILTIN, INSTRUCTIONS, Template, builtin
from tinyrm.types import DOMAINS

GOOD = BUILTIN["single"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "Question: {prompt} Response: {response}"}, "slot"),
        ({"text": "{slot} Question: {prompt} Response: {response} Answer: {slot}"}, "slot"),
        ({"text": "Question: {prompt} Answer: {slot}"}, "fields"),
        ({"text": "{prompt} {prompt} {response} {slot}"}, "exactly once"),
        ({"text": "{prompt} {response} {slot} {system}"}, "fields"),
        ({"text": "{prompt} {response} {slot} {}"}, "fields"),
        ({"kind": "pair"}, "fields"),
        ({"words": ("good",)}, "answer words"),
        ({"words": ("good", "good")}, "answer words"),
        ({"words": ("good", "bad", "ugly")}, "answer words"),
        ({"instructions": {"chat": "Is it good?"}}, "general"),
    ],
)
def test_a_malformed_template_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(GOOD, **change)


def test_a_domain_template_may_have_many_words():
    words = ("chat", "safety", "reasoning", "code")
    assert dataclasses.replace(BUILTIN["domain"], words=words).words == words


def test_an_unknown_builtin_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'single'"):
        builtin("singel")


@pytest.mark.parametrize("kind", BUILTIN)
@pytest.mark.parametrize("slot", ["last", "first"])
def test_the_slot_stands_at_the_end_asked_for(kind, slot):
    pieces = builtin(kind, slot).pieces()
    assert pieces[0 if slot == "first" else -1] == "{slot}"
    assert builtin(kind, slot).slot_first == (slot == "first")


def test_a_slot_between_prompt_and_response_needs_the_one_response():
    assert [*builtin("single", "between").pieces()][-2:] == ["{slot}", "{response}"]
    for kind in ("pair", "domain"):
        with pytest.raises(UserError, match="needs the single template"):
            builtin(kind, "between")


def test_pieces_put_together_are_the_text():
    for template in BUILTIN.values():
        assert " ".join(template.pieces()) == template.text


def test_a_domain_has_its_instruction_and_any_other_the_general_one():
    template = builtin("pair")
    assert template.instruction("safety") == INSTRUCTIONS["safety"][0]
    assert template.instruction("cooking") == template.instruction(None) == template.instructions["general"]
    assert all(template.instruction(domain) != template.instruction(None) for domain in DOMAINS)


def test_one_instruction_takes_the_place_of_all():
    template = builtin("pair", instruction="Which is shorter?")
    assert {template.instruction(domain) for domain in (None, *DOMAINS)} == {"Which is shorter?"}


def test_a_template_is_not_changed_by_what_is_built_from_it():
    before = Template(**vars(BUILTIN["pair"]))
    builtin("pair", "first", 64, "Which?")
    assert BUILTIN["pair"] == before
