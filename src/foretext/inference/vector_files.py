"""Files of vectors: .npy, or .parquet with the texts; written as they come, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from foretext.core.atomic import atomic_file
from foretext.core.errors import ConfigError

KINDS = (".npy", ".parquet")
Write = Callable[[list[str], NDArray[np.float32]], None]


def check_path(path: Path) -> None:
    """Refuse a name whose ending says no format, and .parquet without the package that writes it.

    Raises:
        ConfigError: it is such a name.
    """
    if path.suffix not in KINDS:
        raise ConfigError(f"{path} must end in {' or '.join(KINDS)}")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give a file in it")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{path}: writing .parquet needs pyarrow; pip install 'foretext[data]'"
            ) from None


@contextmanager
def writing(path: Path, size: int) -> Iterator[Write]:
    """A function that takes some texts and their vectors [texts, size] at a time."""
    with atomic_file(path.resolve()) as temporary, temporary.open("wb") as file:
        yield from (_npy if path.suffix == ".npy" else _parquet)(file, size)


def _npy(file: BinaryIO, size: int) -> Iterator[Write]:
    """NumPy leaves room in a header for a longer first axis, so it is written again at the end."""
    rows = 0

    def header() -> None:
        fields = {"descr": "<f4", "fortran_order": False, "shape": (rows, size)}
        np.lib.format.write_array_header_1_0(file, fields)

    def write(texts: list[str], vectors: NDArray[np.float32]) -> None:  # noqa: ARG001
        nonlocal rows
        rows += len(vectors)
        file.write(np.ascontiguousarray(vectors, "<f4").tobytes())

    header()
    begin = file.tell()
    yield write
    file.seek(0)
    header()
    assert file.tell() == begin


def _parquet(file: BinaryIO, size: int) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vector = pa.list_(pa.float32(), size)
    schema = pa.schema([("text", pa.string()), ("vector", vector)])
    with pq.ParquetWriter(file, schema) as writer:

        def write(texts: list[str], vectors: NDArray[np.float32]) -> None:
            flat: Any = pa.array(np.ascontiguousarray(vectors).reshape(-1))
            columns = [
                pa.array(texts, pa.string()),
                pa.FixedSizeListArray.from_arrays(flat, size),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))

        yield write
