"""Train the byte-level BPE on the corpus and store the corpus as token arrays.

Weights (in percent) say how much each token counts in the loss: stories and answers fully, what the user
or the system says hardly at all. Invariant: encoding the pieces of a chat one by one gives the same tokens
as encoding the rendered template, because every piece ends at a special token or at a line break that the
pre-tokenizer keeps apart.
"""

import argparse
import json
import os

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from export import SPECIALS

# The pre-tokenizer that Qwen's models use, so that engines need nothing new for this one.
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train_tokenizer(texts, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIALS, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save(path, documents):
    lengths = [len(tokens) for tokens, _ in documents]
    np.savez(path, tokens=np.concatenate([t for t, _ in documents]).astype(np.uint16),
             weights=np.concatenate([w for _, w in documents]).astype(np.uint8),
             offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    print(path, len(lengths), "documents", sum(lengths), "tokens, longest", max(lengths))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", default="build/corpus")
    parser.add_argument("--out", default="build")
    parser.add_argument("--vocabulary", type=int, default=3072)
    options = parser.parse_args()
    tales, talks = read(f"{options.corpus}/stories.jsonl"), read(f"{options.corpus}/chats.jsonl")
    sample = tales[:3000] + [text for talk in talks[:8000] for _, text in talk]
    tokenizer = train_tokenizer(sample, options.vocabulary)
    os.makedirs(f"{options.out}/packed", exist_ok=True)
    tokenizer.save(f"{options.out}/tokenizer.json")
    end, start, stop = (tokenizer.token_to_id(token) for token in SPECIALS)
    encoded = tokenizer.encode_batch(tales)
    save(f"{options.out}/packed/stories.npz",
         [(np.array(e.ids + [end]), np.full(len(e.ids) + 1, 100)) for e in encoded])
    texts = [f"{role}\n{text}" for talk in talks for role, text in talk]
    encoded = iter(tokenizer.encode_batch(texts))
    line = tokenizer.encode("\n").ids
    headers = {role: len(tokenizer.encode(role + "\n").ids) for role in ("system", "user", "assistant")}
    documents = []
    for talk in talks:
        tokens, weights = [], []
        for role, text in talk:
            ids = next(encoded).ids
            header = headers[role]
            mark = 100 if role == "assistant" else 10
            tokens += [start] + ids + [stop] + line
            weights += [10] * (1 + header) + [mark] * (len(ids) - header + 1) + [10] * len(line)
        documents.append((np.array(tokens + [end]), np.array(weights + [10])))
    save(f"{options.out}/packed/chats.npz", documents)


if __name__ == "__main__":
    main()
