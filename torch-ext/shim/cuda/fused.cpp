// Fused layers: the kernels of kernels.cu as autograd functions.
#include "../rank_sums.h"
#include "program.h"
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {
using at::Tensor;
using kte::kThreads;
using kte::Launch;
using kte::RankSumsPtr;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void *at_(const Tensor &t) { return t.data_ptr(); }
float *floats(const Tensor &t) { return t.data_ptr<float>(); }
Tensor make_floats(const Tensor &like, at::IntArrayRef shape) { return at::empty(shape, like.options().dtype(at::kFloat)); }

// Launch shape of a batch norm's kernels over `pixels` pixels, with at most `most` blocks.
struct Blocks {
  int lanes, threads, rows;
  dim3 grid;
  size_t shared;
  Blocks(int64_t channels, int64_t pixels, int64_t most) {
    lanes = int(channels / 4);
    rows = std::max(1, kThreads / lanes);
    threads = rows * lanes;
    grid = dim3(unsigned(std::min<int64_t>((pixels + rows - 1) / rows, most)));
    shared = 2 * threads * sizeof(float4);
  }
};
// Limits on the blocks of kernels that sum and of elementwise kernels: a few blocks per multiprocessor (an
// H100 has 132) hide latency, and few blocks keep the sum over their partial results short.
constexpr int64_t kSumming = 132 * 6, kMoving = 132 * 32;

// Kernels load four numbers at a time, which requires 16-byte alignment.
Tensor aligned(const Tensor &t) { return reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0 ? t : t.clone(); }

Tensor packed(const Tensor &t, const Tensor &like) {
  return aligned(t.to(like.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast));
}

void no_second_derivative() {
  TORCH_CHECK(!c10::GradMode::is_enabled(), "a fused layer has no second derivative; run it on contiguous features");
}

// Which layers follow a batch norm.
struct After {
  bool relu, pool;
};

struct BatchNorm : torch::autograd::Function<BatchNorm> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight, const Tensor &bias,
                        const Tensor &running_mean, const Tensor &running_var, double eps, double momentum, After after,
                        const RankSumsPtr &ranks) {
    bool pool = after.pool;
    auto n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
    auto pixels = n * h * w, outputs = pool ? pixels / 4 : pixels;
    auto mean = make_floats(x, {c}), invstd = make_floats(x, {c});
    auto out = at::empty({n, c, pool ? h / 2 : h, pool ? w / 2 : w}, x.options(), at::MemoryFormat::ChannelsLast);
    Launch run(x);
    Blocks sums(c, pixels, kSumming), moves(c, outputs, kMoving);
    auto partial = make_floats(x, {2 * int64_t(sums.grid.x), c});
    run("bn_sums", sums.grid, sums.threads, sums.shared, at_(x), at_(partial), int(pixels), sums.lanes);
    Tensor message;
    if (ranks) {
      message = make_floats(x, {2 * c + 1});
      run("bn_message", dim3(unsigned(c)), 128, 0, at_(x), floats(partial), int(sums.grid.x), int(c), int(pixels),
          floats(running_mean), floats(ranks->present), floats(message));
      ranks->run(message);
      run("bn_statistics_of_ranks", dim3(unsigned((c + 127) / 128)), 128, 0, floats(message), int(c), float(eps),
          float(momentum), floats(mean), floats(invstd), floats(running_mean), floats(running_var));
      context->saved_data["ranks"] = c10::IValue::make_capsule(ranks);
    } else {
      run("bn_statistics", dim3(unsigned(c)), 128, 0, at_(x), floats(partial), int(sums.grid.x), int(c), int(pixels),
          float(eps), float(momentum), floats(mean), floats(invstd), floats(running_mean), floats(running_var));
    }
    run("bn_forward", moves.grid, moves.threads, 0, at_(x), floats(mean), floats(invstd), floats(weight), floats(bias),
        at_(out), (long long)outputs, moves.lanes, int(w), int(pool), int(after.relu));
    context->save_for_backward({x, weight, bias, mean, invstd, message});
    context->saved_data["pool"] = pool;
    context->saved_data["relu"] = after.relu;
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    no_second_derivative();
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &invstd = saved[4];
    RankSumsPtr ranks;
    if (context->saved_data.count("ranks"))
      ranks = c10::static_intrusive_pointer_cast<kte::RankSums>(context->saved_data["ranks"].toCapsule());
    c10::cuda::CUDAGuard guard(x.device());
    bool pool = context->saved_data["pool"].toBool(), relu = context->saved_data["relu"].toBool();
    auto c = x.size(1), w = x.size(3), pixels = x.size(0) * x.size(2) * w, outputs = pool ? pixels / 4 : pixels;
    auto gradient = packed(gradients[0], x);
    auto of_weight = make_floats(x, {c}), of_bias = make_floats(x, {c});
    auto back = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
    Launch run(x);
    Blocks sums(c, outputs, kSumming), moves(c, outputs, kMoving);
    auto partial = make_floats(x, {2 * int64_t(sums.grid.x), c});
    run("bn_backward_sums", sums.grid, sums.threads, sums.shared, at_(x), at_(gradient), floats(mean), floats(invstd),
        floats(weight), floats(bias), at_(partial), (long long)outputs, sums.lanes, int(w), int(pool), int(relu));
    // The gradients of weight and bias are those of this rank: all gradients are summed over the ranks later.
    Tensor message;
    if (ranks) message = make_floats(x, {2, c});
    float *to_ranks = ranks ? floats(message) : nullptr;
    run("bn_backward_finish", dim3(unsigned(c)), 128, 0, floats(partial), int(sums.grid.x), int(c), floats(of_weight),
        floats(of_bias), to_ranks);
    if (ranks) ranks->run(message);
    float *dot = ranks ? to_ranks + c : floats(of_weight), *sum = ranks ? to_ranks : floats(of_bias);
    const float *count = ranks ? floats(saved[5]) + 2 * c : nullptr, *present = ranks ? floats(ranks->present) : nullptr;
    run("bn_backward", moves.grid, moves.threads, 0, at_(x), at_(gradient), floats(mean), floats(invstd),
        floats(weight), floats(bias), dot, sum, at_(back), (long long)outputs, moves.lanes, int(w), int(pool),
        int(relu), 1.0f / float(pixels), count, present);
    return {back, of_weight, of_bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct NormResidual : torch::autograd::Function<NormResidual> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &branch, const Tensor &weight,
                        const Tensor &bias, const Tensor &gain, int64_t groups, double eps) {
    auto n = x.size(0), c = x.size(1), pixels = x.size(2) * x.size(3);
    auto mean = make_floats(x, {n * groups}), rstd = make_floats(x, {n * groups});
    auto out = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
    Launch run(x);
    run("gn_forward", dim3(unsigned(n), unsigned(groups)), kThreads, 0, at_(x), at_(branch), floats(weight),
        floats(bias), floats(gain), at_(out), floats(mean), floats(rstd), int(pixels), int(c / groups / 4), int(c / 4),
        float(eps));
    context->save_for_backward({branch, weight, bias, gain, mean, rstd});
    context->saved_data["groups"] = groups;
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    no_second_derivative();
    auto saved = context->get_saved_variables();
    auto &branch = saved[0], &weight = saved[1], &bias = saved[2], &gain = saved[3], &mean = saved[4], &rstd = saved[5];
    c10::cuda::CUDAGuard guard(branch.device());
    auto groups = context->saved_data["groups"].toInt();
    auto n = branch.size(0), c = branch.size(1), pixels = branch.size(2) * branch.size(3);
    auto gradient = packed(gradients[0], branch);
    auto back = at::empty_like(branch, branch.options(), at::MemoryFormat::ChannelsLast);
    auto partial = make_floats(branch, {3, n, c}), sums = make_floats(branch, {3, c});
    Launch run(branch);
    run("gn_backward", dim3(unsigned(n), unsigned(groups)), kThreads, 2 * kThreads * sizeof(float4), at_(gradient),
        at_(branch), floats(weight), floats(bias), floats(gain), floats(mean), floats(rstd), at_(back), at_(partial),
        int(pixels), int(c / groups / 4), int(c / 4));
    run("over_samples", dim3(unsigned((c + 31) / 32), 3), 256, 0, floats(partial), floats(sums), int(n), int(c));
    // The gradient of the residual path is the incoming gradient, without a copy.
    return {gradients[0], back, sums[1], sums[2], sums[0].view(gain.sizes()), Tensor(), Tensor()};
  }
};

