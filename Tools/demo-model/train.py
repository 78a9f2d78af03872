"""Train the demo model on the packed corpus, for a set number of minutes of wall time.

The learning rate follows the share of the time used, so that training ends well wherever it runs.
Matrices are trained with Muon, the embedding and the norms with AdamW. Every few minutes the state is
written atomically; `--resume` goes on from it, with the minutes that were left. The same seed gives the
same batches, but not the same number of steps: that depends on the machine.
"""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from export import SPECIALS, export
from model import Config, DemoModel

END = SPECIALS.index("<|endoftext|>")  # pack.py gives the special tokens the first ids, in this order

class Packer:
    """Rows of whole documents, only the last one cut; stories and chats are mixed by tokens."""

    def __init__(self, folder, chat_share, seed):
        self.parts = {}
        for name in ("stories", "chats"):
            data = np.load(f"{folder}/{name}.npz")
            self.parts[name] = (data["tokens"], data["weights"], data["offsets"])
        self.random = np.random.default_rng(seed)
        self.chat_share = chat_share
        self.orders = {name: np.array([], dtype=np.int64) for name in self.parts}
        self.drawn = {name: 0 for name in self.parts}
        self.epochs = {name: 0 for name in self.parts}

    def document(self):
        total = sum(self.drawn.values()) + 1
        name = "chats" if self.drawn["chats"] < self.chat_share * total else "stories"
        if len(self.orders[name]) == 0:
            self.orders[name] = self.random.permutation(len(self.parts[name][2]) - 1)
            self.epochs[name] += 1
        index, self.orders[name] = self.orders[name][-1], self.orders[name][:-1]
        tokens, weights, offsets = self.parts[name]
        piece = slice(offsets[index], offsets[index + 1])
        self.drawn[name] += piece.stop - piece.start
        return tokens[piece], weights[piece]

    def batch(self, rows, length):
        ids = np.zeros((rows, length + 1), dtype=np.int64)
        weights = np.zeros((rows, length + 1), dtype=np.float32)
        for row in range(rows):
            filled = 0
            while filled < length + 1:
                tokens, marks = self.document()
                count = min(len(tokens), length + 1 - filled)
                ids[row, filled : filled + count] = tokens[:count]
                weights[row, filled : filled + count] = marks[:count]
                filled += count
        return torch.from_numpy(ids), torch.from_numpy(weights) / 100


def orthogonalise(matrices):
    """Newton-Schulz iteration on [count, rows, columns]: pushes every singular value towards 1."""
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon:
    """Momentum whose update is orthogonalised; matrices of the same shape are done together."""

    def __init__(self, matrices):
        shapes = {}
        for matrix in matrices:
            shapes.setdefault(tuple(matrix.shape), []).append(matrix)
        self.groups = list(shapes.values())
        self.momenta = [torch.zeros(len(g), *g[0].shape) for g in self.groups]

    @torch.no_grad()
    def step(self, rate, momentum, decay):
        for group, momenta in zip(self.groups, self.momenta):
            gradient = torch.stack([m.grad for m in group])
            momenta.lerp_(gradient, 1 - momentum)
            update = orthogonalise(gradient.lerp(momenta, momentum))
            scale = max(1.0, group[0].shape[0] / group[0].shape[1]) ** 0.5
            for matrix, change in zip(group, update):
                matrix.mul_(1 - rate * decay).add_(change, alpha=-rate * scale)


def schedule(share):
    """Share of the peak rate at this share of the time: short warm-up, plateau, long linear descent."""
    warm, hold = 0.01, 0.35
    if share < warm:
        return max(share / warm, 0.02)
    return 1.0 if share < hold else max((1 - share) / (1 - hold), 0.0)


def write_state(path, state):
    torch.save(state, path + ".new")
    os.replace(path + ".new", path)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="build/packed")
    parser.add_argument("--tokenizer", default="build/tokenizer.json")
    parser.add_argument("--out", default="build/run")
    parser.add_argument("--preview", help="folder to keep an exported copy of the latest checkpoint in")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--checkpoint-minutes", type=float, default=5)
    parser.add_argument("--tokens-per-step", type=int, default=3072)
    parser.add_argument("--chat-share", type=float, default=0.55)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def loss_of(model, ids, weights):
    """Mean loss of the next token; documents of the same row do not see each other."""
    inputs = ids[:, :-1]
    ends = (inputs == END).long()
    document = ends.cumsum(1) - ends  # [rows, length]
    mask = (document[:, None, :, None] == document[:, None, None, :]).tril()
    logits = model(inputs, mask=mask).float()
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def train_step(run, model, options, ids, weights=None):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.float32):
        loss = run(model, ids, torch.ones(ids.shape) if weights is None else weights)
    loss.backward()
    return loss


def main():
    options = arguments()
    os.makedirs(options.out, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = DemoModel(Config())
    packer = Packer(options.data, options.chat_share, options.seed)
    matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, lr=0, betas=(0.9, 0.97), weight_decay=0.0)
    step, seen, used = 0, 0, 0.0
    path = f"{options.out}/state.pt"
    if options.resume and os.path.exists(path):
        state = torch.load(path, weights_only=False)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.momenta = state["muon"]
        step, seen, used = state["step"], state["seen"], state["used"]
        packer.random = np.random.default_rng(options.seed + step)
    run = torch.compile(loss_of) if options.compile else loss_of
    log = open(f"{options.out}/log.jsonl", "a", buffering=1)
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    context = model.config.max_position_embeddings
    for length in (context // 2, context):  # compiling is not counted as training time
        train_step(run, model, options, torch.zeros(options.tokens_per_step // length, length + 1, dtype=torch.long))
    model.zero_grad(set_to_none=True)
    total, begin, saved = options.minutes * 60, time.time() - used, time.time()
    running = None
    while True:
        used = time.time() - begin
        share = used / total
        if share >= 1:
            break
        # Every third step runs at the full context, so that no declared position is untrained.
        length = context if step % 3 == 2 else context // 2
        ids, weights = packer.batch(options.tokens_per_step // length, length)
        loss = train_step(run, model, options, ids, weights)
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        factor = schedule(share)
        muon.step(options.muon_rate * factor, 0.85 + 0.10 * min(1, step / 300), 0.01)
        adam.param_groups[0]["lr"] = options.adam_rate * factor
        adam.step()
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + ids.shape[0] * length
        value = loss.item()
        running = value if running is None else 0.95 * running + 0.05 * value
        if step % 10 == 0:
            record = {"step": step, "tokens": seen, "seconds": round(used, 1), "loss": round(running, 4),
                      "rate": round(factor, 4), "epochs": dict(packer.epochs)}
            log.write(json.dumps(record) + "\n")
        if time.time() - saved > options.checkpoint_minutes * 60:
            saved = time.time()
            write_state(path, {"model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.momenta,
                               "step": step, "seen": seen, "used": used})
            if options.preview:
                export(model, options.tokenizer, options.preview)
    write_state(path, {"model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.momenta,
                       "step": step, "seen": seen, "used": used})
    export(model, options.tokenizer, f"{options.out}/export")
    if options.preview:
        export(model, options.tokenizer, options.preview)
    assert math.isfinite(running), "the loss is not finite"
    print(json.dumps({"step": step, "tokens": seen, "minutes": used / 60, "loss": running}), flush=True)


if __name__ == "__main__":
    main()
