"""What a judgement costs: floating-point operations by formula, and what was measured beside them.

Only matrix products are counted, a multiplication and an addition each as one operation: a product of [n, a] and
[a, b] is 2nab. For a layer of a transformer on n tokens of width d these are

    queries, keys and values   2nd(q + 2k)    q, k: width of all query heads, of all key heads
    scores, and their sums     4qP            P: pairs of a query and a key that it may see
    output                     2nqd
    feed-forward               4ndh           h: its inner width; 6ndh if gated (ModernBERT, Llama)

P is n^2 where all see all, about n(2w + 1) where keys at most w places away are seen (ModernBERT's local layers),
n(n + 1) / 2 in a decoder. Above the last layer a cloze reads its slot alone, so our engine computes queries, output and
feed-forward of the last layer for one token (ModernBERT's queries come with the keys and values, for all tokens).
Embedding lookups, norms, softmax, activations and rotations are left out, as torch's own counter leaves them out.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tinyrm.errors import UserError

Head: TypeAlias = Literal["cloze", "cls", "mean", "match", "classifier", "lm"]
"""What answers: one of TinyRM's heads (`cloze` to `match`), Hugging Face's classification head, or one next word."""

_ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert", "modernbert", "deberta-v2")
_GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3")
_PLAIN = ("gpt2", "gpt_neox")


@dataclass(frozen=True)
class Architecture:
    """The sizes of a transformer that decide its matrix products; get one by `architecture_of`.

    width: of a token's state; queries, keys: of all query heads and of all key heads together.
    inner: of the feed-forward layer, which is `gated` or not; vocabulary: of the language model's head.
    near: for each layer, how many places away a key may be; None where it may be anywhere.
    relative: places that have an embedding of their own in every layer, times the kinds of scores that use them
        (DeBERTa); convolution: its kernel over its groups.
    """

    family: str
    width: int
    queries: int
    keys: int
    inner: int
    vocabulary: int
    near: tuple[int | None, ...]
    gated: bool = False
    causal: bool = False
    relative: int = 0
    convolution: float = 0.0


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The sizes of a model from its config.json: BERT, RoBERTa, ModernBERT, DeBERTa and the usual decoders.

    Raises:
        UserError: a model of another type, or no config of a model.
    """
    family = config.get("model_type")
    if family not in (*_ENCODERS, *_GATED, *_PLAIN):
        raise UserError(f"the cost of models of type {family!r} is not known; known: {', '.join(sizes_known())}")
    try:
        found = _read(str(family), config)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, IndexError) as problem:
        raise UserError(f"not the config.json of a {family}: {type(problem).__name__} {problem}") from None
    if min(found.width, found.queries, found.keys, found.inner, found.vocabulary, len(found.near)) < 1:
        raise UserError(f"not the config.json of a {family}: it has a size of 0")
    return found


def sizes_known() -> tuple[str, ...]:
    """Values of `model_type` whose cost has a formula."""
    return (*_ENCODERS, *_GATED, *_PLAIN)


