// Batch normalisation with the statistics of all ranks. Source: Ioffe and Szegedy 2015, with mean and variance
// over the batches of all ranks, as torch.nn.SyncBatchNorm.
#include "rank_sums.h"
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/ops/batch_norm_backward_elemt.h>
#include <ATen/ops/batch_norm_backward_reduce.h>
#include <ATen/ops/batch_norm_elemt.h>
#include <ATen/ops/batch_norm_native.h>
#include <ATen/ops/batch_norm_stats.h>
#include <ATen/ops/instance_norm_native.h>
#include <atomic>
#include <memory>
#include <c10/util/ScopeExit.h>
#include <mutex>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// How this thread's training steps sum over all ranks; null outside of them.
thread_local kte::RankSumsPtr active;
// Null without a GPU.
std::atomic<kte::FusedBatchNorm> fused{nullptr};

std::vector<int64_t> all_but_channels(const at::Tensor &x) {
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < x.dim(); ++d)
    if (d != 1) dims.push_back(d);
  return dims;
}

// A vector over the channels, in a shape that is broadcast over `x`.
at::Tensor per_channel(const at::Tensor &vector, const at::Tensor &x) {
  std::vector<int64_t> shape(x.dim(), 1);
  shape[1] = vector.numel();
  return vector.view(shape);
}

std::optional<at::Tensor> optional(const at::Tensor &t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                            at::Tensor running_mean, at::Tensor running_var, double momentum, double eps,
                            const kte::RankSumsPtr &ranks) {
    auto channels = x.size(1);
    auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    auto samples = double(x.numel() / std::max<int64_t>(channels, 1));
    // One message per layer: the sums and the sums of squares around a shift that all ranks know, and the count.
    auto vector = x.options().dtype(wide).memory_format(at::MemoryFormat::Contiguous);
    auto shift = running_mean.defined() ? running_mean.to(wide).clone() : at::zeros({channels}, vector);
    auto message = at::empty({2 * channels + 1}, vector);
    auto sums = message.narrow(0, 0, channels), squares = message.narrow(0, channels, channels);
    if (x.is_cuda()) {
      auto [mean, invstd] = at::batch_norm_stats(x, eps);
      auto from_shift = mean - shift;
      sums.copy_(from_shift * samples);
      squares.copy_((invstd.pow(-2) - eps + from_shift.square()) * samples);
    } else {
      auto centred = x.to(wide) - per_channel(shift, x);
      sums.copy_(centred.sum(all_but_channels(x)));
      squares.copy_(centred.square().sum(all_but_channels(x)));
    }
    message.narrow(0, 2 * channels, 1).fill_(samples);
    message.mul_(ranks->present);
    ranks->run(message);
    auto count = message.narrow(0, 2 * channels, 1);
    auto offset = sums / count;
    auto var = (squares / count - offset.square()).clamp_min(0);
    auto mean = offset + shift;
    auto invstd = (var + eps).rsqrt();
    if (running_mean.defined()) {
      auto unbiased = var * (count / (count - 1).clamp_min(1));
      running_mean.mul_(1 - momentum).add_(mean.to(running_mean.scalar_type()), momentum);
      running_var.mul_(1 - momentum).add_(unbiased.to(running_var.scalar_type()), momentum);
    }
    at::Tensor y;
    if (x.is_cuda()) {
      y = at::batch_norm_elemt(x, optional(weight), optional(bias), mean, invstd, eps);
    } else {
      auto scale = weight.defined() ? invstd * weight.to(wide) : invstd;
      auto base = bias.defined() ? bias.to(wide) - mean * scale : -mean * scale;
      y = at::addcmul(per_channel(base, x), x.to(wide), per_channel(scale, x)).to(x.scalar_type());
    }
    ctx->save_for_backward({x, weight, bias, mean, invstd, count});
    ctx->saved_data["ranks"] = c10::IValue::make_capsule(ranks);
    return y.contiguous(x.suggest_memory_format());
  }

  // The backward pass by the kernels of SyncBatchNorm.
  static variable_list on_gpu(AutogradContext &ctx, const at::Tensor &gradient, const variable_list &saved,
                              const kte::RankSums &ranks) {
    auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &invstd = saved[4], &count = saved[5];
    auto dy = gradient.contiguous(x.suggest_memory_format());
    // The gradients of weight and bias are those of this rank: all gradients are summed over the ranks later.
    auto [sum, sum_centred, dweight, dbias] = at::batch_norm_backward_reduce(
        dy, x, mean, invstd, optional(weight), true, weight.defined(), bias.defined());
    at::Tensor dx;
    if (ctx.needs_input_grad(0)) {
      auto message = at::cat({sum, sum_centred});
      ranks.run(message);
      // A rank that is left out has no part in the statistics, and none in their gradient.
      message.mul_(ranks.present);
      auto channels = x.size(1);
      dx = at::batch_norm_backward_elemt(dy, x, mean, invstd, optional(weight), message.narrow(0, 0, channels),
                                         message.narrow(0, channels, channels), count.to(at::kInt));
    }
    return {dx, dweight, dbias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &invstd = saved[4], &count = saved[5];
    auto ranks = c10::static_intrusive_pointer_cast<kte::RankSums>(ctx->saved_data["ranks"].toCapsule());
    auto channels = x.size(1);
    if (x.is_cuda()) return on_gpu(*ctx, gradients[0], saved, *ranks);
    auto dims = all_but_channels(x);
    auto wide = mean.scalar_type();
    auto dy = gradients[0].to(wide);
    auto normed = (x.to(wide) - per_channel(mean, x)) * per_channel(invstd, x);
    auto message = at::empty({2 * channels}, mean.options());
    auto dbias = message.narrow(0, 0, channels), dscale = message.narrow(0, channels, channels);
    dbias.copy_(dy.sum(dims));
    dscale.copy_((dy * normed).sum(dims));
    // The gradients of weight and bias are those of this rank: all gradients are summed over the ranks later.
    at::Tensor dweight, db;
    if (weight.defined()) dweight = dscale.to(weight.scalar_type(), false, true);
    if (bias.defined()) db = dbias.to(bias.scalar_type(), false, true);
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      ranks->run(message);
      auto scale = weight.defined() ? invstd * weight.to(wide) : invstd;
      auto rest = (per_channel(dbias / count, x) + normed * per_channel(dscale / count, x));
      // A rank that is left out has no part in the statistics, and none in their gradient.
      dx = ((dy - rest * ranks->present) * per_channel(scale, x)).to(x.scalar_type());
      dx = dx.contiguous(x.suggest_memory_format());
    }
    return {dx, dweight, db, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// aten::batch_norm for ranks: synchronised in a training step, otherwise as libtorch computes it.
at::Tensor batch_norm(const at::Tensor &x, const std::optional<at::Tensor> &weight, const std::optional<at::Tensor> &bias,
                      const std::optional<at::Tensor> &mean, const std::optional<at::Tensor> &var, bool training,
                      double momentum, double eps, bool cudnn) {
  auto ranks = active;
  if (!ranks || !training || x.dim() < 2)
    return at::native::batch_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn);
  if (auto call = fused.load(); call && x.is_cuda() && weight && bias && mean && var) {
    at::Tensor *out = nullptr;
    TORCH_CHECK(call(&x, &*weight, &*bias, &*mean, &*var, eps, momentum, false, false, ranks->sum, ranks->context,
                     &ranks->present, &out) == 0,
                "the batch normalisation of several ranks cannot be launched");
    // Null if the kernels do not support the inputs.
    if (std::unique_ptr<at::Tensor> held{out}) return *held;
  }
  auto or_none = [](const std::optional<at::Tensor> &t) { return t ? *t : at::Tensor(); };
  return SyncBatchNorm::apply(x, or_none(weight), or_none(bias), or_none(mean), or_none(var), momentum, eps, ranks);
}

// aten::instance_norm, which is computed by aten::batch_norm of a single sample: its statistics are those of each
// sample, so no rank has a part in another's.
at::Tensor instance_norm(const at::Tensor &x, const std::optional<at::Tensor> &weight,
                         const std::optional<at::Tensor> &bias, const std::optional<at::Tensor> &mean,
                         const std::optional<at::Tensor> &var, bool training, double momentum, double eps, bool cudnn) {
  auto outside = std::exchange(active, {});
  auto leave = c10::make_scope_exit([&] { active = std::move(outside); });
  return at::native::instance_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn);
}

