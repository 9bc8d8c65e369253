#!/usr/bin/env python3
"""Makes the numbers that preprocessing and networks are tested against, with numpy and onnxruntime only.

    python3 -m pip install onnxruntime numpy
    python3 make_golden.py FOLDER_WITH_REFERENCE_MODELS > golden.toml

Independent of the Rust code on purpose: only the formula of the test card is shared. No person is shown.
Prints `rehearsal` arrays for the recipes as comments, then golden.toml: planes of the test card for every
normalisation in use, and whole outputs of the embedding and PAD networks on the card.
"""
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

BGR_RAW = ("bgr", [0, 0, 0], [1, 1, 1])
IMAGENET = ("rgb", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
HALF = ("rgb", [127.5] * 3, [128] * 3)
NETWORKS = [
    ("yunet_n_320", BGR_RAW, 320), ("yunet_n_640", BGR_RAW, 640),
    ("yunet_s_320", BGR_RAW, 320), ("yunet_s_640", BGR_RAW, 640),
    ("mobilefacenet_128", IMAGENET, 112),
    ("minifasnet_v2_crop2.7", BGR_RAW, 80), ("minifasnet_v1se_crop4.0", BGR_RAW, 80),
]


def card(side):
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([3 * x + 5 * y, x + 7 * y // 2, x * y // 4 + 40], axis=-1).astype(np.uint8)


def planes(picture, normalisation):
    order, mean, deviation = normalisation
    if order == "bgr":
        picture = picture[:, :, ::-1]
    values = (picture.astype(np.float64) - np.array(mean)) / np.array(deviation)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None].astype(np.float32))


def samples(outputs):
    picked = []
    for values in (o.ravel() for o in outputs):
        count = min(len(values), 4)
        picked += [float(values[i * (len(values) - 1) // max(count - 1, 1)]) for i in range(count)]
    return picked


def written(values):
    return "[" + ", ".join(f"{float(v):.7g}" if v != int(v) else f"{int(v)}.0" for v in values) + "]"


def main(folder):
    whole = {}
    for name, normalisation, side in NETWORKS:
        session = ort.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: planes(card(side), normalisation)}
        outputs = session.run(None, given)
        print(f"# rehearsal of {name}\n# {written(samples(outputs))}")
        whole[name] = outputs
    for name, normalisation in [("bgr_raw", BGR_RAW), ("imagenet_rgb", IMAGENET), ("half_rgb", HALF)]:
        values = planes(card(112), normalisation).astype(np.float64).ravel()
        print(f"\n[planes.{name}]\nsum = {values.sum():.6f}\nsquares = {(values * values).sum():.6f}")
        print(f"every_997th = {written(values[::997])}")
    print(f"\n[outputs]\nembedding = {written(whole['mobilefacenet_128'][0].ravel())}")
    for key in ("minifasnet_v2_crop2.7", "minifasnet_v1se_crop4.0"):
        print(f"\"{key}\" = {written(whole[key][0].ravel())}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
