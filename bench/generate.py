"""GPT-2 of transformers with its cache, for `kasmina-bench --filter generate`.

Prints one JSON object per line: {"net", "mode", "us"}, where `us` are microseconds per token of all sequences, one number
per round.
"""

import argparse
import json
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cuda")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
parser.add_argument("--prompt", type=int, default=16)
parser.add_argument("--tokens", type=int, default=224)
parser.add_argument("--rounds", type=int, default=7)
args = parser.parse_args()

config = GPT2Config(vocab_size=50257, n_positions=256, n_embd=384, n_layer=6, n_head=6)
model = GPT2LMHeadModel(config).eval().to(args.device, torch.bfloat16)
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0


def generate(batch):
    prompt = torch.ones(batch, args.prompt, dtype=torch.long, device=args.device)
    mask = torch.ones_like(prompt)
    out = model.generate(prompt, attention_mask=mask, do_sample=True, use_cache=True, max_new_tokens=args.tokens)
    assert out.shape == (batch, args.prompt + args.tokens)
    if args.device == "cuda":
        torch.cuda.synchronize()


for batch in args.batches:
    generate(batch)
    times = []
    for _ in range(args.rounds):
        start = time.perf_counter()
        generate(batch)
        times.append((time.perf_counter() - start) * 1e6 / args.tokens)
    print(json.dumps({"net": f"b{batch}", "mode": "generate", "us": times}), flush=True)
