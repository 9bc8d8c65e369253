"""The networks of the default pack as torch modules, laid out for tract.

Dense 3x3 convolutions of 32 to 192 channels, ReLU only, patch stems, no pooling layers, no PReLU; the one depthwise
layer is the global one in the embedding head. Batch norm is folded on export. Never loads data and never trains.
"""

import torch
from torch import nn


def conv_bn(inputs, outputs, kernel, stride=1, padding=None, relu=True):
    padding = kernel // 2 if padding is None else padding
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """x + relu(bn(conv3x3(x)))."""

    def __init__(self, channels):
        super().__init__()
        self.body = conv_bn(channels, channels, 3)

    def forward(self, x):
        return x + self.body(x)


def stages(widths, depths, stem_channels):
    """One Sequential per stage; every stage after the first opens with a stride-2 convolution."""
    built, inputs = [], stem_channels
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        layers = []
        if index > 0 or width != inputs:
            layers.append(conv_bn(inputs, width, 3, 2 if index > 0 else 1))
        layers += [Residual(width) for _ in range(depth)]
        built.append(nn.Sequential(*layers))
        inputs = width
    return built


class Embedding(nn.Module):
    """Aligned face, RGB, (x - 127.5) / 128, `size` x `size`, to 128 values (not normalised)."""

    def __init__(self, widths=(48, 96, 192), depths=(2, 2, 2), last=256, size=96):
        super().__init__()
        self.size = size
        self.stem = conv_bn(3, widths[0], 8, 4, 2)
        self.stages = nn.Sequential(*stages(widths, depths, widths[0]))
        self.last = conv_bn(widths[-1], last, 1)
        side = size // 16
        self.globally = nn.Sequential(nn.Conv2d(last, last, side, groups=last, bias=False), nn.BatchNorm2d(last))
        self.head = nn.Linear(last, 128)
        initialise(self)

    def forward(self, x):
        x = self.last(self.stages(self.stem(x)))
        return self.head(self.globally(x).flatten(1))


class Detector(nn.Module):
    """Frame, RGB, (x - 127.5) / 128, to three maps of 16 values at strides 8, 16 and 32.

    Values of a cell: 0 score logit, 1 quality logit, 2..5 box (dx, dy of the centre from the cell's corner, log w,
    log h, in strides), 6..15 five points (x, y, in strides from the cell's corner). export.py writes them in the
    YuNet layout: cls, obj (both as sigmoid), bbox, kps, each at the three strides.
    """

    STRIDES = (8, 16, 32)

    def __init__(self, stem=24, widths=(32, 64, 64), depths=(2, 2, 1)):
        super().__init__()
        self.stem = conv_bn(3, stem, 4, 4, 0)
        first = [conv_bn(stem, widths[0], 3, 2)] + [Residual(widths[0]) for _ in range(depths[0])]
        rest = stages(widths, depths, widths[0])[1:]
        self.stages = nn.ModuleList([nn.Sequential(*first), *rest])
        self.heads = nn.ModuleList([nn.Conv2d(width, 16, 1) for width in widths])
        initialise(self)
        for head in self.heads:
            nn.init.constant_(head.bias[:1], -4.0)

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage, head in zip(self.stages, self.heads, strict=True):
            x = stage(x)
            maps.append(head(x))
        return tuple(maps)


class Presentation(nn.Module):
    """Loose face crop, RGB, (x - 127.5) / 128, 80x80, to 3 logits: 0 print or mask, 1 live, 2 screen."""

    def __init__(self, kernel=3, stem=24, widths=(48, 96), depths=(2, 2)):
        super().__init__()
        self.stem = conv_bn(3, stem, kernel, 2, 1 if kernel == 3 else 0 if kernel == 2 else 1)
        layers, inputs = [], stem
        for width, depth in zip(widths, depths, strict=True):
            layers += [conv_bn(inputs, width, 3, 2)] + [Residual(width) for _ in range(depth)]
            inputs = width
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, 3)
        initialise(self)

    def forward(self, x):
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


def initialise(net):
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


BUILDERS = {
    "e11": lambda: Embedding(),
    "e12": lambda: Embedding(widths=(64, 128, 192)),
    "d6": lambda: Detector(stem=32, widths=(48, 64, 64), depths=(1, 2, 1)),
    "d7": lambda: Detector(),
    "p2": lambda: Presentation(),
    "p4": lambda: Presentation(kernel=4, widths=(64, 128), depths=(1, 2)),
}

INPUTS = {
    "e11": (3, 96, 96),
    "e12": (3, 96, 96),
    "d6": (3, 192, 256),
    "d7": (3, 192, 256),
    "p2": (3, 80, 80),
    "p4": (3, 80, 80),
}


def build(name):
    return BUILDERS[name]()


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def param_groups(net, decay):
    """Weight decay on matrices and kernels only, never on norms and biases."""
    kernels = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]


class Ema:
    """Exponential moving average of weights and batch-norm statistics, with a short start-up phase."""

    def __init__(self, net, decay=0.999):
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (20 + self.steps))
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


def start_from(path, net, ema):
    """Takes the weights of a compact checkpoint (compact.py) into a network and its average."""
    state = torch.load(path, weights_only=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    net.load_state_dict(state)
    ema.state, ema.steps = {k: v.clone() for k, v in state.items()}, 10_000
