class ConvHeavy(nn.Module):
    """x + gain * relu(group_norm(second(first(x))))"""

    def __init__(self, channels, topology, kernel_size=3, groups=1):
        super().__init__()
        self.first = ConvNorm(channels, channels, kernel_size, groups)
        self.second = Conv(channels, channels, kernel_size)
        self.norm = nn.GroupNorm(groups, channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.gain * F.relu(self.norm(self.second(self.first(x))))
