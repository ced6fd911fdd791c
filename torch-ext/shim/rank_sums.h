// How layers add their statistics over all ranks.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

namespace kte {
// Replaces a tensor by its sum over all ranks; if that fails, writes the reason to a text of the given size and
// returns another number than 0.
using SumFn = int (*)(void *, at::Tensor *, char *, size_t);

// Kept by the autograd nodes of the layers until their backward.
struct RankSums : torch::CustomClassHolder {
  SumFn sum;
  void *context;
  // 1, or 0 if this rank's batch is left out; float, 0-dimensional.
  at::Tensor present;
  RankSums(SumFn sum, void *context, at::Tensor present) : sum(sum), context(context), present(std::move(present)) {}
  void run(at::Tensor &tensor) const {
    char why[512] = "";
    TORCH_CHECK(sum(context, &tensor, why, sizeof(why)) == 0, why);
  }
};
using RankSumsPtr = c10::intrusive_ptr<RankSums>;

// kte_fused_batch_norm of the GPU half.
using FusedBatchNorm = int (*)(const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias,
                               const at::Tensor *mean, const at::Tensor *var, double eps, double momentum, bool relu,
                               bool pool, SumFn sum, void *context, const at::Tensor *present, at::Tensor **out);
} // namespace kte
