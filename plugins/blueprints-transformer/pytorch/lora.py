class Lora(nn.Module):
    """x + alpha / rank * up(down(x))"""

    def __init__(self, channels, topology, rank=8, alpha=8.0):
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Linear(channels, rank, bias=False)
        self.up = nn.Linear(rank, channels, bias=False)

    def forward(self, x):
        return x + self.up(self.scale * self.down(x))
