#!/usr/bin/env python3
"""What a frame costs in our pipeline, against onnxruntime and OpenCV on the same frames, one thread each.

    python3 -m pip install numpy onnxruntime opencv-python-headless
    cargo build -p zhenyin && python3 tests/benches/compare_engines.py --zhenyin target/debug/zhenyin \\
        --pack PACK --reference FOLDER --pictures FOLDER

`--reference` holds the public networks of the reference pack (yunet_s_320.onnx, yunet_s_640.onnx,
mobilefacenet_128.onnx, minifasnet_v2_crop2.7.onnx, minifasnet_v1se_crop4.0.onnx). `--pictures` holds pictures with one
face; they are put onto 640 x 480 frames in a temporary folder. `--pack` may be any pack.

Both sides take a decoded frame and do detection, alignment and cropping, embedding and PAD. Time is processor time per
frame (steadier than the wall clock on a busy machine) and the median of the wall clock. The sides alternate, and the
ratio is the median of the rounds' ratios.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

PLACES = np.float32(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
MEAN = np.float32([123.675, 116.28, 103.53])
DEVIATION = np.float32([58.395, 57.12, 57.375])
TARGETS = {"onnxruntime, YuNet-s 320": 0.6, "OpenCV YuNet-s 640 + onnxruntime": 0.35}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(network, planes):
    return network.run(None, {network.get_inputs()[0].name: planes})


class Reference:
    """The reference pipeline; `detector` is YuNet-s 320 in onnxruntime or FaceDetectorYN at 640."""

    def __init__(self, folder, opencv):
        cv2.setNumThreads(1)
        self.opencv = None
        if opencv:
            self.opencv = cv2.FaceDetectorYN.create(str(folder / "yunet_s_640.onnx"), "", (640, 640), 0.6, 0.3)
        else:
            self.detector = session(folder / "yunet_s_320.onnx")
        self.embedder = session(folder / "mobilefacenet_128.onnx")
        self.pad = [(session(folder / "minifasnet_v2_crop2.7.onnx"), 2.7),
                    (session(folder / "minifasnet_v1se_crop4.0.onnx"), 4.0)]

    def detect(self, frame):
        side = 640 if self.opencv else 320
        scale = side / max(frame.shape[:2])
        small = frame if scale == 1 else cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        square = cv2.copyMakeBorder(small, 0, side - small.shape[0], 0, side - small.shape[1], cv2.BORDER_CONSTANT)
        if self.opencv:
            faces = self.opencv.detect(square)[1]
            if faces is None:
                return None
            face = faces[np.argmax(faces[:, 2] * faces[:, 3])]
            return face[:4] / scale, face[4:14].reshape(5, 2) / scale
        outputs = run(self.detector, square.transpose(2, 0, 1)[None].astype(np.float32))
        best = None
        for level, stride in enumerate((8, 16, 32)):
            cls, obj, box, points = (outputs[first + level][0] for first in (0, 3, 6, 9))
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            cell = int(score.argmax())
            if score[cell] >= 0.6 and (best is None or score[cell] > best[0]):
                at = np.float32([cell % (side // stride), cell // (side // stride)])
                size = np.exp(box[cell, 2:]) * stride
                corner = (at + box[cell, :2]) * stride - size / 2
                best = score[cell], np.concatenate([corner, size]), (points[cell].reshape(5, 2) + at) * stride
        return best and (best[1] / scale, best[2] / scale)

    def observe(self, frame):
        found = self.detect(frame)
        if found is None:
            return False
        box, points = found
        matrix = cv2.estimateAffinePartial2D(points.astype(np.float32), PLACES, method=cv2.LMEDS)[0]
        crop = cv2.warpAffine(frame, matrix, (112, 112))[..., ::-1]
        run(self.embedder, ((crop - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)[None])
        height, width = frame.shape[:2]
        for network, scale in self.pad:
            x, y, w, h = box
            scale = min(scale, (height - 1) / h, (width - 1) / w)
            left = int(np.clip(x + w / 2 - w * scale / 2, 0, width - 1 - w * scale))
            top = int(np.clip(y + h / 2 - h * scale / 2, 0, height - 1 - h * scale))
            part = frame[top:top + int(h * scale) + 1, left:left + int(w * scale) + 1]
            run(network, cv2.resize(part, (80, 80)).transpose(2, 0, 1)[None].astype(np.float32))
        return True


def frames_of(pictures, folder, most):
    """Pictures with one face, on grey 640 x 480 frames."""
    files = sorted(p for p in pictures.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for number, file in enumerate(files[:: max(1, len(files) // most)][:most]):
        picture = cv2.imread(str(file))
        if picture is None:
            continue
        scale = 480 / picture.shape[0]
        picture = cv2.resize(picture, (min(640, round(picture.shape[1] * scale)), 480))
        frame = np.full((480, 640, 3), 120, np.uint8)
        left = (640 - picture.shape[1]) // 2
        frame[:, left:left + picture.shape[1]] = picture
        cv2.imwrite(str(folder / f"{number:03}.png"), frame)


def cost(pipeline, frames):
    """Processor and median wall milliseconds a frame, each frame twice in a row."""
    walls, used = [], time.process_time()
    for frame in frames:
        for _ in range(2):
            started = time.perf_counter()
            pipeline.observe(frame)
            walls.append(time.perf_counter() - started)
    used = (time.process_time() - used) * 1e3 / len(walls)
    return used, statistics.median(walls) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zhenyin", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="only the ratios of `observe`, load time and memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames_of(options.pictures, folder, options.frames)
        frames = [cv2.imread(str(file)) for file in sorted(folder.iterdir())]
        if not frames:
            sys.exit(f"no picture in `{options.pictures}`")
        others = {"onnxruntime, YuNet-s 320": Reference(options.reference, False),
                  "OpenCV YuNet-s 640 + onnxruntime": Reference(options.reference, True)}
        seen = {name: sum(other.observe(frame) for frame in frames) for name, other in others.items()}
        theirs, ours = {name: [] for name in others}, []
        for _ in range(options.rounds):
            command = [str(options.zhenyin), "models", "bench", str(options.pack), "--frames", name, "--json", "--rounds", "1"]
            ours.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            for name_of, other in others.items():
                theirs[name_of].append(cost(other, frames))
    if options.json:
        ratios = {name.split()[0].rstrip(",").lower(): ratio(ours, rounds, "observe") for name, rounds in theirs.items()}
        load, memory = load_and_memory(ours)
        print(json.dumps(ratios | {"load_ms": load, "resident_mib": memory, "usable": ours[0]["usable"], "frames": len(frames)}))
    else:
        report(ours, theirs, seen, len(frames))


def ratio(ours, rounds, kind):
    return statistics.median([one[kind]["cpu_ms"] / r[0] for one, r in zip(ours, rounds)])


def load_and_memory(ours):
    load = statistics.median([one["load_ms"] for one in ours])
    return load, max(one["resident_bytes"] or 0 for one in ours) / 2**20


def report(ours, theirs, seen, count):
    middle = lambda values: statistics.median(values)
    print(f"{count} frames of 640 x 480, one thread; milliseconds a frame")
    print(f"{'pipeline':<36} {'faces':>6} {'cpu':>8} {'wall':>8}")
    for kind in ("observe", "observe_next"):
        cpu, wall = (middle([one[kind][unit] for one in ours]) for unit in ("cpu_ms", "wall_ms"))
        print(f"{'ours, ' + kind:<36} {ours[0]['usable']:>6} {cpu:8.2f} {wall:8.2f}")
    for name, rounds in theirs.items():
        print(f"{name:<36} {seen[name]:>6} {middle([r[0] for r in rounds]):8.2f} {middle([r[1] for r in rounds]):8.2f}")
    print(f"\n{'ours over':<36} {'observe':>8} {'observe_next':>13} {'target':>8}")
    for name, rounds in theirs.items():
        ratios = [ratio(ours, rounds, kind) for kind in ("observe", "observe_next")]
        met = "met" if ratios[0] <= TARGETS[name] else "missed"
        print(f"{name:<36} {ratios[0]:8.2f} {ratios[1]:13.2f} {TARGETS[name]:8.2f}  {met}")
    load, memory = load_and_memory(ours)
    print(f"\nload to ready {load:.0f} ms (target 150), resident {memory:.0f} MiB (target 60)")


if __name__ == "__main__":
    main()
