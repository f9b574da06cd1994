import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tinyrm.errors import UserError
from tinyrm.prompt import SpecialTokens, TextEncoder


def special_ids(encoder):
    return {encoder.cls, encoder.sep, encoder.mask, encoder.pad}


def test_the_spelling_of_a_special_token_is_not_that_token(any_encoder):
    special = any_encoder.special
    for token in (special.cls, special.sep, special.mask, special.pad):
        for text in (token, f"x{token}y", f"x {token} {token}", token * 3):
            (ids,) = any_encoder.encode([text])
            assert special_ids(any_encoder).isdisjoint(ids), text


def test_left_to_itself_the_tokenizer_would_take_the_spelling_for_the_token(any_encoder):
    """What `TextEncoder` guards against is real for each of these tokenizers."""
    raw = Tokenizer.from_str(any_encoder.tokenizer_json)
    assert any_encoder.mask in raw.encode(f"x {any_encoder.special.mask}", add_special_tokens=False).ids


def test_the_spelling_of_a_special_token_is_kept_as_text(encoder):
    assert encoder.decode(encoder.encode(["x[MASK] y [SEP]"])[0]) == "x [ mask ] y [ sep ]"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_has_tokens_of_the_vocabulary_and_none_that_frame(any_encoder, text):
    (ids,) = any_encoder.encode([text])
    assert special_ids(any_encoder).isdisjoint(ids)
    any_encoder.decode(ids)


def test_the_callers_tokenizer_is_left_as_it_was(any_encoder):
    mine = Tokenizer.from_str(any_encoder.tokenizer_json)
    mine.enable_truncation(4)
    mine.enable_padding()
    ours = TextEncoder(mine, any_encoder.special)
    assert len(ours.encode(["x y z " * 9])[0]) >= 27
    assert mine.truncation is not None
    assert mine.padding is not None
    assert not mine.encode_special_tokens


def test_an_encoder_saved_and_loaded_gives_the_same_ids(any_encoder):
    again = TextEncoder(Tokenizer.from_str(any_encoder.tokenizer_json), any_encoder.special)
    texts = ["Is two plus two four?", f"{any_encoder.special.mask} x", "naïve 😀"]
    assert again.encode(texts) == any_encoder.encode(texts)


@pytest.mark.parametrize("word", ["good", "bad", "0", "1", "chat", "reasoning"])
def test_an_answer_word_is_one_token_that_spells_it(any_encoder, word):
    assert any_encoder.decode([any_encoder.word(word)]).strip() == word


@pytest.mark.parametrize("word", ["goodbad", "two plus"])
def test_a_split_answer_word_is_refused_with_its_tokens(any_encoder, word):
    with pytest.raises(UserError, match=rf"'{word}' must be one token .* it is \['.+', '.+'\]"):
        any_encoder.word(word)


def test_an_unknown_answer_word_is_refused(encoder):
    with pytest.raises(UserError, match=r"'☃' must be one token .*'\[UNK\]'"):
        encoder.word("☃")


def test_a_tokenizer_without_a_special_token_is_refused(tokenizer):
    with pytest.raises(UserError, match="<mask>"):
        TextEncoder(tokenizer.backend_tokenizer, SpecialTokens("[CLS]", "[SEP]", "<mask>", "[PAD]"))


@pytest.mark.parametrize("word", ["a" * 101, "b" * 1000, "word.word" + "c" * 250])
def test_a_word_too_long_for_wordpiece_is_read_in_parts(encoder, word):
    """WordPiece would make all of it one unknown token, and every such response alike."""
    ids, other = encoder.encode([word, word[:-1] + "z"])
    assert encoder.decode(ids).replace(" ", "").replace("##", "") == word
    assert ids != other
