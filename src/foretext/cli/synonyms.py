"""What other tools call what foretext has, so that a word nobody could guess finds its verb."""

from __future__ import annotations

from foretext.core.suggest import nearest

_TASK = "finetune RUN {} --train FILE --out DIR"
# A command line, which begins with a verb, for each group of words.
_WORDS: dict[str, tuple[str, ...]] = {
    "pretrain PRESET --text PATH --out DIR": (
        *("train", "fit", "run", "learn", "train-lm", "lm", "mlm", "pre-train", "run-mlm"),
        *("run-clm", "init", "new", "start"),
    ),
    "pretrain RUN --resume": ("resume", "continue", "restart"),
    "finetune RUN TASK --train FILE --out DIR": (
        *("tune", "fine-tune", "adapt", "transfer", "sft", "task", "teach"),
    ),
    _TASK.format("classification"): (
        *(
            "classify",
            "classification",
            "classifier",
            "sentiment",
            "text-classification",
            "textcat",
        ),
        *("sequence-classification", "run-glue", "glue", "nli"),
    ),
    _TASK.format("tagging"): (
        *("ner", "tag", "tagger", "tagging", "pos", "token-classification", "entities", "run-ner"),
    ),
    _TASK.format("question-answering"): (
        *("qa", "question-answering", "squad", "answer", "run-qa", "korquad"),
    ),
    _TASK.format("similarity"): ("sts", "similarity", "similar"),
    _TASK.format("multiple-choice"): ("choice", "multiple-choice", "race", "swag"),
    "finetune RUN masked --train PATH --out DIR": ("domain", "domain-adapt", "continued"),
    "finetune RUN TASK --train FILE --out DIR --grid PATH=V,V": ("grid", "sweep", "search"),
    "evaluate RUN --data FILE": (
        *("eval", "test", "metrics", "benchmark", "measure", "accuracy", "perplexity"),
        *("ppl", "validate"),
    ),
    "evaluate RUN --data FILE --against OTHER": ("compare", "diff"),
    "predict RUN FILE": ("infer", "inference", "label", "apply", "pipeline", "use"),
    "embed RUN FILE --out vectors.npy": (
        *("embeddings", "vectors", "vectorize", "features", "feature-extraction", "represent"),
    ),
    'fill RUN "A [MASK]."': ("fill-mask", "fillmask", "mask", "unmask", "cloze"),
    'generate RUN --prompt "Once"': (
        *("gen", "complete", "text-generation", "sample", "chat", "prompt", "write"),
    ),
    "check-data PATH": ("check", "debug", "inspect", "stats", "data", "debug-data", "lint"),
    "tokenizer train PATH --out DIR": (
        *("tokenize", "tokenise", "vocab", "bpe", "wordpiece", "train-tokenizer", "tokeniser"),
        *("sentencepiece", "spm"),
    ),
    "prepare PATH --tokenizer DIR --out DIR": ("preprocess", "encode", "shard", "shards", "pack"),
    "models": ("list", "ls", "presets", "zoo", "architectures"),
    "tasks": ("datasets", "heads"),
    "objectives": ("losses", "objective"),
    "doctor": ("info", "env", "version", "versions", "about", "system", "gpu"),
    "import SRC DST": ("convert", "load", "from-hf", "download", "fetch", "get"),
    "export RUN DST": ("save", "to-hf", "deploy"),
    "export RUN DST --format onnx": ("onnx", "quantize", "quantise", "int8"),
    "push RUN USER/NAME --license ID": ("upload", "publish", "hub", "share"),
    "demo": ("tour", "tutorial", "example", "quickstart", "hello"),
}
_MEANT = {word: line for line, words in _WORDS.items() for word in words}


def meant(name: str, known: list[str]) -> str:
    """What somebody who typed a word that is no verb may have wanted.

    Args:
        name: the word.
        known: the verbs there are.
    """
    word = name.lower().lstrip("-").replace("_", "-")
    if word in known:
        return f"`foretext {word}`"
    if word in _MEANT:
        return f"`foretext {_MEANT[word]}`"
    return nearest(name, known)
