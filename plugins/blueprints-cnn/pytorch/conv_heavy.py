class ConvNorm(nn.Module):
    """relu(group_norm(conv(x)))"""

    def __init__(self, inputs, outputs, kernel_size, groups):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class Conv(nn.Module):
    """A convolution that keeps the size of the feature map"""

    def __init__(self, inputs, outputs, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x):
        return self.conv(x)


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
