"""The reference detector through onnxruntime: decoding of its twelve maps and suppression. Used for labels and checks."""

import cv2
import numpy as np

import data


class YuNet:
    def __init__(self, shared, name="yunet_n_320.onnx", threads=1):
        self.session = data.teacher_session(shared, threads, name)
        self.size = self.session.get_inputs()[0].shape[2]
        self.names = [o.name for o in self.session.get_outputs()]

    def find(self, image, threshold=0.6):
        """Faces as rows x y w h, ten point values, score, in pixels of the image; best first."""
        scale = self.size / max(image.shape[:2])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
        frame = np.zeros((self.size, self.size, 3), np.float32)
        frame[: small.shape[0], : small.shape[1]] = small[: self.size, : self.size]
        out = dict(zip(self.names, self.session.run(None, {"input": frame.transpose(2, 0, 1)[None]}), strict=True))
        rows = np.concatenate([self.decode(out, s, threshold) for s in (8, 16, 32)])
        rows[:, :14] /= scale
        return suppress(rows)

    def decode(self, out, stride, threshold):
        side = self.size // stride
        score = np.sqrt(out[f"cls_{stride}"].clip(0, 1) * out[f"obj_{stride}"].clip(0, 1))[0, :, 0]
        keep = np.flatnonzero(score >= threshold)
        cell = np.stack([keep % side, keep // side], 1).astype(np.float32)
        box, points = out[f"bbox_{stride}"][0, keep], out[f"kps_{stride}"][0, keep]
        centre, size = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        points = ((points.reshape(-1, 5, 2) + cell[:, None]) * stride).reshape(-1, 10)
        return np.concatenate([centre - size / 2, size, points, score[keep, None]], 1)


def overlap(box, boxes):
    left, top = np.maximum(box[0], boxes[:, 0]), np.maximum(box[1], boxes[:, 1])
    right = np.minimum(box[0] + box[2], boxes[:, 0] + boxes[:, 2])
    bottom = np.minimum(box[1] + box[3], boxes[:, 1] + boxes[:, 3])
    shared = (right - left).clip(0) * (bottom - top).clip(0)
    return shared / (box[2] * box[3] + boxes[:, 2] * boxes[:, 3] - shared).clip(1e-6)


def suppress(rows, limit=0.3):
    rows, kept = rows[np.argsort(-rows[:, 14])], []
    while len(rows):
        kept.append(rows[0])
        rows = rows[1:][overlap(rows[0], rows[1:]) < limit]
    return np.array(kept).reshape(-1, 15)
