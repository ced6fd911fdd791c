class MlpSmall(nn.Module):
    """x + contract(gelu(expand(norm(x))))"""

    def __init__(self, channels, topology):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)

    def forward(self, x):
        return x + self.contract(F.gelu(self.expand(self.norm(x))))
