class Norm(nn.Module):
    """x + tanh(gain) * (group_norm(x) - x)"""

    def __init__(self, channels, topology):
        super().__init__()
        groups = next((g for g in (32, 16, 8, 4, 2) if channels % g == 0 and channels // g >= 16), 1)
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        normalised = F.group_norm(x, self.groups, self.weight, self.bias)
        return torch.lerp(x, normalised, torch.tanh(self.gain))
