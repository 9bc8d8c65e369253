"""Samples for the detector: pictures with pseudo-labels at webcam scales, pasted faces, and backgrounds without faces.

A sample is a 192x256 BGR image and an array of faces (x, y, w, h, five points). Pictures marked dev are never used.
"""

import csv
import tarfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import augment
import yunet

HEIGHT, WIDTH = 192, 256
SWAP = [1, 0, 2, 4, 3]  # points after a mirror


class Pictures:
    """Context images of one side (dev or not) with the faces the reference detector found."""

    def __init__(self, shared, dev):
        root = Path(shared) / "faces" / "train"
        faces = {}
        with open(root / "detections.csv", newline="") as file:
            for row in csv.DictReader(file):
                faces.setdefault(row["name"], []).append([float(v) for k, v in row.items() if k not in ("name", "score")])
        with open(root / "context.csv", newline="") as file:
            rows = [r for r in csv.DictReader(file) if (r["dev"] == "1") == dev]
        with tarfile.open(root / "context.tar") as tar:
            blobs = {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.isfile()}
        self.images = [cv2.imdecode(np.frombuffer(blobs[r["name"]], np.uint8), cv2.IMREAD_COLOR) for r in rows]
        self.faces = [np.float32(faces.get(r["name"], [])).reshape(-1, 14) for r in rows]
        self.sources = [r["source"] for r in rows]
        self.with_faces = [i for i, f in enumerate(self.faces) if len(f)]


def crop_faces(shared, work, crops, parts, most=4000):
    """(crop, box and points by the reference detector) of training crops, colour first; computed once."""
    path = Path(work) / "crop-faces.npz"
    if not path.exists():
        detector, index, rows = yunet.YuNet(shared), [], []
        chosen = [i for i in np.flatnonzero(parts == "train") if crops.rows[i]["side_px"] == "144"]
        chosen = sorted(chosen, key=lambda i: crops.rows[i]["grey"])[: most]
        for i in tqdm(chosen, desc="reference detector on crops", mininterval=10):
            found = detector.find(crops.canvas(i), 0.7)
            if len(found):
                index.append(i)
                rows.append(found[0, :14])
        np.savez(path, index=np.array(index), faces=np.float32(rows))
    stored = np.load(path)
    return list(zip(stored["index"].tolist(), stored["faces"], strict=True))


def move(faces, matrix, flip):
    """Faces under a similarity (2x3); `flip` says that the matrix mirrors."""
    if not len(faces):
        return faces
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    centre = faces[:, :2] + faces[:, 2:4] / 2
    centre = centre @ matrix[:, :2].T + matrix[:, 2]
    size = faces[:, 2:4] * scale
    points = faces[:, 4:].reshape(-1, 5, 2) @ matrix[:, :2].T + matrix[:, 2]
    if flip:
        points = points[:, SWAP]
    return np.concatenate([centre - size / 2, size, points.reshape(-1, 10)], 1).astype(np.float32)


def similarity_to(centre, scale, angle, goal, flip):
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    return np.hstack([turn, (np.asarray(goal) - turn @ np.asarray(centre))[:, None]])


def face_size(rng):
    """Longer box side in the 192x256 input: a face of 80 px in 640x480 is 32 here."""
    return float(np.exp(rng.uniform(np.log(20), np.log(200))))


