"""foretext: pre-train language models on your own text and transfer them to your task."""

from __future__ import annotations

__version__ = "0.1.0"