struct MeanLinear : torch::autograd::Function<MeanLinear> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight, const Tensor &bias) {
    auto n = x.size(0), c = x.size(1), pixels = x.size(2) * x.size(3), outputs = weight.size(0);
    auto mean = make_floats(x, {n, c}), out = make_floats(x, {n, outputs});
    Launch run(x);
    run("head_forward", dim3(unsigned(n)), kThreads, 2 * kThreads * sizeof(float4), at_(x), floats(weight),
        floats(bias), floats(mean), floats(out), int(pixels), int(c / 4), int(outputs));
    context->save_for_backward({weight, mean});
    context->saved_data["like"] = at::empty({0}, x.options());
    context->saved_data["size"] = x.sizes().vec();
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    no_second_derivative();
    auto saved = context->get_saved_variables();
    auto &weight = saved[0], &mean = saved[1];
    c10::cuda::CUDAGuard guard(mean.device());
    auto like = context->saved_data["like"].toTensor();
    auto size = context->saved_data["size"].toIntVector();
    auto gradient = gradients[0].contiguous();
    auto n = size[0], c = size[1], pixels = size[2] * size[3], outputs = weight.size(0);
    auto back = at::empty(size, like.options(), at::MemoryFormat::ChannelsLast);
    auto of_weight = at::empty_like(weight), of_bias = make_floats(mean, {outputs});
    Launch run(like);
    run("head_backward", dim3(unsigned(n)), kThreads, kThreads * sizeof(float4), floats(gradient), floats(weight),
        at_(back), int(pixels), int(c / 4), int(outputs));
    run("head_weights", dim3(unsigned((c + 31) / 32), unsigned(outputs)), 256, 0, floats(gradient), floats(mean),
        floats(of_weight), floats(of_bias), int(n), int(c), int(outputs));
    return {back, of_weight, of_bias};
  }
};

