"""The template of a single cloze as a plain tokenizer: what other libraries load writes the cloze by itself.

Two ways lead to the same token ids: a text pair (prompt, response), framed by the tokenizer's post-processor, and a
conversation, written out by its chat template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..errors import UserError
from ..prompt import ClozeWriter
from ..prompt.cloze import SPEAKERS

MARK = "\ufdd0"
"""Opens the spelling of a token that means something, and parts the pieces of a conversation.

A noncharacter: Unicode keeps it out of text. With `[MASK]` spelled so, a `[MASK]` in a text is text to any program.
"""


def framed_tokenizer(writer: ClozeWriter, instruction: str) -> str:
    """`tokenizer.json` that frames a text pair as `writer` does.

    Raises:
        UserError: the tokenizer is of a kind whose tokens cannot be renamed.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors

    made = _renamed(writer)
    written = Tokenizer.from_str(json.dumps(made))
    # The blank that a text within a sentence begins with; not for added tokens, which are normalised too.
    names = "|".join(re.escape(token["content"]) for token in made["added_tokens"] if token["normalized"])
    steps = [normalizers.Prepend(" "), *([normalizers.Replace(Regex(rf"\A (?=(?:{names})\z)"), "")] if names else [])]
    written.normalizer = normalizers.Sequence([*steps, *([written.normalizer] if written.normalizer else [])])
    parts = [] if written.pre_tokenizer is None else [written.pre_tokenizer]
    written.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(MARK), "removed"), *parts])
    encoder = writer.encoder
    framed, ids = [], {}
    for number, piece in enumerate(_pieces(writer, instruction)):
        if piece in ("{prompt}", "{response}"):
            framed.append("$A" if piece == "{prompt}" else "$B:0")
            continue
        token = {"{slot}": encoder.mask, "{sep}": encoder.sep}.get(piece)
        ids[str(number)] = [token] if token is not None else encoder.encode([piece])[0]
        framed.append(str(number))
    spelled = {name: {"id": name, "ids": some, "tokens": list(map(str, some))} for name, some in ids.items()}
    # A lone text is a conversation that the chat template has framed already.
    written.post_processor = processors.TemplateProcessing(
        single="$A", pair=framed, special_tokens=list(spelled.values())
    )
    return str(written.to_str())


def framed_config(writer: ClozeWriter, instruction: str) -> dict[str, Any]:
    """`tokenizer_config.json` beside it, for transformers 4.48 and later."""
    special = writer.encoder.special
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": writer.template.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": MARK + token for role, token in asdict(special).items() if role != "cls"},
        "chat_template": _chat_template(writer, instruction),
    }


def _renamed(writer: ClozeWriter) -> dict[str, Any]:
    """The tokenizer with every special token out of reach of text, and only those of a cloze still matched at all."""
    made: dict[str, Any] = json.loads(writer.encoder.tokenizer_json)
    vocabulary = made["model"].get("vocab")
    if not isinstance(vocabulary, dict):
        raise UserError(f"a {made['model']['type']} tokenizer cannot be written as a classifier's: export to ONNX")
    kept = []
    for token in made["added_tokens"]:
        if token["special"]:
            vocabulary.pop(token["content"], None)
            if made["model"].get("unk_token") == token["content"]:
                made["model"]["unk_token"] = MARK + token["content"]
            token |= {"content": MARK + token["content"], "lstrip": False, "rstrip": False}
        token["normalized"] = not token["special"]  # what is found before normalising parts the text for it
        vocabulary[token["content"]] = token["id"]  # else its id would depend on the tokens before it
        if not token["special"] or token["id"] in (writer.encoder.mask, writer.encoder.sep, writer.encoder.pad):
            kept.append(token)
    return made | {"added_tokens": kept, "post_processor": None, "truncation": None, "padding": None}


def _pieces(writer: ClozeWriter, instruction: str) -> list[str]:
    """The template's parts with the instruction in its place, closed by the separator."""
    pieces = [instruction if piece == "{instruction}" else piece for piece in writer.template.pieces()]
    return [*(piece for piece in pieces if piece), "{sep}"]


def _chat_template(writer: ClozeWriter, instruction: str) -> str:
    """Jinja that writes a conversation, whose last turn is the response, as the text of the cloze.

    One whose last turn is not the assistant's becomes the text up to the response. `query` and `document` are what
    sentence-transformers (5.4 and later) calls the turns of a pair.
    """
    special = writer.encoder.special
    parts = [_SETUP.format(mark=_quoted(MARK), speakers=_speakers(SPEAKERS))]
    opened = True  # a piece after a token gets its blank from the tokenizer
    whole = False
    for piece in _pieces(writer, instruction):
        if piece in ("{slot}", "{sep}"):
            parts.append(_said(MARK + (special.mask if piece == "{slot}" else special.sep)))
        elif piece == "{prompt}":
            parts.append(_PROMPT.format(gap=_quoted(MARK + " "), first=_quoted("" if opened else MARK + " ")))
        elif piece == "{response}":
            parts.append("{%- if answered %}" + _said("" if opened else MARK + " ") + "{{- text(messages[-1]) }}")
            whole = True
        else:
            parts.append(_said(piece if opened else f"{MARK} {piece}"))
        opened = piece in ("{slot}", "{sep}")
    return "".join(parts) + ("{%- endif %}" if whole else "")


_SETUP = (
    "{{%- macro text(message) -%}}"
    "{{%- set content = message['content'] if message['content'] else '' -%}}"
    "{{{{- (content if content is string else content | map(attribute='text') | join('\\n'))"
    " | replace({mark}, '') -}}}}"
    "{{%- endmacro -%}}"
    "{{%- set answered = messages[-1]['role'] in ('assistant', 'document') -%}}"
    "{{%- set turns = messages[:-1] if answered else messages -%}}"
    "{{%- if not turns %}}{{{{- raise_exception('there is no prompt to judge the response by') }}}}{{%- endif -%}}"
    "{{%- set speakers = {speakers} -%}}"
)
_PROMPT = (
    "{{%- for turn in turns -%}}"
    "{{{{- {first} if loop.first else {gap} -}}}}"
    "{{%- if turns | length > 1 or turn['role'] not in ('user', 'query') -%}}"
    "{{{{- speakers.get(turn['role'], turn['role'] | capitalize) + ': ' -}}}}"
    "{{%- endif -%}}"
    "{{{{- text(turn) -}}}}"
    "{{%- endfor -%}}"
)


def _said(literal: str) -> str:
    return f"{{{{- {_quoted(literal)} }}}}" if literal else ""


def _quoted(literal: str) -> str:
    """A string of Jinja, in ASCII: what it holds is never read as markup."""
    return "'" + literal.encode("unicode_escape").decode("ascii").replace("'", "\\'") + "'"


def _speakers(names: Mapping[str, str]) -> str:
    pairs: Sequence[str] = [f"{_quoted(role)}: {_quoted(name)}" for role, name in names.items()]
    return "{" + ", ".join(pairs) + "}"
