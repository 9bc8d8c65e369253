"""Random views of aligned faces: geometry, mixes of two people, light, colour, blur, noise, JPEG, occlusion.

Works on BGR uint8 images and a numpy generator given by the caller; never reads files and never sees an identity.
"""

import cv2
import numpy as np


def smooth_field(rng, side, cells, sigma):
    coarse = rng.normal(0, sigma, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def warp(rng, canvas, out=112, elastic=0.5):
    """Small similarity, flip and (sometimes) a smooth deformation that makes a slightly different face."""
    side = canvas.shape[0]
    angle = np.deg2rad(rng.uniform(-10, 10))
    scale = rng.uniform(0.88, 1.12)
    shift = rng.uniform(-6, 6, 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.exp(rng.normal(0, 0.03))
    grid = np.arange(out, dtype=np.float32) - (out - 1) / 2
    gx, gy = np.meshgrid(grid, grid)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    mx = flip * (cos * gx * stretch - sin * gy) + (side - 1) / 2 + shift[0]
    my = sin * gx * stretch + cos * gy + (side - 1) / 2 + shift[1]
    if rng.random() < elastic:
        cells, sigma = int(rng.integers(4, 8)), rng.uniform(0.8, 3.2)
        mx += smooth_field(rng, out, cells, sigma)
        my += smooth_field(rng, out, cells, sigma)
    return cv2.remap(canvas, mx.astype(np.float32), my.astype(np.float32), cv2.INTER_LINEAR)


def mix(rng, one, two):
    """A blend of two aligned faces: even, along a soft edge, or patchy; targets are computed on the result."""
    side = one.shape[0]
    kind = rng.random()
    if kind < 0.5:
        weight = np.full((side, side), rng.uniform(0.25, 0.75), np.float32)
    elif kind < 0.75:
        angle = rng.uniform(0, 2 * np.pi)
        grid = (np.arange(side, dtype=np.float32) - side / 2) / side
        line = np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None] + rng.uniform(-0.15, 0.15)
        weight = 1 / (1 + np.exp(-line * rng.uniform(8, 40)))
    else:
        weight = 1 / (1 + np.exp(-smooth_field(rng, side, int(rng.integers(3, 7)), rng.uniform(1, 4))))
    weight = weight[..., None].astype(np.float32)
    return (one * weight + two * (1 - weight) + 0.5).astype(np.uint8)


def light(rng, image):
    """Gamma, contrast, brightness, colour cast, grey and a light that comes from one side."""
    x = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        x = x ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.6:
        x = (x - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.07)
    if rng.random() < 0.35:
        x = x * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
    if rng.random() < 0.2:
        x = np.repeat((x @ np.float32([0.114, 0.587, 0.299]))[..., None], 3, axis=2)
    if rng.random() < 0.25:
        angle, (high, wide) = rng.uniform(0, 2 * np.pi), x.shape[:2]
        across, down = np.linspace(-1, 1, wide, dtype=np.float32), np.linspace(-1, 1, high, dtype=np.float32)
        ramp = np.cos(angle) * across[None, :] + np.sin(angle) * down[:, None]
        x = x * (1 + rng.uniform(0, 0.5) * ramp)[..., None]
    return (x.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def motion_blur(rng, image):
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6))


def low_resolution(rng, image, low=28, high=80):
    side, small = image.shape[0], int(rng.integers(low, high))
    return cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (side, side))


def noise(rng, image):
    x = image.astype(np.float32) + rng.normal(0, rng.uniform(2, 12), image.shape)
    return x.clip(0, 255).astype(np.uint8)


def jpeg(rng, image):
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)


def occlude(rng, image):
    """A bar over mouth, eyes or anywhere, in one colour or in noise."""
    side, image = image.shape[0], image.copy()
    kind = rng.random()
    if kind < 0.4:
        top = int(rng.uniform(0.55, 0.7) * side)
        box = (top, side, int(rng.uniform(0, 0.2) * side), int(rng.uniform(0.8, 1) * side))
    else:
        height, width = rng.uniform(0.1, 0.35, 2) * side
        top, left = rng.uniform(0, side - height), rng.uniform(0, side - width)
        box = (int(top), int(top + height), int(left), int(left + width))
    patch = rng.integers(0, 256, 3) if rng.random() < 0.7 else rng.integers(0, 256, (box[1] - box[0], box[3] - box[2], 3))
    image[box[0] : box[1], box[2] : box[3]] = patch
    return image


def degrade(rng, image):
    for share, action in ((0.12, motion_blur), (0.2, low_resolution), (0.12, noise), (0.2, jpeg), (0.08, occlude)):
        if rng.random() < share:
            image = action(rng, image)
    if rng.random() < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    return image


def embedding_view(rng, canvas_of, pick):
    """One view at 112x112 from one crop or from two; `pick` draws an index, `canvas_of` gives its 144x144 canvas."""
    view = warp(rng, canvas_of(pick(rng)))
    if rng.random() < 0.45:
        view = mix(rng, view, warp(rng, canvas_of(pick(rng))))
    return seen(rng, view)


def seen(rng, view):
    """Light and camera of one view."""
    if rng.random() < 0.75:
        view = light(rng, view)
    if rng.random() < 0.6:
        view = degrade(rng, view)
    return view
