"""Rendered presentation attacks: a picture shown on paper, on a screen or as a cut mask, and seen by a webcam again.

Takes a BGR picture with one face box and gives a frame and the box in it. Rendered attacks only approximate real
ones: a network trained on them must be tested on recorded attacks before anybody relies on it.
"""

import cv2
import numpy as np

import augment

LIVE, PAPER, SCREEN = 1, 0, 2
SIDE = 320  # working frame, square


def frame_around(rng, image, box, size):
    """A SIDE x SIDE frame around the face at the given box size, as a camera might frame it; mirrored outside."""
    scale = size / max(box[2], box[3])
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
    goal = SIDE / 2 + rng.uniform(-0.15, 0.15, 2) * SIDE
    if scale < 0.6:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        centre, scale_left = centre * scale, 1.0
    else:
        scale_left = scale
    matrix = np.float64([[scale_left, 0, goal[0] - centre[0] * scale_left], [0, scale_left, goal[1] - centre[1] * scale_left]])
    how = cv2.INTER_CUBIC if scale_left > 1 else cv2.INTER_LINEAR
    frame = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    moved = np.array([goal[0] - box[2] * scale / 2, goal[1] - box[3] * scale / 2, box[2] * scale, box[3] * scale])
    return frame, moved


def paper(rng, image):
    """Halftone, narrowed gamut, paper grain, tone curve."""
    x = image.astype(np.float32) / 255
    height, width = x.shape[:2]
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * rng.uniform(0.3, 0.95)
    low, high = rng.uniform(0.04, 0.22), rng.uniform(0.72, 0.98)
    x = low + x ** rng.uniform(0.8, 1.4) * (high - low)
    if rng.random() < 0.6:
        yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
        pitch, depth = rng.uniform(2.0, 6.0), rng.uniform(0.05, 0.4)
        for channel, angle in enumerate(np.deg2rad(np.array([15, 75, 45]) + rng.uniform(-5, 5))):
            u, v = (np.cos(angle) * xx + np.sin(angle) * yy), (np.cos(angle) * yy - np.sin(angle) * xx)
            dots = (np.cos(2 * np.pi * u / pitch) + np.cos(2 * np.pi * v / pitch)) / 4
            x[..., channel] += depth * dots * (1 - np.abs(2 * x[..., channel] - 1))
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(0.5, 1.5))
    x = x * (1 + rng.uniform(0.01, 0.06) * grain[..., None]) * np.float32(1 + rng.normal(0, 0.05, 3))
    return (x.clip(0, 1) * 255).astype(np.uint8)


def screen(rng, image):
    """Pixel grid sampled a little out of step (moire), gamma, blue light, refresh bands, glare."""
    x = (image.astype(np.float32) / 255) ** rng.uniform(0.75, 1.4)
    height, width = x.shape[:2]
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, pitch = np.deg2rad(rng.uniform(-8, 8)), rng.uniform(1.6, 3.4)
    u, v = (np.cos(angle) * xx + np.sin(angle) * yy) / pitch, (np.cos(angle) * yy - np.sin(angle) * xx) / pitch
    bend = rng.uniform(0, 0.004)
    u, v = u * (1 + bend * yy / 10), v * (1 + bend * xx / 10)
    depth = rng.uniform(0.05, 0.5) * (rng.random() < 0.85)
    for channel in range(3):
        stripe = np.cos(2 * np.pi * (u + channel / 3)) * 0.7 + np.cos(2 * np.pi * v) * 0.3
        x[..., channel] *= 1 + depth * stripe
    if rng.random() < 0.5:  # slow beat of grid and sensor
        beat, turn = rng.uniform(6, 40), rng.uniform(0, np.pi)
        wave = np.cos(2 * np.pi * (np.cos(turn) * xx + np.sin(turn) * yy) / beat)
        x *= 1 + rng.uniform(0.03, 0.2) * wave[..., None] * np.float32(rng.uniform(0.3, 1, 3))
    if rng.random() < 0.3:
        period = rng.uniform(30, 200)
        x *= 1 - rng.uniform(0.05, 0.35) * (((yy + rng.uniform(0, period)) / period) % 1 < 0.4)[..., None]
    x = x * np.float32([rng.uniform(1.0, 1.3), rng.uniform(0.95, 1.1), rng.uniform(0.8, 1.02)]) + rng.uniform(0, 0.08)
    if rng.random() < 0.35:
        at, spread = rng.uniform(0, 1, 2) * (width, height), rng.uniform(15, 90)
        spot = np.exp(-((xx - at[0]) ** 2 + (yy - at[1]) ** 2) / (2 * spread**2))
        x += rng.uniform(0.2, 0.8) * spot[..., None]
    return (x.clip(0, 1) * 255).astype(np.uint8)


