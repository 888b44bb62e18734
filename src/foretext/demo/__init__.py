"""The tour: pre-train a tiny BERT and a tiny GPT, transfer them, compare with random weights."""
