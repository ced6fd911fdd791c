class Bottleneck(nn.Module):
    """x + gain * relu(group_norm(up(mid(down(x)))))"""

    def __init__(self, channels, topology, reduction=4):
        super().__init__()
        width = max(channels // reduction, 8)
        self.down = ConvNorm(channels, width, 1, 1)
        self.mid = ConvNorm(width, width, 3, 1)
        self.up = Conv(width, channels, 1)
        self.norm = nn.GroupNorm(1, channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.gain * F.relu(self.norm(self.up(self.mid(self.down(x)))))