def _read(family: str, config: Mapping[str, Any]) -> Architecture:
    if family == "gpt2":
        width = int(config["n_embd"])
        inner = int(config.get("n_inner") or 4 * width)
        return Architecture(
            family, width, width, width, inner, int(config["vocab_size"]), (None,) * int(config["n_layer"]), causal=True
        )
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    size = int(config.get("head_dim") or width // heads)
    span = int(config.get("position_buckets", -1))
    if span < 1:
        span = int(config.get("max_relative_positions", -1))
    if span < 1:
        span = int(config.get("max_position_embeddings", 512))
    kinds = set(config.get("pos_att_type") or ()) & {"c2p", "p2c"} if config.get("relative_attention") else set()
    return Architecture(
        family,
        width,
        queries=size * heads,
        keys=size * int(config.get("num_key_value_heads") or heads),
        inner=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        near=_near(family, config),
        gated=family == "modernbert" or family in _GATED,
        causal=family not in _ENCODERS,
        relative=2 * span * len(kinds) if family == "deberta-v2" else 0,
        convolution=int(config.get("conv_kernel_size", 0)) / int(config.get("conv_groups", 1)),
    )


def _near(family: str, config: Mapping[str, Any]) -> tuple[int | None, ...]:
    layers = range(int(config["num_hidden_layers"]))
    if family == "modernbert":
        near = int(config.get("local_attention", 128)) // 2
        every = int(config.get("global_attn_every_n_layers", 3))
        usual = ["sliding_attention" if layer % every else "full_attention" for layer in layers]
    else:
        window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
        near = int(window or 0) - 1  # a window counts the token itself
        everywhere = "sliding_attention" if window and family in ("mistral", "phi3") else "full_attention"
        usual = [everywhere for _ in layers]
    kinds = config.get("layer_types") or usual
    return tuple(near if kinds[layer] == "sliding_attention" and near >= 0 else None for layer in layers)


def flops(
    architecture: Architecture, tokens: int, *, head: Head = "cloze", words: int = 2, square: bool = False
) -> float:
    """Operations for one sequence of so many tokens, by the formula above.

    Args:
        words: answer words of a cloze, or outputs of a classifier.
        square: count a score for every two tokens, seen or not: what plain kernels compute under a mask, and what
            torch's counter counts.
    """
    a = architecture
    at_slot = head in ("cloze", "cls") and a.family != "deberta-v2" and not a.causal
    total = 0.0
    for layer, near in enumerate(a.near):
        last = at_slot and layer == len(a.near) - 1
        asked = 1 if last else tokens
        queries = tokens if a.family == "modernbert" else asked
        seen = min(tokens, 2 * near + 1 if near is not None else tokens) if last else _pairs(a, tokens, near, square)
        total += 2 * a.width * (queries * a.queries + 2 * tokens * a.keys)
        total += 4 * a.queries * seen
        total += 2 * asked * a.width * a.queries
        total += (6 if a.gated else 4) * asked * a.width * a.inner
        total += 2 * a.relative * a.width * (a.width + tokens)  # DeBERTa: places projected, and met by every token
    total += 2 * tokens * a.width**2 * a.convolution
    return total + _head(a, tokens, head, words)


def _pairs(architecture: Architecture, tokens: int, near: int | None, square: bool) -> int:
    if square:
        return tokens**2
    reach = tokens - 1 if near is None else min(near, tokens - 1)
    one_side = reach * (reach + 1) // 2 + reach * (tokens - 1 - reach)
    return tokens + one_side * (1 if architecture.causal else 2)


def _head(architecture: Architecture, tokens: int, head: Head, words: int) -> float:
    width = architecture.width
    if head == "lm":
        return 2 * width * architecture.vocabulary
    if head == "classifier" and architecture.causal:
        return 2 * tokens * width * words  # Hugging Face applies it to every token and then picks one
    transform = 2 * width**2 if head in ("cloze", "classifier") else 0
    return transform + 2 * width * words * (3 if head == "match" else 1)


@dataclass
class Work:
    """What a judge has done so far.

    lengths: how many sequences of how many tokens were computed, padding not counted; empty where that is not seen.
    responses: responses that were scored with them, equal ones once. Comparing a pair in both orders is two sequences.
    counts: whatever else is worth telling, such as answers that could not be read.
    """

    pairs: int = 0
    responses: int = 0
    seconds: float = 0.0
    lengths: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> int:
        return sum(length * count for length, count in self.lengths.items())


@dataclass(frozen=True)
class Cost:
    """Costs of judging; None where unknown. Pairs are asked in both orders; equal sequences are computed once.

    peak_memory_mb: the most that the process ever held, loading the model included.
    """

    gflops_per_token: float | None
    gflops_per_response: float | None
    tokens_per_response: float | None
    pairs_per_second: float | None
    tokens_per_second: float | None
    peak_memory_mb: float | None

    def __str__(self) -> str:
        shown = (
            (self.gflops_per_response, "{:,.3g} GFLOPs a response"),
            (self.gflops_per_token, "{:.3g} a token"),
            (self.pairs_per_second, "{:,.1f} pairs a second"),
            (self.tokens_per_second, "{:,.0f} tokens a second"),
            (self.peak_memory_mb, "{:,.0f} MB at the peak"),
        )
        return ", ".join(text.format(value) for value, text in shown if value is not None)


def measure(work: Work, architecture: Architecture | None = None, *, head: Head = "cloze", words: int = 2) -> Cost:
    """The cost of what was done; operations are summed over the lengths that were really computed."""
    total = None
    if architecture is not None and work.lengths:
        total = sum(
            count * flops(architecture, length, head=head, words=words) for length, count in work.lengths.items()
        )
    tokens = work.tokens or None
    return Cost(
        gflops_per_token=_ratio(total, tokens, 1e-9),
        gflops_per_response=_ratio(total, work.responses, 1e-9),
        tokens_per_response=_ratio(tokens, work.responses),
        pairs_per_second=_ratio(work.pairs, work.seconds),
        tokens_per_second=_ratio(tokens, work.seconds),
        peak_memory_mb=peak_memory_mb(),
    )


def peak_memory_mb() -> float | None:
    """The most memory that this process ever held, in megabytes; None on Windows."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6  # bytes there, kibibytes elsewhere


def _ratio(part: float | None, whole: float | None, scale: float = 1.0) -> float | None:
    return None if part is None or not whole else scale * part / whole
