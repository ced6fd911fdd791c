"""Compares PyTorch sources with the outputs of the modules beside them.

Reads a folder with numbered jobs from each line of the standard input, and prints its answers as a line of JSON.
"""

import ast
import json
import math
import os
import sys
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    print(json.dumps({"missing": True}), flush=True)
    sys.exit(0)


def tensor(data, place):
    """A tensor at an offset of the data"""
    dtype = torch.int64 if place["integers"] else torch.float32
    count = math.prod(place["shape"])
    return torch.frombuffer(data, dtype=dtype, count=count, offset=place["offset"]).reshape(place["shape"])


def compare(folder):
    job = json.loads((folder / "job.json").read_text())
    data = bytearray((folder / "tensors.bin").read_bytes())
    source = (folder / "source.py").read_text()
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    scope = {"torch": torch, "nn": nn, "F": F, "math": math}
    exec(compile(source, "source", "exec"), scope)
    arguments = [nn.ModuleDict()] if job["kind"] == "host" else job["arguments"]
    module = scope[classes[-1]](*arguments, **job["settings"])
    module.load_state_dict({name: tensor(data, place) for name, place in job["weights"].items()})
    module.eval()
    with torch.no_grad():
        found = module(*(tensor(data, place) for place in job["inputs"]), *job["alpha"])
    wanted = tensor(data, job["output"])
    if found.shape != wanted.shape:
        return {"error": f"it returns shape {list(found.shape)}; the module returns {list(wanted.shape)}"}
    largest = wanted.abs().max().item()
    difference = (found - wanted).abs().max().item() / (largest or 1.0)
    return {"difference": difference if math.isfinite(difference) else None}


def answer(folder):
    try:
        return compare(folder)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def answer_alone(folder):
    """Answers from a process of its own, so that no source affects another"""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            os.chdir(folder)
            folders = sorted(Path(folder).iterdir(), key=lambda folder: int(folder.name))
            with os.fdopen(write, "w") as pipe:
                json.dump({"answers": [answer(folder) for folder in folders]}, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else json.dumps({"ended": os.waitstatus_to_exitcode(status)})


# What a source prints is no answer.
answers, sys.stdout = sys.stdout, sys.stderr
print(json.dumps({}), file=answers, flush=True)
for line in sys.stdin:
    print(answer_alone(json.loads(line)), file=answers, flush=True)
