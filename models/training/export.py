"""Exports a trained network to ONNX opset 17: batch norm folded, fixed shape, ReLU only; checks torch against onnxruntime.

Input convention of every network: RGB, float, (x - 127.5) / 128, NCHW, batch 1. Never changes a checkpoint.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import networks

OUTPUTS = {
    "e": ["embedding"],
    "d": [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in networks.Detector.STRIDES],
    "p": ["logits"],
}


class YunetLayout(nn.Module):
    """The detector's three maps as the twelve outputs of the YuNet convention, so that one decoder reads both."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        parts = [[], [], [], []]
        for values in self.net(x):
            cells = int(values.shape[2]) * int(values.shape[3])
            rows = values.permute(0, 2, 3, 1).reshape(1, cells, 16)
            parts[0].append(torch.sigmoid(rows[..., 0:1]))
            parts[1].append(torch.sigmoid(rows[..., 1:2]))
            parts[2].append(rows[..., 2:6])
            parts[3].append(rows[..., 6:16])
        return tuple(part for kind in parts for part in kind)


def load(checkpoint, name):
    """The averaged weights of a full checkpoint, or a compact one."""
    saved = torch.load(checkpoint, weights_only=False)
    state = saved.get("ema", saved)
    net = networks.build(name)
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return net.eval()


def fold(module):
    """Folds every Conv2d followed by BatchNorm2d inside a Sequential."""
    for child in module.children():
        fold(child)
    if isinstance(module, nn.Sequential):
        for k in range(len(module) - 1):
            if isinstance(module[k], nn.Conv2d) and isinstance(module[k + 1], nn.BatchNorm2d):
                module[k], module[k + 1] = fuse_conv_bn_eval(module[k], module[k + 1]), nn.Identity()
    return module


def export(net, name, target):
    shape, outputs = (1, *networks.INPUTS[name]), OUTPUTS[name[0]]
    folded = fold(net)
    folded = YunetLayout(folded) if name[0] == "d" else folded
    torch.onnx.export(
        folded, (torch.zeros(shape),), str(target), opset_version=17, input_names=["input"], output_names=outputs,
        dynamo=False, do_constant_folding=True,
    )  # fmt: skip
    return folded, shape


def narrow(source, target):
    """Stores weights as f16 with a Cast before use: storage only, widened when the model is loaded."""
    model = onnx.load(str(source))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 64:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values, name + ".f16"))
            casts.append(onnx.helper.make_node("Cast", [name + ".f16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def difference(net, path, shape, rounds=5):
    """Largest absolute difference and largest absolute output over random inputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, size = 0.0, 0.0
    for seed in range(rounds):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)
        with torch.no_grad():
            ours = net(x)
        ours = ours if isinstance(ours, tuple) else (ours,)
        for a, b in zip(ours, session.run(None, {"input": x.numpy()}), strict=True):
            worst, size = max(worst, float(np.abs(a.numpy() - b).max())), max(size, float(np.abs(b).max()))
    return worst, size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--net", required=True, choices=sorted(networks.BUILDERS))
    parser.add_argument("--out", required=True)
    parser.add_argument("--f16", action="store_true", help="store weights as f16 (storage only)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    target = Path(args.out)
    net, shape = export(load(args.checkpoint, args.net), args.net, target)
    kinds = sorted({n.op_type for n in onnx.load(str(target)).graph.node})
    print(f"f32: {target.stat().st_size} bytes, operators {kinds}, torch - onnxruntime {difference(net, target, shape)}")
    if args.f16:
        narrow(target, target)
        print(f"f16: {target.stat().st_size} bytes, torch - onnxruntime {difference(net, target, shape)}")


if __name__ == "__main__":
    main()
