"""An exported network beside the same network written by hand, for `kasmina-bench --filter exported`.

Prints one JSON object per line: {"net", "mode", "us"}, where `us` are microseconds per batch, one number per round.
"""

import argparse
import importlib.util
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("folders", type=Path, help="contains the exports `whole` and `folded`")
parser.add_argument("--device", default="cuda")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 128])
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--rounds", type=int, default=15)
parser.add_argument("--base", type=int, default=32)
args = parser.parse_args()


class Block(nn.Module):
    """Convolution, batch normalization and ReLU"""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Branch(nn.Module):
    """Adds a convolution with group normalization and ReLU"""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.gain * F.relu(self.norm(self.conv(x)))


class ByHand(nn.Module):
    """Three blocks, a branch after the second, and a linear head"""

    def __init__(self, base):
        super().__init__()
        self.block0, self.block1, self.block2 = Block(1, base), Block(base, 2 * base), Block(2 * base, 4 * base)
        self.branch = Branch(2 * base)
        self.head = nn.Linear(4 * base, 10)

    def forward(self, x):
        x = self.branch(self.block1(self.block0(x)))
        return self.head(self.block2(x).mean((2, 3)))


def load(folder):
    spec = importlib.util.spec_from_file_location(f"modeling_{folder.name}", folder / "modeling_kasmina.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(folder)


whole, folded = load(args.folders / "whole"), load(args.folders / "folded")
GROUPS = folded.slots["block1"].norm.num_groups
hand = ByHand(args.base)
weights = {name.replace("slots.block1", "branch"): tensor for name, tensor in folded.state_dict().items()}
missing = hand.load_state_dict(weights, strict=False)
assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing
hand.eval()
nets = {"exported": whole, "folded": folded, "by hand": hand}
for net in nets.values():
    net.to(args.device)


def measure(net, x, steps):
    start = time.perf_counter()
    for _ in range(steps):
        net(x)
    if args.device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e6 / steps


with torch.no_grad():
    for batch in args.batches:
        x = torch.randn(batch, 1, 8, 8, device=args.device)
        wanted = whole(x)
        for net in nets.values():
            difference = ((net(x) - wanted).abs().max() / wanted.abs().max()).item()
            assert difference < 1e-5, difference
            measure(net, x, args.steps)
        times = {mode: [] for mode in nets}
        for turn in range(args.rounds):
            # Another order in each round, so that no side always runs after the same one.
            order = list(nets)[turn % 3 :] + list(nets)[: turn % 3]
            for mode in order:
                times[mode].append(measure(nets[mode], x, args.steps))
        for mode, us in times.items():
            print(json.dumps({"net": f"b{batch}", "mode": mode, "us": us}), flush=True)
