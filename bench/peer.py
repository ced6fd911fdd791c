"""The same networks in PyTorch: what `kasmina-bench` compares itself with.

Prints one JSON object a line: {"net", "mode", "layout", "precision", "batch", "us"}, where `us` are microseconds a
step, one number per round. Run by `kasmina-bench`; it can be run by hand.
"""

import argparse
import json
import threading
import time

import torch
import torch.nn.functional as F
from torch import nn


class ConvLight(nn.Module):
    """x + g * relu(GN(conv3x3(x))), one group."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.gain = nn.Parameter(torch.full((1, channels, 1, 1), 0.1))

    def forward(self, x):
        return x + F.relu(self.norm(self.conv(x))) * self.gain


class Slot(nn.Module):
    """What happens to features where a seed sits."""

    def __init__(self, channels, stage):
        super().__init__()
        self.seed = ConvLight(channels)
        self.stage = stage
        self.register_buffer("alpha", torch.tensor(1.0 if stage == "fossilized" else 0.5))

    def forward(self, x):
        if self.stage == "training":
            seed = self.seed(x.detach())
            return x + (seed - seed.detach())
        seed = self.seed(x)
        if self.stage == "fossilized":
            return seed
        return torch.lerp(x, seed.to(x.dtype), self.alpha.to(x.dtype))


class Net(nn.Module):
    """Three blocks of conv, batch norm, ReLU and pool from 32 channels, and a linear head."""

    def __init__(self, net, base=32, blocks=3, channels=3):
        super().__init__()
        self.blocks, self.slots = nn.ModuleList(), nn.ModuleList()
        width = channels
        for i in range(blocks):
            out = base << i
            self.blocks.append(
                nn.Sequential(
                    nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)
                )
            )
            self.slots.append(Slot(out, net) if net in ("training", "blending", "fossilized") else nn.Identity())
            width = out
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        for block, slot in zip(self.blocks, self.slots):
            x = slot(block(x))
        return self.head(x.mean(dim=(2, 3)))


class Stepper:
    """One training step after the other on one batch."""

    def __init__(self, net, args, mode, layout):
        torch.manual_seed(7)
        device = torch.device(args.device)
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.net = Net(net, base=args.base).to(device).to(memory_format=self.format)
        self.x = torch.randn(args.batch, 3, 32, 32, device=device).to(memory_format=self.format)
        self.y = torch.randint(10, (args.batch,), device=device)
        self.forward = torch.compile(self.net, mode=args.compile_mode) if mode == "compile" else self.net
        # The stronger choice: one fused call for all parameters.
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, fused=True)
        self.bf16 = args.precision == "bf16"
        self.device = device

    def step(self):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.forward(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, steps):
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.wait()
        return (time.perf_counter() - start) / steps * 1e6


def many(args):
    """Several models on one device: one after the other, and each on a thread and stream of its own."""
    models = [Stepper(args.nets, args, "eager", "channels_last") for _ in range(args.many)]
    streams = [torch.cuda.Stream() for _ in models]
    for model in models:
        model.time(args.warm_up)

    def on(stream, model):
        with torch.cuda.stream(stream):
            for _ in range(args.steps):
                model.step()

    in_turn, at_once = [], []
    for _ in range(args.rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for model in models:
            for _ in range(args.steps):
                model.step()
        torch.cuda.synchronize()
        in_turn.append((time.perf_counter() - start) / args.steps * 1e6)
        threads = [threading.Thread(target=on, args=pair) for pair in zip(streams, models)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        torch.cuda.synchronize()
        at_once.append((time.perf_counter() - start) / args.steps * 1e6)
    for mode, us in (("in turn", in_turn), ("at once", at_once)):
        print(json.dumps({"net": args.nets, "mode": mode, "us": [round(u, 2) for u in us]}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--nets", default="alone,training,blending,fossilized")
    parser.add_argument("--modes", default="eager")
    parser.add_argument("--layouts", default="channels_last")
    parser.add_argument("--compile-mode", default="default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--base", type=int, default=32, help="channels of the first block")
    parser.add_argument("--many", type=int, default=0, help="so many models, in turn and on threads")
    parser.add_argument("--cudnn-benchmark", action="store_true")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = args.cudnn_benchmark
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.many:
        return many(args)
    runs = [
        (net, mode, layout, Stepper(net, args, mode, layout), [])
        for mode in args.modes.split(",")
        for layout in args.layouts.split(",")
        for net in args.nets.split(",")
    ]
    for _, _, _, stepper, _ in runs:
        stepper.time(args.warm_up)
    # Round by round, so that a slow moment of the machine meets all of them.
    for _ in range(args.rounds):
        for _, _, _, stepper, us in runs:
            us.append(stepper.time(args.steps))
    for net, mode, layout, _, us in runs:
        row = {"net": net, "mode": mode, "layout": layout, "precision": args.precision, "batch": args.batch}
        print(json.dumps(row | {"us": [round(u, 2) for u in us]}), flush=True)


if __name__ == "__main__":
    main()
