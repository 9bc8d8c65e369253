"""Writes shards of random views, each with the teacher's embedding of exactly that view, until a number is reached.

Run beside train_embedding.py at low priority; restarting goes on after the last shard. Never uses a held-out person.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import augment
import data

SHARD = 2048
BATCH = 32


def main():
    args = arguments()
    cv2.setNumThreads(0)
    work = Path(args.work) / "views"
    work.mkdir(parents=True, exist_ok=True)
    crops = data.Crops(args.shared)
    session = data.teacher_session(args.shared)
    embeddings, parts = prepare(args, crops, session)
    train = np.flatnonzero(parts == "train")
    print(f"{len(crops)} crops: {len(train)} train, {(parts == 'held').sum()} held out, {(parts == 'drop').sum()} dropped")
    picks = picker(crops, train)
    start = len(list(work.glob("view-*.npy")))
    for shard in tqdm(range(start, args.shards), initial=start, total=args.shards, unit="shard"):
        while shard >= args.ahead and shard * SHARD * args.reuse > consumed(work):
            time.sleep(5)
        write_shard(work, shard, args.seed, crops, session, picks)


def consumed(work):
    """Views the training has taken so far, as it says itself."""
    path = work / "consumed.txt"
    return int(path.read_text() or 0) if path.exists() else 0


def prepare(args, crops, session):
    """Teacher embeddings of all plain crops and the split, computed once."""
    path = Path(args.work) / "plain.npz"
    if not path.exists():
        batches = range(0, len(crops), BATCH)
        rows = [
            data.teach(session, [crops.aligned(i) for i in range(b, min(b + BATCH, len(crops)))])
            for b in tqdm(batches, desc="teacher on plain crops")
        ]
        embeddings = np.concatenate(rows)
        np.savez(path.with_suffix(".tmp.npz"), embeddings=embeddings, parts=data.split(crops, embeddings))
        path.with_suffix(".tmp.npz").rename(path)
    stored = np.load(path)
    return stored["embeddings"], stored["parts"]


def picker(crops, train, masked=0.3):
    """Draws a training crop; pictures from masked sets come less often than their number."""
    weights = np.array([masked if crops.rows[i]["masked"] == "1" else 1.0 for i in train])
    bounds = np.cumsum(weights / weights.sum())
    return lambda rng: int(train[min(np.searchsorted(bounds, rng.random()), len(train) - 1)])


def write_shard(work, shard, seed, crops, session, pick):
    rng = np.random.default_rng([seed, shard])
    views = np.empty((SHARD, 96, 96, 3), np.uint8)
    targets = np.empty((SHARD, 128), np.float16)
    for begin in range(0, SHARD, BATCH):
        batch = [augment.embedding_view(rng, crops.canvas, pick) for _ in range(BATCH)]
        targets[begin : begin + BATCH] = data.teach(session, batch)
        for k, view in enumerate(batch):
            how = cv2.INTER_AREA if rng.random() < 0.6 else cv2.INTER_LINEAR
            views[begin + k] = data.student_input(view, 96, how)
    np.save(work / f"target-{shard:05d}.npy", targets)
    np.save(work / "part.npy", views)
    (work / "part.npy").rename(work / f"view-{shard:05d}.npy")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--shards", type=int, default=200, help=f"shards of {SHARD} views (57 MB each)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reuse", type=float, default=4.0, help="uses per view that are enough before more are made")
    parser.add_argument("--ahead", type=int, default=24, help="shards made without waiting for the training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
