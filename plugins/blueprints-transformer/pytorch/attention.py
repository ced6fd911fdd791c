class Attention(nn.Module):
    """x + out(causal_attention(qkv(norm(x))))"""

    def __init__(self, channels, topology, n_head=4):
        super().__init__()
        self.n_head = n_head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(self, x):
        batch, length, channels = x.shape
        split = (batch, length, self.n_head, channels // self.n_head)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.out(attended.transpose(1, 2).reshape(batch, length, channels))
