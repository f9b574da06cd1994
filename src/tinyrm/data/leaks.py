"""Benchmark prompts as hashes: training rows can be checked against them, and no text has to ship.

`python -m tinyrm.data.leaks FILE... -o OUT.npz` makes such a file.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinyrm.errors import UserError
from tinyrm.types import Prompt

from .rows import read_rows
from .shapes import to_row_prompt
from .split import normalise
from .turns import BadRow, parse_transcript

Hashes: TypeAlias = "NDArray[np.uint64]"
Finding: TypeAlias = 'Literal["exact", "near"] | None'

RUN = 13
"""Words in a row that two prompts must share to be near."""
WINDOW = 4
"""Of so many neighbouring runs of a benchmark prompt one is kept, so a shared run of 16 words is always found."""
BOILERPLATE = 20
"""A run that stands in more benchmark prompts than this says nothing about any one of them."""
_NO_RUN = np.uint64(2**64 - 1)
_BATCH = 4096
_FEWEST_WORDS_OF_TURN = 3
_FEWEST_WORDS_OF_BAG = 4
_BASE = 0x9E3779B97F4A7C15
_STOP_WORDS = (
    "a an and are as at be but by can could do does for from give has have how i if in into is it its me my of on or "
    "our please should so some tell than that the their them then there these they this to us was we were what when "
    "where which who why will with would you your"
)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Sorted 64-bit hashes of prompts.

    exact: whole prompts, and last turns of the user, as normalised text.
    runs: winnowed runs of RUN words.
    bags: sets of the words, but stop words, of last turns of the user.
    """

    exact: Hashes
    runs: Hashes
    bags: Hashes

    @classmethod
    def of(cls, prompts: Iterable[Prompt]) -> Fingerprints:
        """Fingerprints of a benchmark's prompts. Runs that stand in many of them, as instructions do, are left out."""
        read = _Read(list(prompts))
        runs, owners = read.runs()
        apart = np.unique(np.stack([runs, read.whole[owners]]), axis=1)[0]
        values, counts = np.unique(apart, return_counts=True)
        runs[_among(runs, values[counts > BOILERPLATE])] = _NO_RUN
        starts = np.searchsorted(owners, np.arange(len(read.whole) + 1))
        kept = [  # a prompt of fewer runs than a window keeps its least one
            np.lib.stride_tricks.sliding_window_view(runs[start:end], min(WINDOW, end - start)).min(axis=1)
            for start, end in pairwise(starts)
            if end > start
        ]
        exact, least = np.concatenate([read.whole, read.last]), np.concatenate([runs[:0], *kept])
        return cls(*map(np.unique, (exact[exact != 0], least[least != _NO_RUN], read.bags[read.bags != 0])))

    def __or__(self, other: Fingerprints) -> Fingerprints:
        return Fingerprints(
            np.union1d(self.exact, other.exact), np.union1d(self.runs, other.runs), np.union1d(self.bags, other.bags)
        )

    def finds(self, prompts: Sequence[Prompt]) -> list[Finding]:
        """For each prompt whether it is (`exact`) or resembles (`near`) one of those fingerprinted.

        `near` is a run of 13 shared words (found for sure from 16 on), or a last turn of the same words
        in another order.
        """
        found: list[Finding] = []
        for batch in _batches(prompts):
            read = _Read(batch)
            runs, owners = read.runs()
            exact = _among(read.whole, self.exact) | _among(read.last, self.exact)
            near = _among(read.bags, self.bags)
            near[owners[_among(runs, self.runs)]] = True
            found += ["exact" if e else "near" if n else None for e, n in zip(exact, near, strict=True)]
        return found

    def save(self, path: str | Path) -> None:
        with Path(path).open("wb") as file:
            np.savez_compressed(file, exact=self.exact, runs=self.runs, bags=self.bags)


def shipped_fingerprints() -> Fingerprints:
    """The benchmarks whose fingerprints come with the package."""
    asset = resources.files("tinyrm") / "assets" / "benchmarks.npz"
    with asset.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Fingerprints(arrays["exact"], arrays["runs"], arrays["bags"])


def read_prompts(path: str | Path) -> Iterator[Prompt]:
    """The prompts at `path`, of rows of any shape and of every split; rows without one are passed over.

    A transcript that lacks its first mark is given as it stands and as turns, since training data may
    hold it either way.
    """
    for row in read_rows(path):
        try:
            prompt = to_row_prompt(row.value or {})
        except BadRow:
            continue
        yield prompt
        if len(prompt) == 1 and len(turns := parse_transcript(f"Human: {prompt[0].content}") or ()) > 1:
            yield turns


class _WordHashes(dict[str, int]):
    """A word's 64-bit hash, computed when first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = value = _hash(word)
        return value


class _Read:
    """Hashes of a batch of prompts, one each (0 where there is nothing to compare), and of their runs of words."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        hashes, stop_words = _WordHashes(), set(_STOP_WORDS.split())
        self._words: list[int] = []
        lengths, whole, last, bags = [], [], [], []
        for prompt in prompts:
            text = normalise("\n".join(turn.content for turn in prompt))
            words = text.split()
            self._words += [hashes[word] for word in words]
            lengths.append(len(words))
            whole.append(_hash(text) if text else 0)
            turn = normalise(next((turn.content for turn in reversed(prompt) if turn.role == "user"), ""))
            words = turn.split()
            last.append(_hash(turn) if len(words) >= _FEWEST_WORDS_OF_TURN else 0)
            bag = sorted(set(words) - stop_words)
            bags.append(_hash(" ".join(bag)) if len(bag) >= _FEWEST_WORDS_OF_BAG else 0)
        self._owners = np.repeat(np.arange(len(prompts)), lengths)
        self.whole, self.last, self.bags = (np.array(values, np.uint64) for values in (whole, last, bags))

    def runs(self) -> tuple[Hashes, NDArray[np.intp]]:
        """Hash of every run of RUN words that lies in one prompt, and that prompt's index; in reading order."""
        words = np.array(self._words, np.uint64)
        if len(words) < RUN:
            return words[:0], self._owners[:0]
        count = len(words) - RUN + 1
        runs = np.zeros(count, np.uint64)
        for place in range(RUN):
            runs = runs * np.uint64(_BASE) + words[place : place + count]
        runs ^= runs >> np.uint64(29)  # so that the least of a window is a fair choice
        runs *= np.uint64(0xBF58476D1CE4E5B9)
        whole = self._owners[:count] == self._owners[RUN - 1 :]
        return runs[whole], self._owners[:count][whole]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _among(values: Hashes, known: Hashes) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[places] == values
    return found


def _batches(prompts: Iterable[Prompt]) -> Iterator[list[Prompt]]:
    prompts = iter(prompts)
    while batch := list(islice(prompts, _BATCH)):
        yield batch


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinyrm.data.leaks", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="file or folder of rows with prompts")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.npz")
    options: Any = parser.parse_args(arguments)
    try:
        prompts = [prompt for path in options.files for prompt in read_prompts(path)]
    except UserError as mistake:
        parser.error(str(mistake))
    if not prompts:
        parser.error("no prompt in these files")
    prints = Fingerprints.of(prompts)
    prints.save(options.output)
    sys.stdout.write(
        f"{options.output}: {len(prompts)} prompts, {len(prints.exact)} exact, {len(prints.runs)} runs, "
        f"{len(prints.bags)} bags, {Path(options.output).stat().st_size} bytes\n"
    )


if __name__ == "__main__":
    main()
