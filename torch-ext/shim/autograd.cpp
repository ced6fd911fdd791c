// The straight-through estimator as an autograd function that copies nothing, version counters, memory
// formats.
#include "shim.h"
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {
// Forward returns a view of the host's features; backward passes the same gradient to both inputs.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(torch::autograd::AutogradContext *, const at::Tensor &host, const at::Tensor &) {
    return host.view_as(host);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *,
                                                 torch::autograd::variable_list grad) {
    return {grad[0], grad[0]};
  }
};
} // namespace

extern "C" {
int kte_straight_through(const at::Tensor *host, const at::Tensor *seed, at::Tensor **out) {
  KTE_GUARD({
    TORCH_CHECK(host->sizes() == seed->sizes(), "straight-through: host features are ", host->sizes(),
                ", the seed made ", seed->sizes());
    TORCH_CHECK(host->scalar_type() == seed->scalar_type(), "straight-through: host features are ",
                host->scalar_type(), ", the seed made ", seed->scalar_type());
    *out = new at::Tensor(StraightThrough::apply(*host, *seed));
  })
}

int kte_version(const at::Tensor *tensor, uint32_t *out) {
  KTE_GUARD({ *out = static_cast<uint32_t>(tensor->_version()); })
}

int kte_is_channels_last(const at::Tensor *tensor, bool *out) {
  KTE_GUARD({ *out = tensor->dim() == 4 && tensor->is_contiguous(at::MemoryFormat::ChannelsLast); })
}

int kte_to_channels_last(const at::Tensor *tensor, at::Tensor **out) {
  KTE_GUARD({ *out = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast)); })
}
}
