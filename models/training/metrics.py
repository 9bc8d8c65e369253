"""Verification figures from embeddings and labels: TAR at a FAR, EER, thresholds. Pure arithmetic, no files."""

import numpy as np


def pair_scores(embeddings, labels, groups=None):
    """Cosines of all genuine and all impostor pairs; with `groups`, genuine pairs only across groups."""
    labels = np.unique(np.asarray(labels), return_inverse=True)[1]
    groups = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    genuine, impostor = [], []
    for i in range(len(labels) - 1):
        scores = embeddings[i + 1 :] @ embeddings[i]
        same = labels[i + 1 :] == labels[i]
        impostor.append(scores[~same].astype(np.float32))
        if groups is not None:
            same &= groups[i + 1 :] != groups[i]
        genuine.append(scores[same].astype(np.float32))
    return np.concatenate(genuine), np.concatenate(impostor)


def figures(genuine, impostor, rates=(1e-2, 1e-3)):
    impostor = np.sort(impostor)
    out = {"genuine": len(genuine), "impostor": len(impostor), "eer": equal_error(genuine, impostor)}
    for rate in rates:
        threshold = impostor[min(len(impostor) - 1, int(np.ceil(len(impostor) * (1 - rate))))]
        out[f"tar@{rate:g}"] = float((genuine >= threshold).mean())
        out[f"threshold@{rate:g}"] = float(threshold)
    return out


def equal_error(genuine, sorted_impostor):
    genuine = np.sort(genuine)
    thresholds = np.linspace(-0.5, 1, 3001)
    miss = np.searchsorted(genuine, thresholds) / len(genuine)
    false = 1 - np.searchsorted(sorted_impostor, thresholds) / len(sorted_impostor)
    best = np.argmin(np.abs(miss - false))
    return float((miss[best] + false[best]) / 2)


def bootstrap(embeddings, labels, threshold, rounds=1000, seed=1):
    """95 % interval of the TAR at a fixed threshold by resampling people (pairs of one person are not independent)."""
    rng, labels = np.random.default_rng(seed), np.asarray(labels)
    hits, pairs = [], []
    for person in np.unique(labels):
        own = embeddings[labels == person]
        scores = (own @ own.T)[np.triu_indices(len(own), 1)]
        hits.append((scores >= threshold).sum())
        pairs.append(len(scores))
    hits, pairs = np.array(hits), np.array(pairs)
    drawn = rng.integers(len(hits), size=(rounds, len(hits)))
    values = hits[drawn].sum(1) / pairs[drawn].sum(1)
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))
