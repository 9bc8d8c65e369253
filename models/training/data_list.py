"""Writes the data list: the sha256 of every crop with its part (train, held, drop), no names, sorted by hash.

Also prints the digest of the list, which the model card repeats. Never copies a picture.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

import data


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", default=str(Path(__file__).with_name("embedding-data.txt")))
    args = parser.parse_args()
    crops = data.Crops(args.shared)
    parts = np.load(Path(args.work) / "plain.npz")["parts"]
    lines = sorted(f"{crops.sha256(i)[:16]} {parts[i]}" for i in range(len(crops)))
    text = "\n".join(lines) + "\n"
    Path(args.out).write_text(text)
    names = {data.normal(r["identity"]) for r in crops.rows if r["identity"]}
    held = {data.normal(r["identity"]) for r, p in zip(crops.rows, parts, strict=True) if p == "held"}
    print(f"{len(lines)} crops, {len(names)} names, {len(held)} held out, sha256 {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
