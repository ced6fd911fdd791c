"""Compares exported networks with the outputs that Kasmina wrote beside them. Prints JSON."""

import importlib.util
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModel


# Writing such a file takes seconds.
ONNX = ("cnn-gated", "resnet-gated", "transformer-gated")


def load(folder):
    """Imports the generated file by itself and loads its weights."""
    spec = importlib.util.spec_from_file_location(f"modeling_{folder.parent.name}", folder / "modeling_kasmina.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(folder)


def relative(found, wanted):
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def by_onnx(module, x, folder):
    import onnxruntime

    path = folder / "network.onnx"
    torch.onnx.export(module, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def row(folder):
    io = load_file(folder / "io.safetensors")
    x, y = io["x"], io["y"]
    module = load(folder / "out")
    with torch.no_grad():
        found = module(x)
        other = AutoModel.from_pretrained(folder / "out", trust_remote_code=True)(x).logits
        return {
            "name": folder.name,
            "file": relative(found, y),
            "transformers": relative(other, y),
            "torchscript": relative(torch.jit.load(folder / "script/model.pt")(x), y),
            "onnx": relative(by_onnx(module, x, folder), y) if folder.name in ONNX else None,
            "same_argmax": bool((found.argmax(-1) == y.argmax(-1)).all()),
        }


home = pathlib.Path(sys.argv[1])
folders = sorted(folder for folder in home.iterdir() if (folder / "out").is_dir())
stdout, sys.stdout = sys.stdout, sys.stderr
rows = [row(folder) for folder in folders]
json.dump(rows, stdout)
