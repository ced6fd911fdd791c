class FlexAttention(nn.Module):
    """x + out(attention(qkv(norm(x)))), causal, with ALiBi slopes or a sliding window"""

    def __init__(self, channels, topology, window=None, alibi=True, n_head=4):
        super().__init__()
        self.window, self.alibi, self.n_head = window, alibi, n_head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels, bias=False)

    def mask(self, length, like):
        places = torch.arange(length, dtype=torch.float32, device=like.device)
        distance = places[:, None] - places[None, :]
        hidden = distance < 0
        if self.window is not None:
            hidden = hidden | (distance >= self.window)
        scores = torch.zeros_like(distance)[None, None]
        if self.alibi:
            heads = torch.arange(1, self.n_head + 1, dtype=torch.float32, device=like.device)
            scores = -distance * torch.exp2(heads * (-8.0 / self.n_head)).reshape(1, -1, 1, 1)
        return scores.masked_fill(hidden, float("-inf")).to(like.dtype)

    def forward(self, x):
        batch, length, channels = x.shape
        split = (batch, length, self.n_head, channels // self.n_head)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask(length, q))
        return x + self.out(attended.transpose(1, 2).reshape(batch, length, channels))
