def load(folder):
    """Returns the trained network, ready for inference"""
    from safetensors.torch import load_file

    weights = load_file(Path(folder) / "model.safetensors")
    dtype = next(iter(weights.values())).dtype
    module = network().to(dtype)
    module.load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})
    return module.eval()