class Samples:
    """Draws training samples; all state is the caller's generator and the pictures."""

    def __init__(self, pictures, crops, crop_faces, made=None, seed=7):
        self.pictures, self.crops, self.crop_faces, self.made = pictures, crops, crop_faces, made
        rng = np.random.default_rng(seed)
        few = [i for i in pictures.with_faces if len(pictures.faces[i]) <= 2]
        patches = [self.patch(rng, int(rng.choice(few))) for _ in range(600)]
        self.patches = [p for p in patches if p is not None]

    def patch(self, rng, index):
        """A region of a picture that touches no (widened) face, as a background."""
        image, faces = self.pictures.images[index], self.pictures.faces[index]
        height, width = image.shape[:2]
        for _ in range(20):
            w, h = rng.uniform(0.15, 0.7) * width, rng.uniform(0.15, 0.7) * height
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            wide = [(f[0] - f[2] * 0.4, f[1] - f[3] * 0.5, f[0] + f[2] * 1.4, f[1] + f[3] * 1.4) for f in faces]
            if all(x > b[2] or y > b[3] or x + w < b[0] or y + h < b[1] for b in wide):
                return cv2.resize(image[int(y) : int(y + h), int(x) : int(x + w)], (WIDTH, HEIGHT))
        return None

    def background(self, rng):
        kind = rng.random()
        if kind < 0.6:
            image = self.patches[int(rng.integers(len(self.patches)))]
            return np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image).copy()
        if kind < 0.75:
            return np.full((HEIGHT, WIDTH, 3), rng.integers(0, 256, 3), np.uint8)
        if kind < 0.85:
            coarse = rng.integers(0, 256, (int(rng.integers(2, 40)), int(rng.integers(2, 50)), 3)).astype(np.uint8)
            how = cv2.INTER_NEAREST if rng.random() < 0.3 else cv2.INTER_CUBIC
            return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=how)
        return self.shapes(rng)

    def shapes(self, rng):
        """Ovals, bars, boxes and letters, also in the colours of skin: things a detector takes for a face."""
        image = np.full((HEIGHT, WIDTH, 3), rng.integers(0, 256, 3), np.uint8)
        for _ in range(int(rng.integers(2, 14))):
            skin = rng.random() < 0.4
            colour = rng.integers(0, 256, 3) if not skin else np.array([110, 150, 200]) * rng.uniform(0.4, 1.2)
            colour = tuple(int(v) for v in np.clip(colour, 0, 255))
            at = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
            kind = int(rng.integers(4))
            if kind == 0:
                axes = (int(rng.integers(3, 60)), int(rng.integers(3, 80)))
                cv2.ellipse(image, at, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
            elif kind == 1:
                cv2.rectangle(image, at, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), colour, -1)
            elif kind == 2:
                cv2.line(image, at, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), colour, int(rng.integers(1, 12)))
            else:
                text = "".join(chr(int(c)) for c in rng.integers(48, 91, int(rng.integers(1, 8))))
                cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.4, 3)), colour, int(rng.integers(1, 6)))
        return image

    def draw(self, rng):
        kind = rng.random()
        if kind < 0.12:
            image, faces = self.background(rng), np.zeros((0, 14), np.float32)
        elif kind < 0.22 and self.made:
            index = int(rng.integers(len(self.made)))
            image, faces = self.scene(rng, self.made.image(index), self.made.faces[index][None])
        elif kind < 0.72:
            index = int(rng.choice(self.pictures.with_faces))
            image, faces = self.scene(rng, self.pictures.images[index], self.pictures.faces[index])
        else:
            image, faces = self.background(rng), np.zeros((0, 14), np.float32)
            for _ in range(int(rng.integers(1, 4))):
                faces = self.paste(rng, image, faces)
        if rng.random() < 0.7:
            image = tone(rng, image)
        if rng.random() < 0.35:
            image = spoil(rng, image)
        return image, faces

    def scene(self, rng, source, faces):
        """A picture moved, scaled and turned so that one of its faces has a wanted size."""
        face = faces[int(rng.integers(len(faces)))]
        size, flip = face_size(rng), rng.random() < 0.5
        scale = min(size / max(face[2], face[3]), 6.0)
        reach = 0.35 * size
        goal = (rng.uniform(min(reach, 128), max(WIDTH - reach, 128)), rng.uniform(min(reach, 96), max(HEIGHT - reach, 96)))
        matrix = similarity_to(face[:2] + face[2:4] / 2, scale, np.deg2rad(rng.normal(0, 8)), goal, flip)
        image = self.background(rng)
        if scale < 0.5:
            half = 2.0 * scale
            source = cv2.resize(source, None, fx=half, fy=half, interpolation=cv2.INTER_AREA)
            small = matrix.copy()
            small[:, :2] /= half
        else:
            small = matrix
        cv2.warpAffine(source, small, (WIDTH, HEIGHT), dst=image, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
        return image, move(faces, matrix, flip)

    def paste(self, rng, image, faces):
        """One aligned crop with a soft oval edge, placed where no other face is."""
        which = int(rng.integers(len(self.crop_faces)))
        index, face = self.crop_faces[which]
        size, flip = min(face_size(rng), 150), rng.random() < 0.5
        scale = size / max(face[2], face[3])
        goal = (rng.uniform(size * 0.3, WIDTH - size * 0.3), rng.uniform(size * 0.3, HEIGHT - size * 0.3))
        for f in faces:
            if abs(goal[0] - f[0] - f[2] / 2) < (size + f[2]) * 0.7 and abs(goal[1] - f[1] - f[3] / 2) < (size + f[3]) * 0.7:
                return faces
        matrix = similarity_to(face[:2] + face[2:4] / 2, scale, np.deg2rad(rng.normal(0, 10)), goal, flip)
        mask = np.zeros((144, 144), np.float32)
        axes = (int(rng.uniform(44, 62)), int(rng.uniform(54, 66)))
        cv2.ellipse(mask, (72, 72), axes, 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 5))
        canvas = self.crops.canvas(index)
        how = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
        layer = cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=how)
        alpha = cv2.warpAffine(mask, matrix, (WIDTH, HEIGHT))[..., None]
        image[:] = (layer * alpha + image * (1 - alpha)).astype(np.uint8)
        return np.concatenate([faces, move(face[None], matrix, flip)])


def tone(rng, image):
    """Gamma, contrast, brightness, cast and grey by tables (cheap at this size)."""
    x = (np.arange(256, dtype=np.float32) / 255) ** np.exp(rng.normal(0, 0.3))
    x = (x - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.08)
    cast = np.exp(rng.normal(0, 0.08, 3)) if rng.random() < 0.5 else np.ones(3)
    table = np.stack([(x * c).clip(0, 1) * 255 for c in cast], 1).astype(np.uint8).reshape(1, 256, 3)
    image = cv2.LUT(image, table)
    if rng.random() < 0.2:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return image


def spoil(rng, image):
    kind = int(rng.integers(4))
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    if kind == 1:
        return augment.motion_blur(rng, image)
    if kind == 2:
        low = rng.normal(0, rng.uniform(3, 14), (HEIGHT, WIDTH, 1)).astype(np.float32)
        return (image + low).clip(0, 255).astype(np.uint8)
    return augment.jpeg(rng, image)
