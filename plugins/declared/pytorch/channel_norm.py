class ChannelNorm(nn.Module):
    """Layer norm, or RMS norm where it is not centred, over the channels of each position"""

    def __init__(self, channels, eps, sequence, centred=True):
        super().__init__()
        self.eps, self.sequence, self.centred = eps, sequence, centred
        self.weight = nn.Parameter(torch.ones(channels))
        if centred:
            self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = x if self.sequence else x.permute(0, 2, 3, 1)
        if self.centred:
            x = F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        else:
            x = F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return x if self.sequence else x.permute(0, 3, 1, 2)
