from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.model.layout import Packed
from tinyrm.train.batches import Feed, shuffled_batches
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


def made(lengths, per, seed):
    """Random examples whose clozes have these lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths[: len(lengths) // per * per])
    n = len(lengths) // per
    return Examples(
        ids=rng.integers(1, 1000, lengths.sum()).astype(np.int32),
        starts=np.concatenate([[0], lengths.cumsum()]),
        slots=rng.integers(0, lengths),
        target=rng.random(n).astype(np.float32),
        margin=rng.random(n).astype(np.float32),
        per=per,
    )


@given(count=st.integers(1, 80), size=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_holds_every_example_once_and_follows_from_its_seed(count, size, seed):
    batches = list(shuffled_batches(count, size, seed))
    assert sorted(np.concatenate(batches)) == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])
    assert len(batches) == -(-count // size)
    again = list(shuffled_batches(count, size, seed))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_epochs_differ():
    first, second = (list(shuffled_batches(100, 10, seed)) for seed in (0, 1))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


@given(examples=examples_of, packs=st.booleans(), tokens=st.integers(1, 400), data=st.data())
def test_pieces_hold_every_example_once_within_the_budget(examples, packs, tokens, data):
    indices = np.asarray(data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, unique=True)))
    pieces = Feed(examples, packs, PAD).pieces(indices, tokens)
    assert sorted(np.concatenate(pieces)) == sorted(indices)
    for piece in pieces:
        lengths = examples.lengths[piece]
        takes = lengths.sum() if packs else lengths.size * lengths.max()
        assert takes <= tokens or len(piece) == 1
    if packs:  # greedy: neighbours would not fit together
        sizes = [examples.lengths[piece].sum() for piece in pieces]
        assert all(one + examples.lengths[then[0]].sum() > tokens for one, then in zip(sizes, pieces[1:], strict=False))


@given(examples=examples_of, kept=st.booleans(), data=st.data())
def test_a_batch_gives_back_exactly_the_clozes_packed_or_padded(examples, kept, data):
    chosen = np.asarray(data.draw(st.lists(st.integers(0, len(examples) - 1), min_size=1, unique=True)))
    states = np.random.default_rng(0).random((len(examples.ids), 3)).astype(np.float16) if kept else None
    packed = Feed(examples, True, PAD, states).batch(chosen)
    padded = Feed(examples, False, PAD).batch(chosen)
    rows = [examples.per * i + j for i in chosen for j in range(examples.per)]
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
        assert (batch.tokens, batch.per) == (len(packed.ids), examples.per)
    if states is not None:
        wanted = np.concatenate([states[examples.starts[row] : examples.starts[row + 1]] for row in rows])
        assert torch.equal(packed.below, torch.from_numpy(wanted))
