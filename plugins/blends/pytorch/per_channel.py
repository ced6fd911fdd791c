class PerChannel(nn.Module):
    """host + alpha * (1 + weight) * (seed - host), with one weight per channel"""

    def __init__(self, channels, topology, **ramp):
        super().__init__()
        shape = (1, 1, channels) if topology == "transformer" else (1, channels, 1, 1)
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, host, seed, alpha):
        return torch.lerp(host, seed, alpha + alpha * self.weight)
