"""Generated people (render_subjects) with their exact boxes and points, as training material. Nobody's picture.

Refuses people below 1000: those belong to tests and demo.
"""

import csv
from pathlib import Path

import cv2
import numpy as np

FIRST = 1000
# The shape's own box and nose against the reference detector's habit, in eye distances.
TOP, BOTTOM, NOSE = 0.05, 0.10, 0.12


class Renders:
    """JPEGs in memory, decoded on demand; `faces` rows as in yunet.py without the score."""

    def __init__(self, folder, species=("live", "print", "screen", "mask")):
        with open(Path(folder) / "labels.csv", newline="") as file:
            rows = [r for r in csv.DictReader(file) if r["species"] in species and r["x"]]
        low = [r["file"] for r in rows if int(r["person"]) < FIRST]
        if low:
            raise SystemExit(f"{low[0]}: people below {FIRST} are for tests and never trained on; render with --first {FIRST}")
        self.jpeg = [(Path(folder) / r["file"]).read_bytes() for r in rows]
        self.species = [r["species"] for r in rows]
        self.people = np.array([int(r["person"]) for r in rows])
        self.faces = np.float32([list(r.values())[7:21] for r in rows])
        apart = np.hypot(*(self.faces[:, 4:6] - self.faces[:, 6:8]).T)
        self.faces[:, 1] -= TOP * apart
        self.faces[:, 3] += (TOP + BOTTOM) * apart
        self.faces[:, 9] -= NOSE * apart

    def __len__(self):
        return len(self.jpeg)

    def image(self, index):
        return cv2.imdecode(np.frombuffer(self.jpeg[index], np.uint8), cv2.IMREAD_COLOR)
