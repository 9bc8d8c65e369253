"""Distils the embedding network from shards of views and teacher embeddings (make_views.py), resumable at any time.

The learning rate follows wall time: one cosine cycle of --minutes; --restart begins a fresh cycle from the saved
state. Never trains on a held-out person: shards hold none, and the held-out crops are only evaluated.
"""

import argparse
import csv
import math
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

import curves
import data
import metrics
import muon
import networks

TEMPERATURE = 0.07
WINDOW = 6  # shards mixed at a time


class Shards:
    """Hands out batches from a window of the least used shards; new shards are taken up as they appear."""

    def __init__(self, folder, seed, least):
        self.folder, self.used, self.least = Path(folder), {}, least
        self.rng = np.random.default_rng(seed)
        self.queue = []

    def present(self):
        for path in self.folder.glob("view-*.npy"):
            self.used.setdefault(path.name[5:10], 0)
        return self.used

    def fill(self):
        while len(self.present()) < self.least:
            time.sleep(5)
        order = sorted(self.used, key=lambda name: (self.used[name], self.rng.random()))[:WINDOW]
        self.views = np.concatenate([np.load(self.folder / f"view-{name}.npy") for name in order])
        self.targets = np.concatenate([np.load(self.folder / f"target-{name}.npy") for name in order])
        for name in order:
            self.used[name] += 1
        self.queue = list(self.rng.permutation(len(self.views)))
        consumed = sum(self.used.values()) * len(self.views) // WINDOW
        (self.folder / "consumed.txt").write_text(str(consumed))

    def batch(self, size):
        if len(self.queue) < size:
            self.fill()
        rows, self.queue = self.queue[:size], self.queue[size:]
        views = torch.from_numpy(self.views[rows]).permute(0, 3, 1, 2)
        return to_input(views), torch.from_numpy(self.targets[rows].astype(np.float32))


