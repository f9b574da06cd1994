import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate.baselines import longer_wins, shorter_wins


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), min_size=1))
def test_length_alone(prefer, pairs):
    rows = [prefer("q", chosen, rejected) for chosen, rejected in pairs]
    swapped = [dataclasses.replace(row, chosen=row.rejected, rejected=row.chosen) for row in rows]
    np.testing.assert_array_equal(shorter_wins(rows), 1 - longer_wins(rows))
    np.testing.assert_array_equal(shorter_wins(rows), longer_wins(swapped))
    for (chosen, rejected), credit in zip(pairs, longer_wins(rows), strict=True):
        longer, equal = len(chosen) > len(rejected), len(chosen) == len(rejected)
        assert credit == (0.5 if equal else float(longer))
