class Mlp(nn.Module):
    """x + contract(gelu(expand(norm(x))))"""

    def __init__(self, channels, topology, expansion=4):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.contract = nn.Linear(expansion * channels, channels)

    def forward(self, x):
        return x + self.contract(F.gelu(self.expand(self.norm(x))))
