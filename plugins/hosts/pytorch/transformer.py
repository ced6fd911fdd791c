class TransformerBlock(nn.Module):
    """Causal attention and a feed-forward layer, each behind a layer norm and beside a shortcut"""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def attend(self, x):
        batch, length, width = x.shape
        split = (batch, length, 3, self.heads, width // self.heads)
        query, key, value = self.qkv(x).view(split).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.project(heads.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x):
        x = x + F.dropout(self.attend(self.norm1(x)), self.dropout, self.training)
        inner = F.gelu(self.widen(self.norm2(x)))
        return x + F.dropout(self.narrow(inner), self.dropout, self.training)


class Transformer(nn.Module):
    """A decoder in the style of GPT-2, a slot after each block, with a head tied to the token embedding"""

    def __init__(
        self, slots, vocab_size=50257, n_embd=384, n_head=6, n_layer=6, block_size=256, dropout=0.1
    ):
        super().__init__()
        self.names = [f"block{i}" for i in range(n_layer)]
        self.block_size, self.dropout = block_size, dropout
        self.tokens = nn.Parameter(torch.empty(vocab_size, n_embd))
        self.positions = nn.Parameter(torch.empty(block_size, n_embd))
        for i in range(n_layer):
            self.add_module(f"block{i}", TransformerBlock(n_embd, n_head, dropout))
        self.norm = nn.LayerNorm(n_embd)
        self.slots = slots

    def forward(self, x):
        x = F.embedding(x, self.tokens) + self.positions[: x.shape[1]]
        x = F.dropout(x, self.dropout, self.training)
        # Entries of these dictionaries are found faster than attributes of a module.
        modules, slots = self._modules, self.slots._modules
        for name in self.names:
            x = modules[name](x)
            if name in slots:
                x = slots[name](x)
        return F.linear(self.norm(x), self.tokens)
