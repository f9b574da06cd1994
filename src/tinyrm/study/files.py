"""Files of a study that others may read, or write too, while it goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_at_once(path: Path) -> Iterator[Path]:
    """A path to write to, which then takes the place of the file: other workers may write it too."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    yield partial
    partial.replace(path)
