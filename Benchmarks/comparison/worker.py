"""What the peers' workers share: a worker loads a model, says when its first token is there, then runs jobs.

Started by engines.py with the peer's own Python: `worker_X.py SETTINGS`, where SETTINGS is JSON. It answers on
standard output with one JSON object a line: first {"ready": ...}, then one for each job line that it reads.
Invariant: libraries can't write into the answers: standard output is theirs, the answers have a descriptor of their own.
"""

import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def serve(load):
    """`load(settings)` returns an object whose `first_token()` makes one token and whose `run(job)` returns metrics."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    engine = load(json.loads(sys.argv[1]))
    token = engine.first_token()
    answers.write(json.dumps({"ready": token}) + "\n")
    for line in sys.stdin:
        try:
            answer = {"metrics": engine.run(json.loads(line))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")


def rate(tokens, work, repeats, warm_up=1):
    """The median rate of `repeats` runs of `work`."""
    rates = []
    for turn in range(warm_up + repeats):
        start = time.perf_counter()
        work(turn)
        if turn >= warm_up:
            rates.append(tokens / (time.perf_counter() - start))
    return sorted(rates)[len(rates) // 2]


def decode_rate(times):
    """Tokens a second from the last request's first token to the first request's last one, as `swiftlet bench` has it.

    A step's tokens have one time here.
    """
    start, end = max(moments[0] for moments in times), min(moments[-1] for moments in times)
    return sum(start < moment <= end for moments in times for moment in moments) / (end - start)


# The prompt that makes the first token.
FIRST_PROMPT = list(range(1000, 1032))
# Rounds of a measurement inside one job: cheap ones are repeated.
PREFILL_REPEATS, DECODE_REPEATS = 5, 5
