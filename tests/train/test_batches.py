from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.model.layout import Packed
from tinyrm.train.batches import TOGETHER, Feed, share, shuffled_batches
from tinyrm.train.examples import Examples

PAD = 0
examples_of = st.builds(
    lambda lengths, per, seed: made(
        lengths[: max(per, len(lengths) // per * per)] * (per if len(lengths) < per else 1), per, seed
    ),
    lengths=st.lists(st.integers(1, 40), min_size=4, max_size=60),
    per=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 9),
)


def text(examples, row):
    return examples.ids[examples.starts[row] : examples.starts[row + 1]].tolist()


def made(lengths, per, seed):
    """Random examples whose clozes have these lengths; of short ones some are equal."""
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths[: len(lengths) // per * per])
    n = len(lengths) // per
    return Examples(
        ids=rng.integers(1, 4, lengths.sum()).astype(np.int32),
        starts=np.concatenate([[0], lengths.cumsum()]),
        slots=rng.integers(0, lengths),
        target=rng.random(n).astype(np.float32),
        margin=rng.random(n).astype(np.float32),
        per=per,
    )


families_of = st.lists(st.integers(0, 30), min_size=1, max_size=80).map(np.asarray)


@given(families=families_of, size=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_holds_every_example_once_with_its_family_and_follows_from_its_seed(families, size, seed):
    batches = list(shuffled_batches(families, size, seed))
    assert sorted(np.concatenate(batches)) == list(range(len(families)))
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(batches) == -(-len(families) // size)
    in_order = families[np.concatenate(batches)].tolist()
    together, cap = [len(list(run)) for _, run in groupby(in_order)], max(1, size // TOGETHER)
    fewest = sum(-(-in_order.count(family) // cap) for family in set(in_order))
    assert len(together) <= fewest, "a family stands together, in runs of at most a part of a batch"
    again = list(shuffled_batches(families, size, seed))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_epochs_differ():
    for families in (np.arange(100), np.arange(100) // 5):
        first, second = (list(shuffled_batches(families, 10, seed)) for seed in (0, 1))
        assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


@given(examples=examples_of, packs=st.booleans(), tokens=st.integers(1, 400), data=st.data())
def test_pieces_hold_every_example_once_within_the_budget(examples, packs, tokens, data):
    indices = np.asarray(data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, unique=True)))
    pieces = Feed(examples, packs, PAD).pieces(indices, tokens)
    assert sorted(np.concatenate(pieces)) == sorted(indices)
    lengths = examples.lengths.ravel()

    def takes(piece):
        """Tokens of a piece, in which a cloze stands once however often it is asked for."""
        read = lengths[np.unique(examples.clozes(piece))]
        return read.sum() if packs else len(read) * read.max()

    assert all(takes(piece) <= tokens or len(piece) == 1 for piece in pieces)
    if packs:  # greedy, in their order: neighbours would not fit together
        assert np.concatenate(pieces).tolist() == indices.tolist()
        for piece, then in pairwise(pieces):
            assert takes(np.append(piece, then[0])) > tokens


@given(examples=examples_of, kept=st.booleans(), data=st.data())
def test_a_batch_gives_back_exactly_the_clozes_packed_or_padded(examples, kept, data):
    chosen = np.asarray(data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, unique=True)))
    states = np.random.default_rng(0).random((len(examples.ids), 3)).astype(np.float16) if kept else None
    packed = Feed(examples, True, PAD, states).batch(chosen)
    padded = Feed(examples, False, PAD).batch(chosen)
    rows = np.unique(examples.clozes(chosen))
    expected = [examples.ids[examples.starts[row] : examples.starts[row + 1]] for row in rows]
    slots = [int(part[examples.slots[row]]) for part, row in zip(expected, rows, strict=True)]

    assert isinstance(packed.layout, Packed)
    assert packed.ids.tolist() == np.concatenate(expected).tolist()
    assert packed.layout.lengths == tuple(map(len, expected))
    assert packed.ids[packed.layout.slots].tolist() == slots
    assert padded.layout.at_slots(padded.ids).tolist() == slots
    mask = padded.layout.mask
    assert (mask is None) == (len(set(map(len, expected))) == 1)
    real = torch.ones_like(padded.ids).bool() if mask is None else mask.bool()
    assert [row[keep].tolist() for row, keep in zip(padded.ids, real, strict=True)] == [e.tolist() for e in expected]
    assert (padded.ids[~real] == PAD).all()
    for batch in (packed, padded):
        assert batch.target.tolist() == examples.target[chosen].tolist()
        assert batch.margin.tolist() == examples.margin[chosen].tolist()
        assert batch.tokens == len(packed.ids)
        asked = [expected[which].tolist() for which in batch.which.ravel()]
        assert asked == [text(examples, examples.per * i + j) for i in chosen for j in range(examples.per)]
    if states is not None:
        wanted = np.concatenate([states[examples.starts[row] : examples.starts[row + 1]] for row in rows])
        assert torch.equal(packed.below, torch.from_numpy(wanted))


def test_no_family_fills_a_batch():
    families = np.asarray([0] * 800 + [*range(1, 1001)])
    for batch in shuffled_batches(families, 32, 0):
        assert (families[batch] == 0).sum() < 32


@given(count=st.integers(0, 40), processes=st.integers(1, 9))
def test_shares_are_a_batch_in_its_order_as_even_as_can_be(count, processes):
    shares = [share(np.arange(count), rank, processes) for rank in range(processes)]
    assert np.concatenate(shares).tolist() == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