struct Lerp : torch::autograd::Function<Lerp> {
  static dim3 grid(int64_t packs) {
    return dim3(unsigned(std::min<int64_t>((packs + kThreads - 1) / kThreads, kMoving)));
  }
  static Tensor forward(AutogradContext *context, const Tensor &host, const Tensor &seed, const Tensor &alpha) {
    auto out = at::empty_like(host);
    auto packs = host.numel() / 4;
    Launch run(host);
    run("lerp_forward", grid(packs), kThreads, 0, at_(host), at_(seed), floats(alpha), at_(out), (long long)packs);
    context->save_for_backward({alpha});
    return out;
  }
  static variable_list backward(AutogradContext *context, variable_list gradients) {
    no_second_derivative();
    auto alpha = context->get_saved_variables()[0];
    // Any dense memory layout works, because both outputs get the layout of the gradient.
    auto gradient = aligned(gradients[0].is_non_overlapping_and_dense() ? gradients[0] : gradients[0].contiguous());
    c10::cuda::CUDAGuard guard(gradient.device());
    auto host = at::empty_like(gradient), seed = at::empty_like(gradient);
    auto packs = gradient.numel() / 4;
    Launch run(gradient);
    run("lerp_backward", grid(packs), kThreads, 0, at_(gradient), floats(alpha), at_(host), at_(seed), (long long)packs);
    return {host, seed, Tensor()};
  }
};

// ---- checks of the inputs ----

