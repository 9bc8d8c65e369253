"""Draws a training log (CSV) as a PNG. Reads one file, writes one file."""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


def draw(log, target):
    with open(log, newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    if not rows:
        return
    x_key = "views" if "views" in rows[0] else "step"
    left = [k for k in rows[0] if k.startswith(("tar", "eer", "recall", "precision", "accuracy", "apcer", "bpcer", "cosine"))]
    right = [k for k in rows[0] if k.startswith("loss")]
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(8, 8), sharex=True)
    for keys, axis in ((left, upper), (right, lower)):
        for key in keys:
            axis.plot([r[x_key] for r in rows], [r[key] for r in rows], marker=".", label=key)
        axis.grid(alpha=0.3)
        axis.legend()
    lower.set_xlabel(x_key)
    figure.tight_layout()
    figure.savefig(target, dpi=90)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(sys.argv[1], sys.argv[2])
