"""Write the training corpus: stories.jsonl, chats.jsonl and heldout.jsonl. The same seed gives the same files."""

import argparse
import json
import os
import random

import chats
import phrasings
import stories


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/corpus")
    parser.add_argument("--stories", type=int, default=36000)
    parser.add_argument("--chats", type=int, default=80000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    source = random.Random(options.seed)
    with open(f"{options.out}/stories.jsonl", "w", encoding="utf-8") as file:
        for _ in range(options.stories):
            file.write(json.dumps(stories.story(source), ensure_ascii=False) + "\n")
    questions = phrasings.load()
    forbidden = {phrasings.plain(q.held_out) for q in questions}
    forbidden |= {phrasings.plain(phrasings.fill(p, t)) for q in questions for t in q.topics for p in phrasings.HELD_OUT_PATTERNS}
    source, pool = random.Random(options.seed + 1), []
    with open(f"{options.out}/chats.jsonl", "w", encoding="utf-8") as file:
        for _ in range(options.chats):
            if len(pool) < 16:  # whole shuffled rounds: every question is asked equally often
                pool = source.sample(questions, len(questions)) + pool
            file.write(json.dumps(chats.conversation(source, pool, forbidden), ensure_ascii=False) + "\n")
    source = random.Random(options.seed + 2)
    with open(f"{options.out}/heldout.jsonl", "w", encoding="utf-8") as file:
        for question in questions:
            pattern = source.choice(phrasings.HELD_OUT_PATTERNS)
            if not question.is_noun:
                pattern = "In simple words, explain {T}."
            row = {"written": question.held_out, "template": phrasings.fill(pattern, question.topics[0]),
                   "trained": question.phrasings[0], "answer": question.answer}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(len(questions), "questions,", sum(len(q.phrasings) for q in questions), "written phrasings for training")


if __name__ == "__main__":
    main()
