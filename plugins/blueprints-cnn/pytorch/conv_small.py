class ConvSmall(nn.Module):
    """x + gain * relu(group_norm(conv1x1(x)))"""

    def __init__(self, channels, topology, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(groups, channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.gain * F.relu(self.norm(self.conv(x)))
