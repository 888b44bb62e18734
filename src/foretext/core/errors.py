"""What can be at fault, and how it is said: the value, the rule and the remedy in one line.

The command line turns a ForetextError into that line and exit code 1; a programming fault of ours
stays a traceback.
"""

from __future__ import annotations


class ForetextError(Exception):
    """The user's input is at fault; the message is one line that says how to mend it."""


class ConfigError(ForetextError):
    """A recipe, preset or option that cannot be used."""


class DataError(ForetextError):
    """Text, labels or shards that cannot be read; names file and line."""


class TokenizerError(ForetextError):
    """A tokenizer that cannot be trained, read or used for what was asked."""


class CheckpointError(ForetextError):
    """Weights, a model folder or a checkpoint that does not fit, is damaged or is unsafe."""


class TrainingError(ForetextError):
    """A run that cannot go on, such as a loss that is not finite."""
