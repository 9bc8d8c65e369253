"""One resumable training: learning rate over wall time, averaged weights, checkpoint, log CSV, curves, progress bar.

Knows no data and no loss: the caller gives a function for the loss of a step and one for the figures of a report.
"""

import csv
import math
import signal
import time
from pathlib import Path

import torch
from tqdm import tqdm

import curves
import networks


def add_arguments(parser, minutes, rate, batch):
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--minutes", type=float, default=minutes, help="length of this cosine cycle in wall time")
    parser.add_argument("--restart", action="store_true", help="begin a fresh cycle from the saved state")
    parser.add_argument("--start-from", help="compact checkpoint (weights only) for a machine without saved state")
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--every", type=float, default=6, help="minutes between evaluations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fp32", action="store_true", help="no bf16 autocast (CPUs without avx512_bf16 or AMX)")


class Loop:
    """Network, average, optimiser and clocks, saved and restored together."""

    def __init__(self, args, decay, clip):
        torch.set_num_threads(1)
        torch.manual_seed(args.seed)
        self.args, self.clip, self.path = args, clip, Path(args.work) / f"{args.net}.ckpt"
        self.net = networks.build(args.net).to(memory_format=torch.channels_last)
        self.ema = networks.Ema(self.net, 0.998)
        self.optimiser = torch.optim.AdamW(networks.param_groups(self.net, decay), lr=args.rate, betas=(0.9, 0.98))
        self.state, self.smooth, self.stop = {"step": 0, "seconds": 0.0, "cycle": 0.0}, None, []
        if self.path.exists():
            saved = torch.load(self.path, weights_only=False)
            self.net.load_state_dict(saved["net"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.ema.state, self.ema.steps, self.state = saved["ema"], saved["ema_steps"], saved["state"]
            if args.restart:
                self.state["cycle"] = 0.0
        elif args.start_from:
            networks.start_from(args.start_from, self.net, self.ema)
        signal.signal(signal.SIGTERM, lambda *_: self.stop.append(True))

    def run(self, loss_of_step, figures):
        """`loss_of_step(net, step)` gives the loss of one batch, `figures(net)` the row of a report."""
        total, state = self.args.minutes * 60, self.state
        bar = tqdm(total=int(total), initial=int(state["cycle"]), unit="s", mininterval=20)
        mark, saved_at, seen_at = time.monotonic(), state["seconds"], state["seconds"]
        while state["cycle"] < total and not self.stop:
            self.one_step(loss_of_step, state["cycle"] / total)
            now = time.monotonic()
            for clock in ("seconds", "cycle"):
                state[clock] += now - mark
            mark = now
            done = state["cycle"] >= total or bool(self.stop)
            if state["step"] % 20 == 0:
                bar.n = int(state["cycle"])
                bar.set_postfix_str(f"step {state['step']}, loss {self.smooth:.3f}")
            if state["seconds"] - seen_at > self.args.every * 60 or done:
                seen_at = state["seconds"]
                self.report(figures)
                mark = time.monotonic()
            if state["seconds"] - saved_at > 120 or done:
                saved_at = state["seconds"]
                self.save()

    def one_step(self, loss_of_step, progress):
        warm = progress / 0.05 if progress < 0.05 else 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))
        for group in self.optimiser.param_groups:
            group["lr"] = self.args.rate * max(0.005, warm)
        self.net.train()
        loss = loss_of_step(self.net, self.state["step"])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimiser.step()
        self.ema.update(self.net)
        self.state["step"] += 1
        self.smooth = loss.item() if self.smooth is None else 0.98 * self.smooth + 0.02 * loss.item()

    def report(self, figures):
        average = networks.build(self.args.net)
        average.load_state_dict(self.ema.state)
        row = {"step": self.state["step"], "seconds": round(self.state["seconds"]), "views": self.state["step"] * self.args.batch}
        row |= {"loss": round(self.smooth, 4)} | {k: round(v, 4) for k, v in figures(average.eval()).items()}
        log = self.path.with_name(f"{self.args.net}-log.csv")
        new = not log.exists()
        with open(log, "a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if new:
                writer.writeheader()
            writer.writerow(row)
        print("\n" + " ".join(f"{k}={v}" for k, v in row.items()), flush=True)
        curves.draw(log, log.with_suffix(".png"))

    def save(self):
        full = {
            "net": self.net.state_dict(), "ema": self.ema.state, "ema_steps": self.ema.steps,
            "optimiser": self.optimiser.state_dict(), "state": self.state, "step": self.state["step"],
        }  # fmt: skip
        torch.save(full, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)
