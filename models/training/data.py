"""Training material: crops from the tars, who is held out, and the data list by hash.

Takes every folder as an argument and only reads; never writes into the material and never decides on a model.
"""

import csv
import hashlib
import tarfile
from pathlib import Path

import cv2
import numpy as np

HELD_BYTE = 64  # names whose sha256 starts below this byte are held out, besides every dev identity
TEMPLATE = np.float32(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def normal(name):
    """The same person under one spelling: lower-case letters and digits only."""
    return "".join(c for c in name.lower() if c.isalnum())


def held_by_hash(name):
    return hashlib.sha256(normal(name).encode()).digest()[0] < HELD_BYTE


class Crops:
    """All aligned crops, JPEG in memory, decoded on demand to 144x144 BGR with the 112x112 face in the middle."""

    def __init__(self, shared):
        root = Path(shared) / "faces" / "train"
        with open(root / "index.csv", newline="") as file:
            self.rows = list(csv.DictReader(file))
        blobs = {}
        for shard in sorted(root.glob("crops-*.tar")):
            with tarfile.open(shard) as tar:
                for member in tar:
                    if member.isfile():
                        blobs[(shard.name, Path(member.name).name)] = tar.extractfile(member).read()
        self.jpeg = [blobs[(row["shard"], row["name"])] for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def canvas(self, index):
        image = cv2.imdecode(np.frombuffer(self.jpeg[index], np.uint8), cv2.IMREAD_COLOR)
        if image.shape[0] == 112:
            image = cv2.copyMakeBorder(image, 16, 16, 16, 16, cv2.BORDER_CONSTANT)
        return image

    def aligned(self, index):
        return np.ascontiguousarray(self.canvas(index)[16:128, 16:128])

    def sha256(self, index):
        return hashlib.sha256(self.jpeg[index]).hexdigest()

    def split_by_name(self):
        """'held', 'train' or 'drop' per crop, before any look at similarity."""
        dev = {normal(r["identity"]) for r in self.rows if r["dev_identity"] == "1" and r["identity"]}
        split = []
        for row in self.rows:
            name = row["identity"]
            if name:
                split.append("held" if normal(name) in dev or held_by_hash(name) else "train")
            else:
                split.append("drop" if row["dev_identity"] == "1" else "train")
        return split


def split(crops, embeddings):
    """Held out by name; training crops that look like a held-out person to the teacher are dropped."""
    parts = np.array(crops.split_by_name())
    named = np.array([bool(r["identity"]) for r in crops.rows])
    held = embeddings[parts == "held"]
    for start in range(0, len(parts), 1024):
        rows = slice(start, start + 1024)
        nearest = (embeddings[rows] @ held.T).max(1)
        alike = nearest >= np.where(named[rows], 0.6, 0.5)
        parts[rows] = np.where((parts[rows] == "train") & alike, "drop", parts[rows])
    return parts


def teacher_session(shared, threads=1, name="mobilefacenet_128.onnx"):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(Path(shared) / "models" / name), options, providers=["CPUExecutionProvider"]
    )


MEAN = np.float32([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1) * 255
DEVIATION = np.float32([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1) * 255


def teach(session, views):
    """BGR uint8 112x112 views to unit embeddings."""
    x = np.stack(views)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    x = np.ascontiguousarray((x - MEAN) / DEVIATION)
    name = session.get_inputs()[0].name
    return unit(np.concatenate([session.run(None, {name: x[k : k + 1]})[0] for k in range(len(x))]))


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9)


def student_input(image, size=96, interpolation=cv2.INTER_AREA):
    """BGR aligned face of any size to RGB uint8 `size` x `size`."""
    if image.shape[0] != size:
        image = cv2.resize(image, (size, size), interpolation=interpolation)
    return np.ascontiguousarray(image[..., ::-1])


def similarity(points, template):
    """Least-squares similarity (no reflection) from five points to a template, as a 2x3 matrix."""
    points, template = np.float64(points), np.float64(template)
    centre, goal = points.mean(0), template.mean(0)
    p, q = points - centre, template - goal
    a = (p * q).sum()
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()
    scale = np.array([[a, -b], [b, a]]) / (p * p).sum()
    return np.hstack([scale, (goal - scale @ centre)[:, None]])


def align(image, points, size=112):
    """Aligned face; large faces are first reduced by area so that bilinear sampling does not alias."""
    matrix = similarity(points, TEMPLATE * (size / 112))
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    if scale < 0.5:
        factor = min(1.0, scale * 1.5)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        matrix = matrix.copy()
        matrix[:, :2] /= factor
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
