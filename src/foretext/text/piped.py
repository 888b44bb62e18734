"""Standard input as a file, for those who read a text more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foretext.core.errors import DataError


@contextmanager
def kept_input() -> Iterator[Path]:
    """A .txt file with all of standard input, deleted when the block ends.

    Raises:
        DataError: there is nothing; or the block's own, which then names standard input.
    """
    with tempfile.NamedTemporaryFile(prefix="foretext-", suffix=".txt") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        if not file.tell():
            raise DataError("standard input is empty; pipe text into it, or give files, not -")
        file.flush()
        try:
            yield Path(file.name)
        except DataError as error:
            raise DataError(str(error).replace(file.name, "standard input")) from None