def bend(rng, image):
    """Paper held in two hands: columns or rows displaced along an arc, with shading."""
    height, width = image.shape[:2]
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    amount, phase = rng.uniform(2, 14), rng.uniform(0, np.pi)
    wave = np.sin(np.pi * (xx / width) * rng.uniform(0.8, 1.6) + phase)
    moved = cv2.remap(image, xx, yy + amount * wave, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return (moved * (1 + rng.uniform(-0.25, 0.25) * wave[..., None])).clip(0, 255).astype(np.uint8)


def hold_up(rng, scene, picture, box, bezel):
    """Puts the shown picture into the scene by a mild perspective; the border may or may not be in view."""
    if rng.random() < 0.4:  # close to the camera: nothing but the picture is seen
        return picture, box
    reach = rng.uniform(1.1, 2.2)
    left, top = max(0, box[0] - box[2] * (reach - 1)), max(0, box[1] - box[3] * (reach - 1))
    right, bottom = min(SIDE, box[0] + box[2] * reach), min(SIDE, box[1] + box[3] * reach)
    shown = picture[int(top) : int(bottom), int(left) : int(right)]
    rim = int(rng.uniform(0, 0.12) * shown.shape[1])
    colour = rng.integers(0, 50, 3) if bezel else rng.integers(190, 256, 3)
    shown = cv2.copyMakeBorder(shown, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=[int(c) for c in colour])
    height, width = shown.shape[:2]
    start = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    goal = start + np.float32([left - rim, top - rim]) + rng.normal(0, 0.02 * width, (4, 2)).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(start, goal)
    layer = cv2.warpPerspective(shown, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    alpha = cv2.warpPerspective(np.full((height, width), 255, np.uint8), matrix, (SIDE, SIDE)).astype(np.float32)[..., None] / 255
    return (layer * alpha + scene * (1 - alpha)).astype(np.uint8), box


def cut_mask(rng, frame, box, printed):
    """A printed face cut out, with eye holes, in front of a live head."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    centre = (int(box[0] + box[2] / 2), int(box[1] + box[3] / 2))
    cv2.ellipse(mask, centre, (int(box[2] * 0.52), int(box[3] * 0.54)), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        for side in (-1, 1):
            eye = (int(centre[0] + side * box[2] * 0.2), int(centre[1] - box[3] * 0.1))
            cv2.ellipse(mask, eye, (int(box[2] * 0.1), int(box[3] * 0.05)), 0, 0, 360, 0.0, -1, cv2.LINE_AA)
    edge = cv2.dilate(mask, np.ones((3, 3))) - mask
    out = printed * mask[..., None] + frame * (1 - mask[..., None])
    return (out * (1 - 0.4 * edge[..., None])).clip(0, 255).astype(np.uint8)


def camera(rng, frame):
    """What any webcam does to live faces and to attacks alike."""
    if rng.random() < 0.7:
        frame = augment.light(rng, frame)
    if rng.random() < 0.4:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.3, 1.4))
    if rng.random() < 0.4:
        frame = augment.noise(rng, frame)
    if rng.random() < 0.5:
        frame = augment.jpeg(rng, frame)
    return frame


def loose_crop(frame, box, scale=2.7, side=80):
    """The crop of the MiniFASNet convention: widened about its centre, limited and shifted into the frame."""
    height, width = frame.shape[:2]
    scale = min(scale, (height - 1) / box[3], (width - 1) / box[2])
    w, h = box[2] * scale, box[3] * scale
    left = min(max(box[0] + box[2] / 2 - w / 2, 0), width - 1 - w)
    top = min(max(box[1] + box[3] / 2 - h / 2, 0), height - 1 - h)
    part = frame[int(top) : int(top + h) + 1, int(left) : int(left + w) + 1]
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)


def sample(rng, image, box, scenes):
    """One labelled 80x80 crop: (BGR image, class, species)."""
    size = float(np.exp(rng.uniform(np.log(50), np.log(170))))
    frame, moved = frame_around(rng, image, box, size)
    kind = rng.random()
    if kind < 0.45:
        label, species = LIVE, "live"
    else:
        scene = cv2.resize(scenes[int(rng.integers(len(scenes)))], (SIDE, SIDE))
        if kind < 0.68:
            label, species = PAPER, "print"
            shown = paper(rng, frame)
            frame, moved = hold_up(rng, scene, bend(rng, shown) if rng.random() < 0.5 else shown, moved, False)
        elif kind < 0.76:
            label, species = PAPER, "mask"
            frame = cut_mask(rng, frame, moved, paper(rng, frame))
        else:
            label, species = SCREEN, "screen"
            frame, moved = hold_up(rng, scene, screen(rng, frame), moved, True)
    box = moved + np.concatenate([rng.normal(0, 0.04, 2), [0, 0]]) * moved[2]
    return loose_crop(camera(rng, frame), box), label, species
