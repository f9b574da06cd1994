"""What runs are made from: data read and encoded, the base with its head made ready. Runs of one process share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from ..config import Recipe
from ..data import Mixture, load_mixture
from ..errors import UserError
from ..model.base import Base, load_base, quieten_head
from ..model.families import family_of
from ..prompt import ClozeWriter, Template, builtin
from .examples import Examples, encode
from .state import Saved
from .warmup import warm_up

_T = TypeVar("_T")


def template_of(recipe: Recipe) -> Template:
    """What the recipe's preferences are written in.

    Raises:
        UserError: its head compares prompt and response, and the template has two.
    """
    prompt, matches = recipe.prompt, recipe.model.head == "match"
    if matches and prompt.template != "single":
        raise UserError("model.head = match compares prompt and response: it needs prompt.template = single")
    return builtin(prompt.template, "between" if matches else prompt.slot, prompt.max_length, prompt.instruction)


class Watcher(Protocol):
    """Whoever shows a run to people: the command line draws bars on a terminal and prints lines elsewhere."""

    def notice(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None: ...


class Silent:
    """Shows nothing: trials of a search, and the processes beside the main one."""

    def notice(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None: ...


class WarmHead(Protocol):
    """What keeps a head that was warmed up: the folder of a run."""

    def warm_head(self) -> Saved | None: ...

    def save_warm_head(self, warmed: Saved) -> None: ...


class Materials:
    """Makes each thing once for all recipes that agree in what decides it."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}

    def mixture(self, recipe: Recipe, watcher: Watcher) -> Mixture:
        """The rows to train on and those held out.

        Raises:
            UserError: the data cannot be read, or nothing is left to validate on.
        """
        mixture = self._once(
            ("mixture", recipe.data, recipe.data_seed),
            lambda: load_mixture(recipe.data, recipe.data_seed, watcher.notice),
        )
        if not mixture.held_out:
            raise UserError("no prompt is left to validate on: raise data.validation or add rows")
        return mixture

    def base(
        self, recipe: Recipe, watcher: Watcher, device: torch.device, keep: WarmHead | None = None
    ) -> tuple[Base, dict[str, Any]]:
        """A base of its own for one run, its head warmed up and quietened if it came untrained; and what that gave.

        keep: where a run that was killed finds the head that it had warmed up.
        """
        with torch.random.fork_rng():
            torch.manual_seed(recipe.data_seed)  # a head that is not in the checkpoint starts at random
            base = load_base(recipe.model.base)
        if not base.fresh_head:
            return base, {}
        key = ("warm", recipe.model.base, recipe.warmup, recipe.data, recipe.data_seed)
        warmed: Saved = self._once(key, lambda: self._warmed(base, recipe, watcher, device, keep, repr(key)))
        base.masked_lm.load_state_dict(warmed.tensors)
        quieten_head(base.masked_lm, recipe.model.head_scale)
        return base, {"warmup_loss": warmed.facts["loss"]} if recipe.warmup.tokens else {}

    def examples(self, recipe: Recipe, base: Base, watcher: Watcher) -> tuple[ClozeWriter, Examples, Examples]:
        """The writer of the recipe's clozes; the clozes to train on; those held out, read as by a caller
        who names no domain."""
        limit = family_of(base.masked_lm).longest()
        for table, asked in (("prompt", recipe.prompt.max_length), ("warmup", recipe.warmup.max_length)):
            if asked > limit:
                raise UserError(f"{table}.max_length = {asked}, but {recipe.model.base} reads at most {limit} tokens")
        prompt = recipe.prompt
        writer = ClozeWriter(base.encoder, template_of(recipe))
        mixture = self.mixture(recipe, watcher)

        def make() -> tuple[Examples, Examples]:
            reading = partial(watcher.progress, "reading training pairs")
            train = encode(
                mixture.train,
                writer,
                general=prompt.general,
                orders=prompt.orders,
                conditioned=recipe.train.objective == "response-conditioned",
                seed=recipe.data_seed,
                progress=reading,
            )
            reading = partial(watcher.progress, "reading held-out pairs")
            return train, encode(mixture.held_out, writer, general=1.0, progress=reading)

        clozes = (prompt, writer.template.text, recipe.model.base)
        key = ("examples", recipe.data, recipe.data_seed, *clozes, recipe.train.objective)
        return (writer, *self._once(key, make))

    def _warmed(
        self, base: Base, recipe: Recipe, watcher: Watcher, device: torch.device, keep: WarmHead | None, key: str
    ) -> Saved:
        loss = 0.0
        kept = keep.warm_head() if keep else None
        if kept is not None and kept.facts["key"] == key:
            return kept
        if recipe.warmup.tokens:
            loss = warm_up(
                base.masked_lm,
                self.mixture(recipe, watcher).train,
                base.encoder,
                recipe.warmup,
                seed=recipe.data_seed,
                device=device,
                on_step=lambda at, steps, loss: watcher.progress("warming up the head", at, steps, f"loss {loss:.2f}"),
            )
        tensors = {name: tensor.cpu().clone() for name, tensor in base.masked_lm.state_dict().items()}
        warmed = Saved(tensors, {"key": key, "loss": loss})
        if keep and recipe.warmup.tokens:
            keep.save_warm_head(warmed)
        return warmed

    def _once(self, key: tuple[Any, ...], make: Callable[[], _T]) -> _T:
        if key not in self._made:
            self._made[key] = make()
        made: _T = self._made[key]
        return made
