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