// Replaces aten::batch_norm and aten::instance_norm in this process, which costs other calls one function call.
void install() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (auto key : {c10::DispatchKey::AutogradCPU, c10::DispatchKey::AutogradCUDA}) {
      static std::vector<std::unique_ptr<torch::Library>> libraries;
      libraries.push_back(std::make_unique<torch::Library>(torch::Library::IMPL, "aten", key, __FILE__, __LINE__));
      libraries.back()->impl("batch_norm", TORCH_FN(batch_norm));
      libraries.back()->impl("instance_norm", TORCH_FN(instance_norm));
    }
  });
}
} // namespace

extern "C" {
// From now on, batch normalisation of this thread's training steps sums over all ranks by `sum`. Writes the
// previous setting to `before`. `on_gpu` may be null.
int kte_batch_norm_sync(kte::SumFn sum, void *context, const at::Tensor *present, kte::FusedBatchNorm on_gpu,
                        void **before) {
  KTE_GUARD({
    install();
    fused = on_gpu;
    *before = new kte::RankSumsPtr(active);
    active = c10::make_intrusive<kte::RankSums>(sum, context, *present);
  })
}

void kte_batch_norm_leave(void *before) {
  auto *held = static_cast<kte::RankSumsPtr *>(before);
  active = std::move(*held);
  delete held;
}
}
