"""Trains the detector on pseudo-labels and on generated people; resumable (loop.py).

Evaluated on pictures marked dev, which it never trains on. Labels are another detector's opinion, not ground truth.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

import data
import detector_data
import loop
import networks
import renders
import yunet

RANGES = {8: (12, 44), 16: (34, 110), 32: (84, 300)}  # longer box side in input pixels
SLACK = 1.2


def targets(faces, height, width, stride):
    """Per cell: 1 positive, 0 negative, -1 ignored; and the face of a positive cell."""
    rows, columns = height // stride, width // stride
    label, which = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.int64)
    y, x = np.mgrid[0:rows, 0:columns]
    x, y = (x + 0.5) * stride, (y + 0.5) * stride
    low, high = RANGES[stride]
    for k in np.argsort(-(faces[:, 2] * faces[:, 3])) if len(faces) else []:
        fx, fy, fw, fh = faces[k, :4]
        dx, dy = np.abs(x - fx - fw / 2), np.abs(y - fy - fh / 2)
        near = (dx <= max(0.16 * fw, 0.5 * stride)) & (dy <= max(0.16 * fh, 0.5 * stride))
        ring = (dx <= max(0.36 * fw, 0.9 * stride)) & (dy <= max(0.36 * fh, 0.9 * stride))
        size = max(fw, fh)
        label[ring & (label == 0)] = -1
        if low <= size <= high:
            label[near], which[near] = 1, k
        elif low / SLACK <= size <= high * SLACK:
            label[near & (label == 0)] = -1
        elif size > high * SLACK or size < low / SLACK:
            label[near & (label == 0)] = -1 if size < 12 else label[near & (label == 0)]
    return label, which


def decode(values, cells, stride):
    """Boxes (x1 y1 x2 y2) and points in pixels from rows of 16 values and their cells (column, row)."""
    centre = (cells + values[:, 2:4]) * stride
    size = torch.exp(values[:, 4:6].clamp(-4, 6)) * stride
    points = (values[:, 6:].reshape(-1, 5, 2) + cells[:, None]) * stride
    return torch.cat([centre - size / 2, centre + size / 2], 1), points


def intersection(a, b):
    """IoU and the penalty of DIoU for boxes x1 y1 x2 y2, row by row."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).pow(2).sum(1)
    apart = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).pow(2).sum(1)
    return shared / union.clamp(min=1e-6), apart / hull.clamp(min=1e-6)


def loss_of(maps, batch):
    score_loss = box_loss = point_loss = quality_loss = 0.0
    positives = 0
    for values, stride in zip(maps, networks.Detector.STRIDES, strict=True):
        height, width = values.shape[2] * stride, values.shape[3] * stride
        made = [targets(f, height, width, stride) for f in batch]
        label = torch.from_numpy(np.stack([m[0] for m in made]))
        flat = values.float().permute(0, 2, 3, 1)
        chance = torch.sigmoid(flat[..., 0])
        entropy = functional.binary_cross_entropy_with_logits(flat[..., 0], label.clamp(min=0), reduction="none")
        focus = torch.where(label > 0, (1 - chance) ** 2 * 0.6, chance**2 * 0.4).detach() * (label >= 0)
        score_loss = score_loss + (entropy * focus).sum()
        image, row, column = torch.nonzero(label > 0, as_tuple=True)
        if len(image) == 0:
            continue
        goal = np.stack([batch[i][made[i][1][r, c]] for i, r, c in zip(image.tolist(), row.tolist(), column.tolist())])
        goal = torch.from_numpy(goal)
        boxes, points = decode(flat[image, row, column], torch.stack([column, row], 1).float(), stride)
        wanted = torch.cat([goal[:, :2], goal[:, :2] + goal[:, 2:4]], 1)
        iou, apart = intersection(boxes, wanted)
        size = goal[:, 2:4].mean(1)
        off = (points - goal[:, 4:].reshape(-1, 5, 2)) / size[:, None, None]
        box_loss = box_loss + (1 - iou + apart).sum()
        point_loss = point_loss + functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.02, reduction="sum") / 10
        quality = flat[image, row, column, 1]
        quality_loss = quality_loss + functional.binary_cross_entropy_with_logits(quality, iou.detach().clamp(0, 1), reduction="sum")
        positives += len(image)
    n = max(positives, 1)
    return (score_loss * 2.0 + box_loss * 2.0 + point_loss * 10.0 + quality_loss * 0.3) / n


