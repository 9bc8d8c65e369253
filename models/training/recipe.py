"""Writes the TOML fragment of a network for a pack: hash, size, input and the rehearsal on the test card.

The test card is the one of models/src/rehearsal.rs; numbers come from onnxruntime. Never loads a picture of a person.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime

ROLES = {
    "e": ("embedder", {"decode": "cosine", "alignment": "arcface", "dimensions": 128}),
    "d": ("detector", {"decode": "yunet"}),
    "p": ("pad", {"decode": "softmax", "classes": 3, "bona_fide": 1, "crop_scale": 2.7}),
}


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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--net", required=True)
    parser.add_argument("--licence", required=True)
    parser.add_argument("--source", required=True)
    args = parser.parse_args()
    path, (role, keys) = Path(args.onnx), ROLES[args.net[0]]
    values, shape = rehearsal(path)
    lines = [f'role = "{role}"'] + [f"{k} = {text(v)}" for k, v in keys.items()]
    lines.append("rehearsal = [" + ", ".join(f"{v:.7g}" for v in values) + "]")
    lines += ["", "[file]", f'name = "{path.name}"', f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"']
    lines += [f"bytes = {path.stat().st_size}", f'licence = "{args.licence}"', f'source = "{args.source}"', "", "[input]"]
    lines += [f"width = {shape[3]}", f"height = {shape[2]}", 'colour = "rgb"']
    lines += ["mean = [127.5, 127.5, 127.5]", "deviation = [128.0, 128.0, 128.0]"]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
