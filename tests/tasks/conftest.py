"""What the tests of tasks share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def quiet_transformers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The library, offline and without bars and warnings."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield transformers
    transformers.logging.set_verbosity(level)
