"""Uses exported networks as their users do: pipelines, generation, torch.export, torch.compile, bfloat16."""

import importlib.util
import pathlib
import sys

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

home = pathlib.Path(sys.argv[1])


def load(folder):
    spec = importlib.util.spec_from_file_location("modeling_kasmina", folder / "modeling_kasmina.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(folder)


def check(found, wanted, tolerance):
    difference = ((found.float() - wanted).abs().max() / wanted.abs().max()).item()
    assert difference <= tolerance, difference


for folder in (home / "cnn", home / "transformer"):
    io = load_file(folder / "io.safetensors")
    x, y = io["x"], io["y"]
    module = load(folder / "out")
    with torch.no_grad():
        check(torch.export.export(module, (x,)).module()(x), y, 1e-5)
        check(torch.compile(module)(x), y, 1e-5)
        half = x.bfloat16() if x.is_floating_point() else x
        check(load(folder / "half")(half), y, 5e-2)
        check(torch.jit.load(folder / "half-script/model.pt")(half), y, 5e-2)

classify = pipeline("image-classification", str(home / "cnn/out"), trust_remote_code=True)
found = classify(Image.new("L", (8, 8), 128))
assert len(found) == 5 and all(0 <= row["score"] <= 1 for row in found), found
assert {row["label"] for row in found} <= {str(digit) for digit in range(10)}, found

folder = home / "transformer/out"
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
prompt, wanted = sys.argv[2], sys.argv[3]
tokens = tokenizer(prompt, return_tensors="pt").input_ids
out = model.generate(tokens, max_new_tokens=len(wanted), do_sample=False)
assert tokenizer.decode(out[0, tokens.shape[1] :]) == wanted, (tokenizer.decode(out[0]), wanted)
generate = pipeline("text-generation", model=model, tokenizer=tokenizer)
text = generate(prompt, max_new_tokens=len(wanted), do_sample=False)[0]["generated_text"]
assert text == prompt + wanted, text
