"""Measures an exported embedding network on the development sets and on held-out crops, beside the reference network.

Faces are found and aligned by the reference detector; aligned faces are cached in --work. Writes a JSON with every
figure and prints a table. Never trains and never picks a threshold by itself.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from tqdm import tqdm

import data
import metrics
import yunet

SETS = {"lfwgray": "*/*", "yt": "*/*", "lfw10": "*/*", "orl": "*/*", "cn": "*/*"}
LEFT_OUT = {"zhangziyi", "chenglong"}  # cn people who are held out of the material under another name


def read(path):
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return None
    if path.parts[-3] == "cn":  # published squashed
        image = cv2.resize(image, None, fx=1, fy=1.21)
    return image


def faces_of(args, name):
    """Aligned 112 and 96 faces, people and clips of one set."""
    cache = Path(args.work) / f"dev-{name}.npz"
    if not cache.exists():
        detector, rows, missed = yunet.YuNet(args.shared), [], 0
        paths = sorted((Path(args.shared) / "faces" / "dev" / name).glob(SETS[name]))
        for path in tqdm([p for p in paths if p.parent.name not in LEFT_OUT], desc=name, mininterval=10):
            image = read(path)
            found = detector.find(image) if image is not None else []
            if image is not None and not len(found):
                border = [int(0.2 * s) for s in image.shape[:2]]
                image = cv2.copyMakeBorder(image, border[0], border[0], border[1], border[1], cv2.BORDER_CONSTANT)
                found = detector.find(image)
            if not len(found):
                missed += 1
                continue
            best = max(found, key=lambda f: f[2] * f[3] * f[14])
            points = best[4:14].reshape(5, 2)
            clip = path.stem.split("_")[-1][:1] if name == "yt" else path.stem
            rows.append((data.align(image, points, 112), data.align(image, points, 96), path.parent.name, clip))
        np.savez(
            cache, large=np.stack([r[0] for r in rows]), small=np.stack([r[1] for r in rows]),
            people=np.array([r[2] for r in rows]), clips=np.array([r[3] for r in rows]), missed=missed,
        )  # fmt: skip
    stored = np.load(cache)
    return {k: stored[k] for k in stored.files}


def embed(session, views, flip=False):
    out = []
    for view in views:
        x = ((view[..., ::-1].astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        y = data.unit(session.run(None, {"input": np.ascontiguousarray(x)})[0])
        if flip:
            y = data.unit(y + data.unit(session.run(None, {"input": np.ascontiguousarray(x[..., ::-1])})[0]))
        out.append(y)
    return np.concatenate(out)


def fused(embeddings, people, clips):
    """One unit mean per clip."""
    keys = sorted(set(zip(people, clips, strict=True)))
    rows = [np.mean([e for e, p, c in zip(embeddings, people, clips, strict=True) if (p, c) == k], 0) for k in keys]
    return data.unit(np.array(rows)), np.array([k[0] for k in keys]), np.array([k[1] for k in keys])


def table(title, variants, people, clips=None, rounds=0):
    out = {}
    for name, embeddings in variants.items():
        found = metrics.figures(*metrics.pair_scores(embeddings, people, clips))
        if rounds:
            for rate in ("0.01", "0.001"):
                found[f"interval_tar@{rate}"] = metrics.bootstrap(embeddings, people, found[f"threshold@{rate}"], rounds)
        out[name] = found
        print(
            f"{title:22} {name:10} people {len(set(people)):4} pairs {found['genuine']:6}/{found['impostor']:8} "
            f"TAR@1e-2 {found['tar@0.01']:.3f} ({found['threshold@0.01']:.3f}) "
            f"TAR@1e-3 {found['tar@0.001']:.3f} ({found['threshold@0.001']:.3f}) EER {found['eer']:.4f}"
            + (f" 95% {np.round(found['interval_tar@0.01'], 3)} {np.round(found['interval_tar@0.001'], 3)}" if rounds else ""),
            flush=True,
        )
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--rounds", type=int, default=1000, help="bootstrap rounds for the held-out crops")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    results = {"held": held_out(args, session)}
    teacher = data.teacher_session(args.shared)
    for name in args.sets:
        faces = faces_of(args, name)
        variants = {
            "student": embed(session, faces["small"]),
            "flip": embed(session, faces["small"], True),
            "teacher": data.teach(teacher, list(faces["large"])),
        }
        clips = faces["clips"] if name == "yt" else None
        results[name] = table(name, variants, faces["people"], clips)
        results[name]["missed"] = int(faces["missed"])
        if name == "yt":
            clip_means = {k: fused(v, faces["people"], faces["clips"]) for k, v in variants.items()}
            people, of = clip_means["student"][1:]
            results["yt clips"] = table("yt, 2 frames a clip", {k: v[0] for k, v in clip_means.items()}, people, of)
    Path(args.onnx).with_suffix(".eval.json").write_text(json.dumps(results, indent=1))


def held_out(args, session):
    """Held-out crops of lfw_mux as in training, but aligned crops of 112 px reduced to 96."""
    import train_embedding

    crops, plain = data.Crops(args.shared), np.load(Path(args.work) / "plain.npz")
    views, names, rows = train_embedding.held_out_set(crops, plain["parts"])
    views = np.ascontiguousarray(views[..., ::-1])
    variants = {"student": embed(session, views), "flip": embed(session, views, True), "teacher": plain["embeddings"][rows]}
    return table("held-out crops", variants, names, rounds=args.rounds)


if __name__ == "__main__":
    main()
