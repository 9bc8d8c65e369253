#!/usr/bin/env python3
"""Makes the tiny pack beside this file: four kilobytes of arithmetic in the shape of a real pack, for tests.

    python3 -m pip install onnx onnxruntime numpy
    python3 make_tiny.py

It knows no faces. A "face" is a square of strong red (stride-32 cells); "bona fide" is a crop with more green
than blue; the "embedding" is 4 x 4 mean colours. The rehearsal numbers come from onnxruntime.
"""
import hashlib
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "golden"))
from make_golden import BGR_RAW, HALF, card, planes, samples, written  # noqa: E402


def constant(name, values):
    return numpy_helper.from_array(np.array(values), name)


def save(name, side, nodes, outputs, constants):
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    (HERE / name).write_bytes(model.SerializeToString())


def detector():
    # Colour order BGR: plane 2 is red. Boxes are 128 pixels wide and 144 high about the middle of the cell.
    points = [[0.5 - 0.8, 0.5 - 0.7], [0.5 + 0.8, 0.5 - 0.7], [0.5, 0.5 + 0.2], [0.5 - 0.6, 0.5 + 1.0], [0.5 + 0.6, 0.5 + 1.0]]
    heads = {
        "cls": ([[-0.1, -0.1, 0.1]], [-12.0], True), "obj": ([[-0.1, -0.1, 0.1]], [-12.0], True),
        "bbox": (np.array([[5e-4, 0, -5e-4]] + [[0, 0, 0]] * 3), [0.6, 0.5, np.log(4.0), np.log(4.5)], False),
        "kps": (np.zeros((10, 3)), np.array(points).ravel(), False),
    }
    nodes, outputs, constants = [], [], []
    for stride in (8, 16, 32):
        nodes.append(helper.make_node("AveragePool", ["input"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2))
    for head, (weights, bias, squash) in heads.items():
        for stride in (8, 16, 32):
            n, channels, cells = f"{head}_{stride}", len(bias), (320 // stride) ** 2
            if squash and stride != 32:
                weights, bias = np.zeros((1, 3)), [-20.0]
            elif squash:
                weights, bias = heads[head][:2]
            constants += [
                constant(f"{n}_w", np.array(weights, np.float32).reshape(channels, 3, 1, 1)),
                constant(f"{n}_b", np.array(bias, np.float32)),
                constant(f"{n}_s", np.array([1, cells, channels], np.int64)),
            ]
            nodes += [
                helper.make_node("Conv", [f"p{stride}", f"{n}_w", f"{n}_b"], [f"{n}_c"]),
                helper.make_node("Transpose", [f"{n}_c"], [f"{n}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{n}_t", f"{n}_s"], [f"{n}_r" if squash else n]),
            ]
            if squash:
                nodes.append(helper.make_node("Sigmoid", [f"{n}_r"], [n]))
            outputs.append((n, [1, cells, channels]))
    save("detector.onnx", 320, nodes, outputs, constants)


def embedder():
    nodes = [
        helper.make_node("PRelu", ["input", "slope"], ["bent"]),
        helper.make_node("AveragePool", ["bent"], ["mean"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["mean"], ["features"]),
    ]
    slope = constant("slope", np.array([0.9, -0.5, 1.5], np.float32).reshape(3, 1, 1))
    save("embedder.onnx", 112, nodes, [("features", [1, 48])], [slope])


def pad():
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Conv", ["mean", "w", "b"], ["mixed"]),
        helper.make_node("PRelu", ["mixed", "slope"], ["bent"]),
        helper.make_node("Flatten", ["bent"], ["logits"]),
    ]
    weights = np.array([[0.1, -0.1, 0], [-0.1, 0.1, 0], [0, 0, 0]], np.float32).reshape(3, 3, 1, 1)
    constants = [constant("w", weights), constant("b", np.zeros(3, np.float32)),
                 constant("slope", np.full((3, 1, 1), 0.25, np.float32))]
    save("pad.onnx", 80, nodes, [("logits", [1, 3])], constants)


def described(name, normalisation, side):
    data = (HERE / name).read_bytes()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    rehearsal = samples(session.run(None, {"input": planes(card(side), normalisation)}))
    colour, mean, deviation = normalisation
    return f"rehearsal = {written(rehearsal)}", f"""name = "{name}"
sha256 = "{hashlib.sha256(data).hexdigest()}"
bytes = {len(data)}
licence = "Apache-2.0"
source = "make_tiny.py"
""", f"""width = {side}
height = {side}
colour = "{colour}"
mean = {written(mean)}
deviation = {written(deviation)}
"""


def main():
    detector(), embedder(), pad()
    text = """version = 1
name = "tiny"
licence = "Apache-2.0"
rights = "made of arithmetic, knows no faces, for tests only"

[capture]
probe_frames = 1
enrol_frames = 1

[thresholds]
detection = 0.6
comparison = 0.9
pad = 0.5
pad_each = 0.2
"""
    for title, file, normalisation, side, keys in [
        ("detector", "detector.onnx", BGR_RAW, 320, 'decode = "yunet"'),
        ("embedder", "embedder.onnx", HALF, 112, 'decode = "cosine"\nalignment = "arcface"\ndimensions = 48'),
        ("pad", "pad.onnx", BGR_RAW, 80, 'decode = "softmax"\nclasses = 3\nbona_fide = 1\ncrop_scale = 1.5'),
    ]:
        rehearsal, described_file, taken = described(file, normalisation, side)
        head = "[[pad]]" if title == "pad" else f"[{title}]"
        text += f"\n{head}\n{keys}\n{rehearsal}\n\n[{title}.file]\n{described_file}\n[{title}.input]\n{taken}"
    (HERE / "pack.toml").write_text(text)


if __name__ == "__main__":
    main()
