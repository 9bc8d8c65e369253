"""Makes a compact checkpoint (averaged weights as f16, a few MB) from a full one, for --start-from on another machine."""

import sys

import torch

if __name__ == "__main__":
    saved = torch.load(sys.argv[1], weights_only=False)
    state = {k: v.half() if v.is_floating_point() else v for k, v in saved["ema"].items()}
    torch.save(state, sys.argv[2])
    print(f"step {saved['step']}, views {saved.get('views', 0)}")
