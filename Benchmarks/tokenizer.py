#!/usr/bin/env python3
"""Compares Swiftlet's tokenizer with Hugging Face's library: the same file, the same texts, one thread.

    swift build -c release --product swiftlet
    pip install tokenizers
    python3 Benchmarks/tokenizer.py MODEL TEXT...

MODEL is a folder with a tokenizer.json, TEXT are UTF-8 files; the texts without spaces of `swiftlet bench tokenizer`
come on top. Each number is the best of three; encoding is without special tokens, and both must give as many tokens.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402  (reads the variables above)

COMMAND = pathlib.Path(__file__).resolve().parents[1] / ".build" / "release" / "swiftlet"


def best(repeats, work):
    shortest, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", nargs="+", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    file = arguments.model / "tokenizer.json" if arguments.model.is_dir() else arguments.model

    command = [str(COMMAND), "bench", "tokenizer", "--json", "--repeats", str(arguments.repeats), "--model", str(file)]
    own = json.loads(subprocess.run(
        [*command, *map(str, arguments.texts)], check=True, capture_output=True, text=True).stdout)
    seconds, tokenizer = best(arguments.repeats, lambda: tokenizers.Tokenizer.from_file(str(file)))
    print(f"tokenizers {tokenizers.__version__}; MB/s on one thread, Swiftlet and tokenizers")
    print(f"{'load':32} {own['load_seconds'] * 1e3:8.0f} ms {seconds * 1e3:8.0f} ms")
    for row in own["texts"]:
        if row["name"] not in map(str, arguments.texts):
            print(f"{row['name']:32} {row['bytes'] / row['encode_seconds'] / 1e6:8.1f}")
            continue
        text = pathlib.Path(row["name"]).read_text(encoding="utf-8")
        encode, encoding = best(arguments.repeats, lambda: tokenizer.encode(text, add_special_tokens=False))
        decode, _ = best(arguments.repeats, lambda: tokenizer.decode(encoding.ids))
        if len(encoding.ids) != row["tokens"]:
            raise SystemExit(f"{row['name']}: {row['tokens']} tokens here, {len(encoding.ids)} there")
        size = row["bytes"] / 1e6
        name = pathlib.Path(row["name"]).name
        print(f"{name + ', encode':32} {size / row['encode_seconds']:8.1f} {size / encode:8.1f}")
        print(f"{name + ', decode':32} {size / row['decode_seconds']:8.1f} {size / decode:8.1f}")


if __name__ == "__main__":
    main()
