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
import renders

SHARD = 2048
BATCH = 32
OF_GENERATED = 0.10  # share of views of generated people


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
    made = Generated(args.renders, session) if args.renders else None
    start = len(list(work.glob("view-*.npy")))
    for shard in tqdm(range(start, args.shards), initial=start, total=args.shards, unit="shard"):
        while shard >= args.ahead and shard * SHARD * args.reuse > consumed(work):
            time.sleep(5)
        write_shard(work, shard, args.seed, crops, session, picks, made)


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


class Generated:
    """Generated people as views, with targets that keep them apart.

    The teacher sees the look that all renders share and finds a third of them alike. A target is therefore the
    teacher's embedding less the mean of all renders, drawn half way to the same of its person.
    """

    def __init__(self, folder, session):
        self.made = renders.Renders(folder, species=("live",))
        rows = [data.teach(session, [self.canvas(i)[16:128, 16:128]])[0] for i in tqdm(range(len(self.made)), desc="teacher on renders")]
        self.common = np.mean(rows, 0)
        apart = data.unit(np.stack(rows) - self.common)
        people = self.made.people
        self.person = {p: data.unit(apart[people == p].mean(0, keepdims=True))[0] for p in set(people.tolist())}

    def canvas(self, index):
        """144x144 around the aligned 112x112 face."""
        matrix = data.similarity(self.made.faces[index, 4:].reshape(5, 2), data.TEMPLATE + 16)
        return cv2.warpAffine(self.made.image(index), matrix, (144, 144), flags=cv2.INTER_AREA)

    def draw(self, rng):
        index = int(rng.integers(len(self.made)))
        return augment.seen(rng, augment.warp(rng, self.canvas(index))), int(self.made.people[index])

    def target(self, taught, person):
        own = data.unit((taught - self.common)[None])[0]
        return data.unit((own + self.person[person])[None])[0]


def write_shard(work, shard, seed, crops, session, pick, made):
    rng = np.random.default_rng([seed, shard])
    views = np.empty((SHARD, 96, 96, 3), np.uint8)
    targets = np.empty((SHARD, 128), np.float16)
    for k in range(SHARD):
        person = None
        if made and rng.random() < OF_GENERATED:
            view, person = made.draw(rng)
        else:
            view = augment.embedding_view(rng, crops.canvas, pick)
        taught = data.teach(session, [view])[0]
        targets[k] = taught if person is None else made.target(taught, person)
        how = cv2.INTER_AREA if rng.random() < 0.6 else cv2.INTER_LINEAR
        views[k] = data.student_input(view, 96, how)
    np.save(work / f"target-{shard:05d}.npy", targets)
    np.save(work / "part.npy", views)
    (work / "part.npy").rename(work / f"view-{shard:05d}.npy")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--shards", type=int, default=400, help=f"shards of {SHARD} views (57 MB each)")
    parser.add_argument("--renders", help="folder of render_subjects: generated people among the views")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reuse", type=float, default=4.0, help="uses per view that are enough before more are made")
    parser.add_argument("--ahead", type=int, default=24, help="shards made without waiting for the training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