def to_input(views):
    return ((views.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)


def loss_of(raw, target, bank, weights):
    """1 - cos, contrast against the batch in both directions, and agreement of similarities to a bank of faces."""
    student = functional.normalize(raw.float(), dim=1)
    cosine = (student * target).sum(1)
    logits = student @ target.T / TEMPERATURE
    labels = torch.arange(len(target))
    contrast = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
    wanted = functional.softmax(target @ bank.T / TEMPERATURE, dim=1)
    given = functional.log_softmax(student @ bank.T / TEMPERATURE, dim=1)
    relation = functional.kl_div(given, wanted, reduction="batchmean")
    return (1 - cosine).mean() + weights[0] * contrast + weights[1] * relation, cosine.mean()


def held_out_set(crops, parts, most=6):
    """Held-out people of lfw_mux with two or more main-face crops, at most `most` each."""
    by_name = {}
    for i, row in enumerate(crops.rows):
        if parts[i] == "held" and row["source"] == "lfw_mux" and row["main_face"] == "1":
            by_name.setdefault(data.normal(row["identity"]), []).append(i)
    chosen = [(i, name) for name, rows in sorted(by_name.items()) if len(rows) > 1 for i in rows[:most]]
    views = np.stack([data.student_input(crops.aligned(i)) for i, _ in chosen])
    return views, np.array([name for _, name in chosen]), np.array([i for i, _ in chosen])


@torch.no_grad()
def embed(net, views, flip=False, bf16=False):
    net.eval()
    out = []
    for start in range(0, len(views), 128):
        x = to_input(torch.from_numpy(views[start : start + 128]).permute(0, 3, 1, 2))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = functional.normalize(net(x).float(), dim=1)
            if flip:
                y = functional.normalize(y + functional.normalize(net(x.flip(3)).float(), dim=1), dim=1)
        out.append(y.numpy())
    return np.concatenate(out)


def rate(progress, peak, warm):
    if progress < warm:
        return peak * (0.05 + 0.95 * progress / warm)
    return peak * max(0.002, 0.5 * (1 + math.cos(math.pi * min(1, (progress - warm) / (1 - warm)))))


class Run:
    """Network, average, optimiser and clocks of one training, saved and restored together."""

    def __init__(self, args):
        self.args, self.path = args, Path(args.work) / f"{args.net}.ckpt"
        torch.manual_seed(args.seed)
        self.net = networks.build(args.net).to(memory_format=torch.channels_last)
        self.ema = networks.Ema(self.net)
        self.optimisers = muon.optimisers(self.net, args.rate, args.decay)
        self.shards = Shards(Path(args.work) / "views", args.seed, args.least)
        self.step, self.views, self.seconds, self.cycle_seconds = 0, 0, 0.0, 0.0
        if self.path.exists():
            self.restore(torch.load(self.path, weights_only=False))
        elif args.start_from:
            networks.start_from(args.start_from, self.net, self.ema)

    def restore(self, saved):
        self.net.load_state_dict(saved["net"])
        self.ema.state, self.ema.steps = saved["ema"], saved["ema_steps"]
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step, self.views, self.seconds = saved["step"], saved["views"], saved["seconds"]
        self.cycle_seconds = 0.0 if self.args.restart else saved["cycle_seconds"]
        self.shards.used, self.shards.rng = saved["used"], saved["shard_rng"]
        torch.set_rng_state(saved["torch_rng"])
        random.setstate(saved["python_rng"])

    def save(self):
        saved = {
            "net": self.net.state_dict(), "ema": self.ema.state, "ema_steps": self.ema.steps,
            "optimisers": [o.state_dict() for o in self.optimisers], "step": self.step, "views": self.views,
            "seconds": self.seconds, "cycle_seconds": self.cycle_seconds, "used": self.shards.used,
            "shard_rng": self.shards.rng, "torch_rng": torch.get_rng_state(), "python_rng": random.getstate(),
        }  # fmt: skip
        torch.save(saved, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    run, log = Run(args), Path(args.work) / f"{args.net}-log.csv"
    crops, plain = data.Crops(args.shared), wait_for(Path(args.work) / "plain.npz")
    views, names, rows = held_out_set(crops, plain["parts"])
    bank = torch.from_numpy(plain["embeddings"][plain["parts"] == "train"])
    teacher = metrics.figures(*metrics.pair_scores(plain["embeddings"][rows], names))
    print(f"held out: {len(set(names))} people, {len(names)} crops; teacher {short(teacher)}", flush=True)
    total, last_eval, last_save, mark = args.minutes * 60, run.seconds, run.seconds, time.monotonic()
    smooth, bar = {}, tqdm(total=total, initial=int(run.cycle_seconds), unit="s", mininterval=20)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while run.cycle_seconds < total and not stop:
        one_step(run, bank, rate(run.cycle_seconds / total, args.rate, args.warm), smooth)
        now = time.monotonic()
        run.seconds, run.cycle_seconds, mark = run.seconds + now - mark, run.cycle_seconds + now - mark, now
        if run.step % 20 == 0:
            bar.n = int(run.cycle_seconds)
            bar.set_postfix_str(f"{run.views / 1e3:.0f}k views, loss {smooth['loss']:.3f}, cos {smooth['cosine']:.3f}")
        if run.seconds - last_save > 180:
            run.save()
            last_save = run.seconds
        if run.seconds - last_eval > args.every * 60:
            report(run, views, names, smooth, log)
            last_eval = run.seconds
    run.save()
    if not stop:
        report(run, views, names, smooth, log)


def one_step(run, bank, lr, smooth):
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = lr * group["factor"]
    run.net.train()
    x, target = run.shards.batch(run.args.batch)
    with torch.autocast("cpu", torch.bfloat16, enabled=not run.args.fp32):
        raw = run.net(x)
    loss, cosine = loss_of(raw, functional.normalize(target, dim=1), bank, (run.args.contrast, run.args.relation))
    for optimiser in run.optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
    for optimiser in run.optimisers:
        optimiser.step()
    run.ema.update(run.net)
    run.step, run.views = run.step + 1, run.views + len(x)
    for key, value in (("loss", loss), ("cosine", cosine)):
        smooth[key] = 0.99 * smooth.get(key, value.item()) + 0.01 * value.item()


def report(run, views, names, smooth, log):
    average = networks.build(run.args.net).to(memory_format=torch.channels_last)
    average.load_state_dict(run.ema.state)
    found = metrics.figures(*metrics.pair_scores(embed(average, views, bf16=not run.args.fp32), names))
    row = {
        "seconds": round(run.seconds), "step": run.step, "views": run.views, "lr": run.optimisers[0].param_groups[0]["lr"],
        "loss": round(smooth["loss"], 4), "cosine": round(smooth["cosine"], 4), "tar_1e-2": round(found["tar@0.01"], 4),
        "tar_1e-3": round(found["tar@0.001"], 4), "eer": round(found["eer"], 4), "shards": len(run.shards.present()),
    }  # fmt: skip
    new = not log.exists()
    with open(log, "a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)
    print("\n" + " ".join(f"{k}={v}" for k, v in row.items()), flush=True)
    curves.draw(log, log.with_suffix(".png"))


def short(found):
    return f"TAR@1e-2 {found['tar@0.01']:.3f} TAR@1e-3 {found['tar@0.001']:.3f} EER {found['eer']:.4f}"


def wait_for(path):
    while not path.exists():
        time.sleep(5)
    stored = np.load(path)
    return {key: stored[key] for key in stored.files}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--net", default="e11", choices=["e11", "e12"])
    parser.add_argument("--minutes", type=float, default=120, help="length of this cosine cycle in wall time")
    parser.add_argument("--restart", action="store_true", help="begin a fresh cycle from the saved state")
    parser.add_argument("--start-from", help="compact checkpoint (weights only) for a machine without saved state")
    parser.add_argument("--rate", type=float, default=2e-2, help="peak rate of Muon; AdamW takes a fifth")
    parser.add_argument("--warm", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--contrast", type=float, default=0.3)
    parser.add_argument("--relation", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=float, default=6, help="minutes between evaluations")
    parser.add_argument("--least", type=int, default=8, help="shards to wait for before the first step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fp32", action="store_true", help="no bf16 autocast (CPUs without avx512_bf16 or AMX)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
