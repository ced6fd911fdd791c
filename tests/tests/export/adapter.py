"""Loads an adapter with PEFT, compares its outputs, and saves a changed one. Prints the largest difference."""

import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

home = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(home / "adapter"))
from modeling_kasmina import load  # noqa: E402

io = load_file(home / "io.safetensors")
network = PeftModel.from_pretrained(load(home / "host"), home / "adapter").eval()
with torch.no_grad():
    found = network(io["x"])
    difference = ((found - io["y"]).abs().max() / io["y"].abs().max()).item()
    assert difference <= 1e-5, difference
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.mul_(2.0)
    network.save_pretrained(home / "back")
    save_file({"y": network(io["x"]).contiguous()}, home / "changed.safetensors")
print(f"{difference:.1e}")
