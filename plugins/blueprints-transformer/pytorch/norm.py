class Norm(nn.Module):
    """x + tanh(gain) * (layer_norm(x) - x)"""

    def __init__(self, channels, topology):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        normalised = F.layer_norm(x, self.weight.shape, self.weight, self.bias)
        return torch.lerp(x, normalised, torch.tanh(self.gain))
