"""Writes the pack.toml of a folder with detector.onnx, embedding.onnx and pad.onnx: hashes, inputs, rehearsals, thresholds.

The test card of the rehearsals is the one of models/src/rehearsal.rs; numbers come from onnxruntime. Thresholds and
measured operating points come from thresholds.toml in the same folder, which a person writes from measurements.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime

NETWORKS = (
    ("detector", "detector.onnx", {"decode": "yunet"}),
    ("embedder", "embedding.onnx", {"decode": "cosine", "alignment": "arcface", "dimensions": 128}),
    ("pad", "pad.onnx", {"decode": "softmax", "classes": 3, "bona_fide": 1, "crop_scale": 2.7}),
)
LICENCE = "Apache-2.0 (weights); see MODEL_CARD.md for the rights in the training data"
SOURCE = "trained by this project, models/training"


def test_card(width, height):
    y, x = np.mgrid[0:height, 0:width]
    planes = [3 * x + 5 * y, x + 7 * y // 2, x * y // 4 + 40]
    return np.stack(planes).astype(np.int64) % 256


def rehearsal(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    x = ((test_card(shape[3], shape[2]).astype(np.float32) - 127.5) / 128)[None]
    values = []
    for output in session.run(None, {"input": x}):
        flat = output.reshape(-1)
        count = min(4, len(flat))
        values += [float(flat[i * (len(flat) - 1) // max(count - 1, 1)]) for i in range(count)]
    return values, shape


def text(value):
    return f'"{value}"' if isinstance(value, str) else str(value)


def section(role, path, keys):
    values, shape = rehearsal(path)
    bracket = "[[pad]]" if role == "pad" else f"[{role}]"
    return "\n".join([
        bracket, *(f"{k} = {text(v)}" for k, v in keys.items()),
        "rehearsal = [" + ", ".join(f"{v:.7g}" if v % 1 else f"{v:.1f}" for v in values) + "]", "",
        f"[{role}.file]", f'name = "{path.name}"', f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"',
        f"bytes = {path.stat().st_size}", f'licence = "{LICENCE}"', f'source = "{SOURCE}"', "",
        f"[{role}.input]", f"width = {shape[3]}", f"height = {shape[2]}", 'colour = "rgb"',
        "mean = [127.5, 127.5, 127.5]", "deviation = [128.0, 128.0, 128.0]", "",
    ])  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path, help="folder of the pack")
    pack = parser.parse_args().pack
    head = (pack / "thresholds.toml").read_text()
    parts = [section(role, pack / name, keys) for role, name, keys in NETWORKS]
    (pack / "pack.toml").write_text(head.rstrip() + "\n\n" + "\n".join(parts))
    size = sum((pack / name).stat().st_size for _, name, _ in NETWORKS)
    print(f"{pack / 'pack.toml'}: {len(NETWORKS)} networks, {size} bytes")


if __name__ == "__main__":
    main()
