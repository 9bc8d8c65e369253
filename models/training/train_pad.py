"""Trains the passive PAD network on ordinary pictures (live) and rendered attacks, softened by the reference scores.

Evaluated on pictures never trained on (per species) and on the few recorded attacks. Resumable (loop.py).
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

import attacks
import data
import detector_data
import loop
import renders
import yunet

SPECIES = ("live", "print", "mask", "screen")


def usable(pictures, least=44, room=1.5):
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
                found.append((image, f[:4].astype(np.float64)))
    return found


def usable_crops(crops, found, inside=0.95, least=70):
    """The same from aligned colour crops that lie inside their picture and were not enlarged."""
    rows = [(crops.rows[i], i, face) for i, face in found]
    whole = [(i, face) for r, i, face in rows if r["grey"] == "0" and float(r["inside"]) >= inside and float(r["face_px"]) >= least]
    return [(crops.canvas(i), face[:4].astype(np.float64)) for i, face in whole]


def draw(rng, faces, scenes):
    image, box = faces[int(rng.integers(len(faces)))]
    return attacks.sample(rng, image, box, scenes)


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


class Pool:
    """Drawn samples, each used a few times: rendering an attack costs ten times a training step."""

    def __init__(self, draw, size, uses):
        self.draw, self.size, self.uses, self.kept = draw, size, uses, []

    def batch(self, rng, count):
        """A share of fresh samples and the rest from those kept, mirrored and toned at random."""
        fresh = count if len(self.kept) < count else max(1, round(count / self.uses))
        made = [self.draw(rng) for _ in range(fresh)]
        chosen = made + [self.kept[int(rng.integers(len(self.kept)))] for _ in range(count - fresh)]
        for sample in made:
            if len(self.kept) < self.size:
                self.kept.append(sample)
            else:
                self.kept[int(rng.integers(self.size))] = sample
        return [(again(rng, image), label, share) for image, label, share in chosen]


def again(rng, image):
    if rng.random() < 0.5:
        image = image[:, ::-1]
    table = (np.arange(256) * np.exp(rng.normal(0, 0.08)) + rng.normal(0, 5)).clip(0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(image), table)


def of_generated(rng, made):
    """The loose crop of a generated person or of its attack, as the agent would cut it."""
    index = int(rng.integers(len(made)))
    box = made.faces[index, :4].astype(np.float64)
    box[:2] += rng.normal(0, 0.04, 2) * box[2]
    species = made.species[index]
    label = {"live": attacks.LIVE, "screen": attacks.SCREEN}.get(species, attacks.PAPER)
    return attacks.loose_crop(attacks.camera(rng, made.image(index)), box), label, species


def main():
    args = arguments()
    cv2.setNumThreads(0)
    pictures, dev = detector_data.Pictures(args.shared, False), detector_data.Pictures(args.shared, True)
    crops, parts = data.Crops(args.shared), np.load(Path(args.work) / "plain.npz")["parts"]
    found = detector_data.crop_faces(args.shared, args.work, crops, parts)
    faces, dev_faces = usable(pictures) + usable_crops(crops, found), usable(dev)
    made = renders.Renders(args.renders) if args.renders else None
    rng = np.random.default_rng(99)
    unseen = [draw(rng, dev_faces, dev.images) for _ in range(args.test)]
    test = ([m[0] for m in unseen], np.array([m[2] for m in unseen]))
    record = recorded(args.shared)
    print(f"{len(faces)} faces train, {len(dev_faces)} test; {len(record[0])} recorded, {int(record[1].sum())} of them live", flush=True)
    session = data.teacher_session(args.shared, 1, "minifasnet_v2_crop2.7.onnx")

    def fresh(rng):
        generated = made and rng.random() < 0.12
        image, label, _ = of_generated(rng, made) if generated else draw(rng, faces, pictures.images)
        # The reference was never shown generated people: its doubt about them means nothing.
        doubted = label == attacks.LIVE and not generated
        return image, label, teacher_shares(session, [image])[0] if doubted else functional.one_hot(torch.tensor(label), 3).float()

    pool = Pool(fresh, args.pool, args.uses)

    def loss_of_step(net, step):
        batch = pool.batch(np.random.default_rng([args.seed, step]), args.batch)
        labels, shares = torch.tensor([b[1] for b in batch]), torch.stack([b[2] for b in batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.fp32):
            logits = net(to_input([b[0] for b in batch]))
        return functional.cross_entropy(logits.float(), goals(labels, shares, args.trust))

    loop.Loop(args, decay=0.05, clip=5.0).run(loss_of_step, lambda net: evaluate(net, test, record))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, minutes=60, rate=2e-3, batch=48)
    parser.add_argument("--net", default="p2", choices=["p2", "p4"])
    parser.add_argument("--renders", help="folder of render_subjects --attacks: an eighth of the samples")
    parser.add_argument("--trust", type=float, default=0.3, help="weight of the reference score on live pictures")
    parser.add_argument("--test", type=int, default=800, help="rendered test crops")
    parser.add_argument("--pool", type=int, default=24_000, help="samples kept for another use")
    parser.add_argument("--uses", type=float, default=5.0, help="uses of a sample, on average")
    return parser.parse_args()


if __name__ == "__main__":
    main()
