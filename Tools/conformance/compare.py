#!/usr/bin/env python3
"""Runs `swiftlet generate` on the checkpoints of make_models.py and compares with their golden.json.

    compare.py BINARY FOLDER [--only NAME] [--dtypes float32,bfloat16] [-- options for swiftlet …]

Compared: logits after the prompt (relative L2), log-probabilities of prompt tokens and of each greedy step's most
probable tokens (largest absolute difference), greedy ids until the first step whose margin is within the tolerance.
Prints a line per checkpoint and type; exit status 1 if any exceeds a limit. Needs only Python.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

# dtype: logits, prompt log-probabilities, and the greedy margin as a share of the largest logit. The limits;
# it names none for bfloat16's log-probabilities: 3e-2 of logits with a deviation of 3 makes differences of 0.1 usual.
# Where transformers' own bfloat16 is further from its float32 than that, its distance is bfloat16's limit (twice the
# distance of log-probabilities: one token of hundreds that goes to another expert makes the largest difference).
LIMITS = {"float32": (1e-4, 1e-3, 1e-4), "bfloat16": (3e-2, 0.5, 3e-2)}


# More candidates than this are not asked for; logits are then compared on those that come.
MOST_CANDIDATES = 1024
# Enough for every prompt; families' defaults go to 131,072, which would only cost memory.
LONGEST = 2048


def requests(cases, vocabulary):
    for index, case in enumerate(cases):
        prompt = {"prompt_token_ids": case["prompt_ids"]}
        greedy = {"temperature": 0, "ignore_eos": True}
        yield {"id": f"logits {index}", **prompt, "sampling_params": {
            **greedy, "max_tokens": 1, "logprobs": min(vocabulary, MOST_CANDIDATES), "prompt_logprobs": 0}}
        yield {"id": f"greedy {index}", **prompt, "sampling_params": {
            **greedy, "max_tokens": len(case["greedy"]), "logprobs": min(20, vocabulary)}}


def run(binary, folder, dtype, vocabulary, cases, options):
    with tempfile.TemporaryDirectory() as scratch:
        source, target = pathlib.Path(scratch, "in.jsonl"), pathlib.Path(scratch, "out.jsonl")
        source.write_text("".join(json.dumps(line) + "\n" for line in requests(cases, vocabulary)))
        command = [binary, "generate", "--model", str(folder), "--dtype", dtype, "--quiet", "--input", str(source),
                   "--output", str(target), "--max-logprobs", str(max(20, min(vocabulary, MOST_CANDIDATES))),
                   "--kv-cache-memory-bytes", "256M", "--log-level", "error", *options]
        config = json.loads((folder / "config.json").read_text())
        if config.get("text_config", config).get("max_position_embeddings", LONGEST + 1) > LONGEST:
            command += ["--max-model-len", str(LONGEST)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0 or not target.exists():
            said = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
            detail = said[-1:] or [f"exit status {result.returncode}"]
            if target.exists():
                errors = [json.loads(line).get("error") for line in target.read_text().splitlines()]
                detail += [error["message"] for error in errors if error][:1]
            raise RuntimeError(": ".join(detail))
        lines = [json.loads(line) for line in target.read_text().splitlines()]
    return {line["id"]: line for line in lines}


def relative_logits(expected, entry):
    """|a - b| / |b| of logits; their common offset, which log-probabilities don't have, is taken from the reference."""
    largest = max(expected)
    offset = largest + math.log(sum(math.exp(value - largest) for value in expected))
    actual = dict(map(tuple, entry["top"]))
    assert len(actual) >= min(len(expected), MOST_CANDIDATES)
    difference = sum((value + offset - expected[token]) ** 2 for token, value in actual.items())
    return math.sqrt(difference / sum(expected[token] ** 2 for token in actual))


def measure(cases, results, limits):
    worst = {"logits": 0.0, "prompt": 0.0, "top": 0.0}
    compared, total, wrong = 0, 0, []
    for index, case in enumerate(cases):
        first, greedy = results[f"logits {index}"], results[f"greedy {index}"]
        worst["logits"] = max(worst["logits"], relative_logits(
            case["last_logits"], first["outputs"][0]["logprobs"][0]))
        actual = first["prompt_logprobs"]
        assert actual[0] is None and len(actual) == len(case["prompt_ids"])
        for token, entry, value in zip(case["prompt_ids"][1:], actual[1:], case["prompt_logprobs"]):
            assert entry["token_id"] == token
            worst["prompt"] = max(worst["prompt"], abs(entry["logprob"] - value))
        tolerance = limits[2] * max(map(abs, case["last_logits"]))
        output = greedy["outputs"][0]
        assert len(output["token_ids"]) == len(case["greedy"])
        total += len(case["greedy"])
        for step, expected in enumerate(case["greedy"]):
            mine = dict(map(tuple, output["logprobs"][step]["top"]))
            for token, value in zip(expected.get("top_ids", []), expected.get("top_logprobs", [])):
                # The last of the top 20 may change places with one that is not listed.
                if token in mine:
                    worst["top"] = max(worst["top"], abs(mine[token] - value))
            if output["token_ids"][step] != expected["id"]:
                if expected["margin"] > tolerance:
                    wrong.append(f"prompt {index} step {step}: {output['token_ids'][step]} for {expected['id']}")
                break
            compared += 1
    return worst, compared, total, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="", help="only checkpoints with this in their name")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    words = [*sys.argv[1:], "--"]
    own_count = words.index("--")
    arguments, options = parser.parse_args(words[:own_count]), words[own_count + 1:-1]

    print(f"{'checkpoint':30} {'dtype':9} {'logits':>9} {'prompt':>9} {'top':>9}  greedy")
    failures = count = 0
    for path in sorted(arguments.folder.glob(f"*{arguments.only}*/golden.json")):
        golden = json.loads(path.read_text())
        cases = golden["cases"]
        for dtype in arguments.dtypes.split(","):
            limits, count = LIMITS[dtype], count + 1
            try:
                results = run(arguments.binary, path.parent, dtype, len(cases[0]["last_logits"]), cases, options)
                worst, compared, total, wrong = measure(cases, results, limits)
            except (RuntimeError, AssertionError, KeyError) as error:
                failures += 1
                print(f"{path.parent.name:30} {dtype:9} FAILED {error!r}")
                continue
            own = [golden.get(key, 0) if dtype == "bfloat16" else 0
                   for key in ("bfloat16_distance", "bfloat16_logprobs")]
            failed = (worst["logits"] > max(limits[0], own[0])
                      or max(worst["prompt"], worst["top"]) > max(limits[1], 2 * own[1]) or wrong)
            failures += bool(failed)
            print(f"{path.parent.name:30} {dtype:9} {worst['logits']:9.2e} {worst['prompt']:9.2e} {worst['top']:9.2e}"
                  f"  {compared}/{total}{' ' + wrong[0] if wrong else ''}{'  FAILED' if failed else ''}", flush=True)
    print(f"{count - failures} of {count} within the limits")
    sys.exit(1 if failures or count == 0 else 0)


if __name__ == "__main__":
    main()
