"""Trains the passive PAD network on ordinary pictures (live) and rendered attacks, softened by the reference scores.

Evaluated on pictures never trained on (per species) and on the few recorded attacks. Resumable; learning rate over wall time.
"""

import argparse
import csv
import math
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

import attacks
import curves
import data
import detector_data
import networks
import yunet

SPECIES = ("live", "print", "mask", "screen")


def usable(pictures, least=44, room=1.9):
    """(picture, box) of faces with enough picture around them; grey pictures are kept one in six."""
    found = []
    for i in pictures.with_faces:
        image = pictures.images[i]
        grey = int(np.ptp(image.reshape(-1, 3)[::97].astype(int), axis=1).max()) < 12
        if grey and i % 6:
            continue
        for f in pictures.faces[i]:
            fits = min((image.shape[1] - 1) / f[2], (image.shape[0] - 1) / f[3])
            if max(f[2], f[3]) >= least and fits >= room:
                found.append((i, f[:4].astype(np.float64)))
    return found


def draw(rng, pictures, faces, scenes):
    index, box = faces[int(rng.integers(len(faces)))]
    return attacks.sample(rng, pictures.images[index], box, scenes)


def to_input(images):
    x = torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2)
    return ((x.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)


def teacher_shares(session, images):
    """Softmax of the reference network (0 attack, 1 live, 2 attack) on BGR crops."""
    x = np.stack(images).astype(np.float32).transpose(0, 3, 1, 2)
    name = session.get_inputs()[0].name
    logits = np.concatenate([session.run(None, {name: np.ascontiguousarray(v[None])})[0] for v in x])
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return torch.from_numpy(raised / raised.sum(1, keepdims=True))


def goals(labels, shares, trust):
    """One-hot labels; a live picture that the reference doubts is softened by its live share."""
    goal = functional.one_hot(labels, 3).float() * 0.96 + 0.04 / 3
    live = labels == attacks.LIVE
    goal[live] = (1 - trust) * goal[live] + trust * shares[live]
    return goal


def recorded(shared):
    """Crops of the recorded sets with 1 for live, 0 for attack; pictures without a face are left out."""
    detector, crops, live = yunet.YuNet(shared), [], []
    root = Path(shared) / "faces" / "spoof"
    paths = [(p, p.parent.name == "real") for p in sorted((root / "pyimg_liveness").glob("*/*.png"))]
    for path, real in paths:
        image = cv2.imread(str(path))
        found = detector.find(cv2.copyMakeBorder(image, 20, 20, 20, 20, cv2.BORDER_CONSTANT), 0.6)
        if len(found):
            crops.append(attacks.loose_crop(image, found[0, :4] - np.array([20, 20, 0, 0])))
            live.append(real)
    return crops, np.array(live)


@torch.no_grad()
def live_share(net, images):
    net.eval()
    parts = [functional.softmax(net(to_input(images[b : b + 64])), 1)[:, 1] for b in range(0, len(images), 64)]
    return torch.cat(parts).numpy()


def evaluate(net, test, record):
    """APCER per rendered species and BPCER on unseen pictures, and both on the recorded set, at a live share of 0.5."""
    images, species = test
    live, out = live_share(net, images) >= 0.5, {}
    out["bpcer"] = float(1 - live[species == "live"].mean())
    for name in SPECIES[1:]:
        out[f"apcer_{name}"] = float(live[species == name].mean())
    share = live_share(net, record[0]) >= 0.5
    out["bpcer_recorded"], out["apcer_recorded"] = float(1 - share[record[1]].mean()), float(share[~record[1]].mean())
    return out


def main():
    args = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(args.seed)
    pictures, dev = detector_data.Pictures(args.shared, False), detector_data.Pictures(args.shared, True)
    faces, dev_faces = usable(pictures), usable(dev, room=1.5)
    rng = np.random.default_rng(99)
    made = [draw(rng, dev, dev_faces, dev.images) for _ in range(args.test)]
    test = ([m[0] for m in made], np.array([m[2] for m in made]))
    record = recorded(args.shared)
    print(f"{len(faces)} faces train, {len(dev_faces)} test; {len(record[0])} recorded, {int(record[1].sum())} of them live", flush=True)
    session = data.teacher_session(args.shared, 1, "minifasnet_v2_crop2.7.onnx")
    net = networks.build(args.net).to(memory_format=torch.channels_last)
    ema = networks.Ema(net, 0.998)
    optimiser = torch.optim.AdamW(networks.param_groups(net, 0.05), lr=args.rate, betas=(0.9, 0.98))
    path, state = Path(args.work) / f"{args.net}.ckpt", {"step": 0, "seconds": 0.0, "cycle": 0.0}
    if path.exists():
        saved = torch.load(path, weights_only=False)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        ema.state, ema.steps, state = saved["ema"], saved["ema_steps"], saved["state"]
        if args.restart:
            state["cycle"] = 0.0
    elif args.start_from:
        networks.start_from(args.start_from, net, ema)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    train(args, net, ema, optimiser, (pictures, faces, session), (test, record), path, state, stop)


def train(args, net, ema, optimiser, source, checks, path, state, stop):
    log, total = path.with_name(f"{args.net}-log.csv"), args.minutes * 60
    bar, mark, saved_at, seen_at, smooth = tqdm(total=int(total), unit="s", mininterval=20), time.monotonic(), 0.0, state["seconds"], 0.0
    pictures, faces, session = source
    while state["cycle"] < total and not stop:
        progress = state["cycle"] / total
        factor = progress / 0.05 if progress < 0.05 else max(0.005, 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95)))
        for group in optimiser.param_groups:
            group["lr"] = args.rate * factor
        rng = np.random.default_rng([args.seed, state["step"]])
        made = [draw(rng, pictures, faces, pictures.images) for _ in range(args.batch)]
        labels = torch.tensor([m[1] for m in made])
        live = [k for k in range(len(made)) if made[k][1] == attacks.LIVE]
        shares = torch.full((len(made), 3), 1 / 3)
        if live:
            shares[live] = teacher_shares(session, [made[k][0] for k in live])
        net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.fp32):
            logits = net(to_input([m[0] for m in made]))
        loss = functional.cross_entropy(logits.float(), goals(labels, shares, args.trust))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        ema.update(net)
        smooth = loss.item() if smooth == 0 else 0.98 * smooth + 0.02 * loss.item()
        now = time.monotonic()
        state["step"] += 1
        state["seconds"] += now - mark
        state["cycle"] += now - mark
        mark = now
        if state["step"] % 20 == 0:
            bar.n = int(state["cycle"])
            bar.set_postfix_str(f"step {state['step']}, loss {smooth:.3f}")
        if state["seconds"] - seen_at > args.every * 60 or state["cycle"] >= total:
            seen_at = state["seconds"]
            report(args, ema, checks, state, smooth, log)
        if state["seconds"] - saved_at > 120 or state["cycle"] >= total or stop:
            saved_at = state["seconds"]
            full = {"net": net.state_dict(), "ema": ema.state, "ema_steps": ema.steps, "optimiser": optimiser.state_dict(), "state": state, "step": state["step"]}
            torch.save(full, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)


def report(args, ema, checks, state, smooth, log):
    average = networks.build(args.net)
    average.load_state_dict(ema.state)
    row = {"step": state["step"], "seconds": round(state["seconds"]), "views": state["step"] * args.batch, "loss": round(smooth, 4)}
    row |= {k: round(v, 4) for k, v in evaluate(average, *checks).items()}
    new = not log.exists()
    with open(log, "a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow(row)
    print("\n" + " ".join(f"{k}={v}" for k, v in row.items()), flush=True)
    curves.draw(log, log.with_suffix(".png"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--net", default="p2", choices=["p2", "p4"])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--restart", action="store_true", help="begin a fresh cycle from the saved state")
    parser.add_argument("--start-from", help="compact checkpoint (weights only) for a machine without saved state")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--trust", type=float, default=0.3, help="weight of the reference score on live pictures")
    parser.add_argument("--test", type=int, default=800, help="rendered test crops")
    parser.add_argument("--every", type=float, default=6, help="minutes between evaluations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fp32", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
