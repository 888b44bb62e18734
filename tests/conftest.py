"""Shared by all tests: no network, one thread, and a small corpus and tokenizer made once."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["FORETEXT_LANG"] = "en"  # whatever the machine's locale is
# How long an example takes says what else the machine does, and nothing about what is claimed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
