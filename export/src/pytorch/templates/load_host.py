def load(host):
    """Returns the host with its trained weights; `host` is the folder of its export for PyTorch"""
    from safetensors.torch import load_file

    weights = load_file(Path(host) / "model.safetensors")
    weights = {name.removeprefix("network."): tensor for name, tensor in weights.items()}
    module = network().to(next(iter(weights.values())).dtype)
    places = {name: tensor for name, tensor in module.state_dict().items() if name.startswith("slots.")}
    module.load_state_dict({name: t for name, t in weights.items() if not name.startswith("slots.")} | places)
    return module.eval()
