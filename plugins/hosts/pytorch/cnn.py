class CnnBlock(nn.Module):
    """A convolution, a norm, ReLU and an optional 2x2 max pool"""

    def __init__(self, inputs, outputs, kernel_size, pool):
        super().__init__()
        self.pool = pool
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(x, 2) if self.pool else x


class Cnn(nn.Module):
    """Convolutional blocks, a slot after each, and a linear head"""

    def __init__(
        self,
        slots,
        in_channels=3,
        num_classes=10,
        n_blocks=3,
        base_channels=32,
        pool_layers=None,
        kernel_size=3,
        memory_format="channels_last",
    ):
        super().__init__()
        self.names = [f"block{i}" for i in range(n_blocks)]
        width = in_channels
        for i in range(n_blocks):
            pool = pool_layers is None or i < pool_layers
            channels = base_channels << i
            self.add_module(f"block{i}", CnnBlock(width, channels, kernel_size, pool))
            width = channels
        self.head = nn.Linear(width, num_classes)
        self.slots = slots

    def forward(self, x):
        # Entries of these dictionaries are found faster than attributes of a module.
        modules, slots = self._modules, self.slots._modules
        for name in self.names:
            x = modules[name](x)
            if name in slots:
                x = slots[name](x)
        return self.head(x.mean((2, 3)))
