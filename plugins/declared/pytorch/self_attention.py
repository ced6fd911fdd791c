class SelfAttention(nn.Module):
    """Attention of the positions of a sequence to each other"""

    def __init__(self, channels, heads, causal, bias):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Parameter(torch.empty(3 * channels, channels))
        self.out = nn.Parameter(torch.empty(channels, channels))
        self.qkv_bias = nn.Parameter(torch.zeros(3 * channels)) if bias else None
        self.out_bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x):
        batch, length, channels = x.shape
        split = (batch, length, 3, self.heads, channels // self.heads)
        query, key, value = F.linear(x, self.qkv, self.qkv_bias).view(split).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return F.linear(mixed.transpose(1, 2).reshape(batch, length, channels), self.out, self.out_bias)
