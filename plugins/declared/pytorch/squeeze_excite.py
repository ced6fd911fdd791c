class SqueezeExcite(nn.Module):
    """x * 2 * sigmoid(excite(gelu(squeeze(mean(x)))))"""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.squeeze = nn.Parameter(torch.empty(squeezed, channels))
        self.squeeze_bias = nn.Parameter(torch.zeros(squeezed))
        self.excite = nn.Parameter(torch.zeros(channels, squeezed))
        self.excite_bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        squeezed = F.gelu(F.linear(x.mean((2, 3)), self.squeeze, self.squeeze_bias))
        excited = F.linear(squeezed, self.excite, self.excite_bias)
        return x * (2 * torch.sigmoid(excited))[:, :, None, None]
