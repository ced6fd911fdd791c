class ConvLight(nn.Module):
    """x + gain * relu(group_norm(conv(x)))"""

    def __init__(self, channels, topology, kernel_size=3, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.GroupNorm(groups, channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.gain * F.relu(self.norm(self.conv(x)))
