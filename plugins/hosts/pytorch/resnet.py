class ResNetBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut"""

    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.stride, self.missing = stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(outputs)
        self.changes = stride != 1 or inputs != outputs
        self.projects = self.changes and shortcut == "projection"
        if self.projects:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.shortcut_norm = BatchNorm(outputs)

    def forward(self, x):
        inner = F.relu(self.norm1(self.conv1(x)))
        inner = self.norm2(self.conv2(inner))
        if self.projects:
            x = self.shortcut_norm(self.shortcut(x))
        elif self.changes:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.missing))
        return F.relu(inner + x)


class ResNet(nn.Module):
    """A residual network of 6n + 2 layers in three stages, a slot after each"""

    def __init__(
        self,
        slots,
        depth=20,
        in_channels=3,
        num_classes=10,
        base_channels=16,
        shortcut="pad",
        memory_format="channels_last",
    ):
        super().__init__()
        self.names = [f"stage{stage}" for stage in range(3)]
        self.stem = nn.Conv2d(in_channels, base_channels, 3, padding=1, bias=False)
        self.stem_norm = BatchNorm(base_channels)
        width = base_channels
        for stage in range(3):
            channels = base_channels << stage
            blocks = nn.Sequential()
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.add_module(f"block{block}", ResNetBlock(width, channels, stride, shortcut))
                width = channels
            self.add_module(f"stage{stage}", blocks)
        self.head = nn.Linear(width, num_classes)
        self.slots = slots

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        # Entries of these dictionaries are found faster than attributes of a module.
        modules, slots = self._modules, self.slots._modules
        for name in self.names:
            x = modules[name](x)
            if name in slots:
                x = slots[name](x)
        return self.head(x.mean((2, 3)))