// Whether the kernels support a tensor of features.
bool io(const Tensor &t) {
  return t.is_cuda() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16) && t.numel() > 0 &&
         reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0 &&
         kte::has_kernels(t.get_device(), t.scalar_type() == at::kBFloat16);
}
bool features(const Tensor &t) {
  return t.dim() == 4 && io(t) && t.is_contiguous(at::MemoryFormat::ChannelsLast) && t.size(1) % 4 == 0 &&
         t.size(1) <= 4 * kThreads && t.numel() < (int64_t(1) << 40) && t.numel() / t.size(1) < (int64_t(1) << 31);
}
bool per_channel(const Tensor &t, const Tensor &x) {
  return t.is_cuda() && t.device() == x.device() && t.scalar_type() == at::kFloat && t.numel() == x.size(1) &&
         t.is_contiguous() && reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0;
}
bool alike(const Tensor &a, const Tensor &b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.device() == b.device();
}
} // namespace

extern "C" {
// Each function writes null to `out` if it does not support the inputs; the caller then composes the layer.

// `sum` adds the statistics over all ranks, of which this one takes part if `present` is 1; null for one rank.
int kte_fused_batch_norm(const Tensor *x, const Tensor *weight, const Tensor *bias, const Tensor *mean,
                         const Tensor *var, double eps, double momentum, bool relu, bool pool, kte::SumFn sum,
                         void *context, const Tensor *present, Tensor **out) {
  KTE_GUARD({
    *out = nullptr;
    bool even = !pool || (x->dim() == 4 && x->size(2) % 2 == 0 && x->size(3) % 2 == 0);
    if (!features(*x) || !even) return 0;
    for (auto *t : {weight, bias, mean, var})
      if (!per_channel(*t, *x)) return 0;
    RankSumsPtr ranks;
    if (sum) ranks = c10::make_intrusive<kte::RankSums>(sum, context, *present);
    c10::cuda::CUDAGuard guard(x->device());
    *out = new Tensor(BatchNorm::apply(*x, *weight, *bias, *mean, *var, eps, momentum, After{relu, pool}, ranks));
  })
}

int kte_fused_norm_residual(const Tensor *x, const Tensor *branch, const Tensor *weight, const Tensor *bias,
                            const Tensor *gain, int64_t groups, double eps, Tensor **out) {
  KTE_GUARD({
    *out = nullptr;
    if (!features(*x) || !features(*branch) || !alike(*x, *branch) || groups < 1 || groups > 65535) return 0;
    if (x->size(1) % (4 * groups) != 0) return 0;
    for (auto *t : {weight, bias, gain})
      if (!per_channel(*t, *x)) return 0;
    c10::cuda::CUDAGuard guard(x->device());
    *out = new Tensor(NormResidual::apply(*x, *branch, *weight, *bias, *gain, groups, eps));
  })
}

int kte_fused_mean_linear(const Tensor *x, const Tensor *weight, const Tensor *bias, Tensor **out) {
  KTE_GUARD({
    *out = nullptr;
    if (!features(*x) || x->size(0) > 2147483647 || weight->dim() != 2 || weight->size(1) != x->size(1)) return 0;
    if (weight->size(0) > 65535 || bias->dim() != 1 || bias->size(0) != weight->size(0)) return 0;
    for (auto *t : {weight, bias})
      if (t->device() != x->device() || t->scalar_type() != at::kFloat || !t->is_contiguous()) return 0;
    if (reinterpret_cast<uintptr_t>(weight->data_ptr()) % 16 != 0) return 0;
    c10::cuda::CUDAGuard guard(x->device());
    *out = new Tensor(MeanLinear::apply(*x, *weight, *bias));
  })
}

int kte_fused_lerp(const Tensor *host, const Tensor *seed, const Tensor *alpha, Tensor **out) {
  KTE_GUARD({
    *out = nullptr;
    if (!io(*host) || !io(*seed) || !alike(*host, *seed) || host->strides() != seed->strides()) return 0;
    if (!host->is_non_overlapping_and_dense() || host->numel() % 4 != 0) return 0;
    if (alpha->dim() != 0 || alpha->scalar_type() != at::kFloat || alpha->device() != host->device()) return 0;
    if (alpha->requires_grad()) return 0;
    c10::cuda::CUDAGuard guard(host->device());
    *out = new Tensor(Lerp::apply(*host, *seed, *alpha));
  })
}
}
