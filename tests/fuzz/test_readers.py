"""Any bytes give a result or a `GDWError` of one line: no other exception, no hang, no memory without end.

`make fuzz` tries 50 times as many files, other ones each time, and prints how to repeat them.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from gdw.errors import GDWError
from tests.fuzz.damage import damaged
from tests.fuzz.readers import READERS, Reader

SECONDS = 20
GIGABYTES = 2

# The examples of a test relative to those of the ordinary profile, see tests/conftest.py.
MORE = settings().max_examples // 100


def _peak() -> float:
    """The most memory that the process ever had, in GB."""
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _read(reader: Reader, content: bytes) -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / reader.file
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except GDWError as error:
        message = str(error)
        assert message.isprintable(), repr(message)
        assert 0 < len(message) < 3000
    finally:
        shutil.rmtree(folder)


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", list(READERS))
def test_a_damaged_file_is_one_line(name: str) -> None:
    reader = READERS[name]
    valid = reader.valid()
    before = _peak()

    @settings(
        max_examples=reader.examples * MORE,
        deadline=SECONDS * 1000,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=damaged(valid))
    def check(content: bytes) -> None:
        _read(reader, content)

    check()
    assert _peak() - before < GIGABYTES


@pytest.mark.parametrize("name", list(READERS))
def test_a_valid_file_is_read(name: str) -> None:
    """The files to begin with are those that the readers expect: otherwise damage says little."""
    reader = READERS[name]
    content = reader.valid()[0]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / reader.file
        path.write_bytes(content)
        reader.read(path)


@pytest.mark.parametrize("file", sorted((Path(__file__).parent / "found").iterdir()))
def test_files_that_ended_the_process_are_one_line(file: Path) -> None:
    with pytest.raises(GDWError, match="is damaged"):
        READERS["parquet"].read(file)