def to_input(images):
    x = torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2)
    return ((x.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def find(net, image, threshold):
    """Faces (rows as in yunet.py) of one BGR image, scaled to fit 256x192, padded right and below."""
    scale = min(detector_data.WIDTH / image.shape[1], detector_data.HEIGHT / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    frame = np.zeros((detector_data.HEIGHT, detector_data.WIDTH, 3), np.uint8)
    small = small[: detector_data.HEIGHT, : detector_data.WIDTH]
    frame[: small.shape[0], : small.shape[1]] = small
    rows = rows_of(net(to_input([frame])), threshold)
    rows[:, :14] /= scale
    return rows, scale


def rows_of(maps, threshold):
    found = []
    for values, stride in zip(maps, networks.Detector.STRIDES, strict=True):
        flat = values[0].float().permute(1, 2, 0)
        score = torch.sqrt(torch.sigmoid(flat[..., 0]) * torch.sigmoid(flat[..., 1]))
        row, column = torch.nonzero(score >= threshold, as_tuple=True)
        boxes, points = decode(flat[row, column], torch.stack([column, row], 1).float(), stride)
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        found.append(torch.cat([boxes, points.reshape(-1, 10), score[row, column, None]], 1).numpy())
    return yunet.suppress(np.concatenate(found))


def evaluate(net, pictures, threshold=0.5):
    """Against the reference detector on dev pictures: recall of faces of 16 px and of 32 px (80 px in a 640x480 frame)
    and more, point error of the latter, false hits on pictures without faces."""
    net.eval()
    hits = faces = false = empty = near = near_hits = 0
    errors = []
    for image, wanted, source in zip(pictures.images, pictures.faces, pictures.sources, strict=True):
        rows, scale = find(net, image, threshold)
        if source == "noface":
            empty, false = empty + 1, false + len(rows)
        for face in wanted:
            if max(face[2], face[3]) * scale < 16:
                continue
            large = max(face[2], face[3]) * scale >= 32
            faces, near = faces + 1, near + large
            both = yunet.overlap(face, rows[:, :4]) if len(rows) else np.zeros(0)
            if len(both) and both.max() >= 0.5:
                hits, near_hits = hits + 1, near_hits + large
                if not large:
                    continue
                off = rows[both.argmax(), 4:14].reshape(5, 2) - face[4:].reshape(5, 2)
                errors.append(np.hypot(*off.T).mean() / np.hypot(*(face[4:6] - face[6:8])).clip(1))
    return {
        "recall": hits / max(faces, 1), "recall_near": near_hits / max(near, 1), "faces": faces, "near": near,
        "point_error": float(np.median(errors or [9])), "false_hits": false, "empty": empty,
    }  # fmt: skip


def main():
    args = arguments()
    cv2.setNumThreads(0)
    crops, parts = data.Crops(args.shared), np.load(Path(args.work) / "plain.npz")["parts"]
    made = renders.Renders(args.renders) if args.renders else None
    pasted = detector_data.crop_faces(args.shared, args.work, crops, parts, args.crops)
    samples = detector_data.Samples(detector_data.Pictures(args.shared, False), crops, pasted, made)
    dev = detector_data.Pictures(args.shared, True)

    def loss_of_step(net, step):
        rng = np.random.default_rng([args.seed, step])
        drawn = [samples.draw(rng) for _ in range(args.batch)]
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.fp32):
            maps = net(to_input([d[0] for d in drawn]))
        return loss_of(maps, [d[1] for d in drawn])

    loop.Loop(args, decay=0.01, clip=10.0).run(loss_of_step, lambda net: evaluate(net, dev))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    loop.add_arguments(parser, minutes=60, rate=3e-3, batch=32)
    parser.add_argument("--net", default="d7", choices=["d6", "d7"])
    parser.add_argument("--renders", help="folder of render_subjects: generated people, a tenth of the samples")
    parser.add_argument("--crops", type=int, default=4000, help="aligned crops used for pasting, colour first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
