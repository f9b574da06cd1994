import subprocess
import sys

import pytest

import tinyrm.data


def test_every_public_name_is_there():
    for name in tinyrm.data.__all__:
        assert getattr(tinyrm.data, name).__name__ == name
    with pytest.raises(AttributeError):
        tinyrm.data.no_such_name  # noqa: B018


def test_importing_loads_no_heavy_library():
    code = "import sys, tinyrm.data; from tinyrm.data import load_mixture; print([*sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"'pyarrow'", "'torch'", "'datasets'", "'transformers'"} & set(loaded.strip("[]\n").split(", "))
