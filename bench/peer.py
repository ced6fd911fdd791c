"""The networks of `kasmina-bench` in PyTorch, for the comparison.

Prints one JSON object per line: {"net", "mode", "layout", "precision", "batch", "us"}, where `us` are microseconds per
step, one number per round. `kasmina-bench` runs this script; it can also be run by hand.
"""

import argparse
import json
import os
import threading
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel


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
    """A slot with a seed, as it runs in each stage."""

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
    """Blocks of convolution, batch norm, ReLU and pool, and a linear head. The channels double in each block."""

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


class Residual(nn.Module):
    """Two convolutions and a shortcut, which takes every second pixel and pads with zeros if the shape changes."""

    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, out - width

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        blocks, width = [], 16
        for out, stride in ((16, 1), (32, 2), (64, 2)):
            for i in range(3):
                blocks.append(Residual(width, out, stride if i == 0 else 1))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


class Decoder(nn.Module):
    """A block in the style of GPT-2: pre-norm, causal attention, an MLP four times as wide."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, c)
        x = x + self.project(y)
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary=50257, width=384, heads=6, layers=6, length=256):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[Decoder(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.tokens(x) + self.positions.weight[: x.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight).flatten(0, 1)


# Modes that sum gradients over several ranks.
DISTRIBUTED = {"ddp", "ddp_sync"}


class Stepper:
    """Takes training steps on one batch."""

    def __init__(self, net, args, mode, layout):
        torch.manual_seed(7)
        device = torch.device(args.device)
        if device.type == "cuda" and "LOCAL_RANK" in os.environ:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        hosts = {"cnn": lambda: Net("alone"), "resnet20": ResNet20, "transformer": Transformer}
        made = hosts[net]() if net in hosts else Net(net, base=args.base)
        self.net = made.to(device).to(memory_format=self.format)
        if net == "transformer":
            self.x = torch.randint(50257, (args.batch, 256), device=device)
            self.y = torch.randint(50257, (args.batch * 256,), device=device)
        else:
            self.x = torch.randn(args.batch, 3, 32, 32, device=device).to(memory_format=self.format)
            self.y = torch.randint(10, (args.batch,), device=device)
        self.forward = torch.compile(self.net, mode=args.compile_mode) if mode == "compile" else self.net
        if mode == "ddp_sync":
            self.net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.net)
        if mode in DISTRIBUTED:
            ids = [device.index] if device.type == "cuda" else None
            self.forward = DistributedDataParallel(self.net, device_ids=ids, gradient_as_bucket_view=True)
        # The fastest variant of SGD: one fused call for all parameters.
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
    """Measures several models on one device: one after the other, and each on its own thread and stream."""
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
    parser.add_argument("--many", type=int, default=0, help="measure this many models, in turn and on threads")
    parser.add_argument("--cudnn-benchmark", action="store_true")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = args.cudnn_benchmark
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.many:
        return many(args)
    if DISTRIBUTED & set(args.modes.split(",")):
        torch.distributed.init_process_group("nccl" if args.device == "cuda" else "gloo")
    runs = [
        (net, mode, layout, Stepper(net, args, mode, layout), [])
        for mode in args.modes.split(",")
        for layout in args.layouts.split(",")
        for net in args.nets.split(",")
    ]
    for _, _, _, stepper, _ in runs:
        stepper.time(args.warm_up)
    # Round by round, so that a slow moment of the machine affects all of them.
    for _ in range(args.rounds):
        for _, _, _, stepper, us in runs:
            us.append(stepper.time(args.steps))
    for net, mode, layout, _, us in runs:
        row = {"net": net, "mode": mode, "layout": layout, "precision": args.precision, "batch": args.batch}
        print(json.dumps(row | {"us": [round(u, 2) for u in us]}), flush=True)


if __name__ == "__main__":
    main()
