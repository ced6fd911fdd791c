// Fused optimizer steps and gradient norms over parameters that have gradients.
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <optional>
#include <vector>

namespace {
using Tensors = std::vector<at::Tensor>;

// Raises found_inf to 1 if any gradient is not finite; one multi-tensor kernel, nothing read on the host.
void flag_non_finite(Tensors &grads, at::Tensor &found_inf, const at::Tensor &one) {
  at::_amp_foreach_non_finite_check_and_unscale_(grads, found_inf, one);
}

// The step counters of one group are views of one tensor; the ones that move get one operation when all move.
void advance_steps(at::Tensor &all, Tensors &moving, size_t total, const at::Tensor &found_inf) {
  auto by = at::rsub(found_inf, 1.0);
  if (moving.size() == total) {
    all.add_(by);
  } else {
    for (auto &step : moving) step.add_(by);
  }
}
} // namespace

extern "C" {
// One SGD step over the n parameters that have a gradient; clears the gradients.
// Momentum buffers start at zero, so the first step needs no special case (dampening is 0).
int kte_sgd_step(at::Tensor **params, at::Tensor **momenta, size_t n, const at::Tensor *lr, double momentum,
                 double weight_decay, bool nesterov, at::Tensor *found_inf, const at::Tensor *one,
                 at::Tensor *skipped) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    Tensors p, g, m;
    p.reserve(n), g.reserve(n), m.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      auto &grad = params[i]->mutable_grad();
      if (!grad.defined()) continue;
      p.push_back(*params[i]), g.push_back(grad);
      if (momentum != 0) m.push_back(*momenta[i]);
    }
    if (!p.empty()) {
      found_inf->zero_();
      flag_non_finite(g, *found_inf, *one);
      at::_fused_sgd_(p, g, m, weight_decay, momentum, *lr, 0.0, nesterov, false, false, std::nullopt, *found_inf);
      skipped->add_(*found_inf);
    }
    for (size_t i = 0; i < n; ++i) params[i]->mutable_grad().reset();
  })
}

// One AdamW step over the n parameters that have a gradient; clears the gradients.
int kte_adamw_step(at::Tensor **params, at::Tensor **first, at::Tensor **second, at::Tensor **steps,
                   at::Tensor *all_steps, size_t n, const at::Tensor *lr, double beta1, double beta2,
                   double weight_decay, double eps, at::Tensor *found_inf, const at::Tensor *one,
                   at::Tensor *skipped) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    Tensors p, g, m, v, t;
    p.reserve(n), g.reserve(n), m.reserve(n), v.reserve(n), t.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      auto &grad = params[i]->mutable_grad();
      if (!grad.defined()) continue;
      p.push_back(*params[i]), g.push_back(grad), m.push_back(*first[i]), v.push_back(*second[i]);
      t.push_back(*steps[i]);
    }
    if (!p.empty()) {
      found_inf->zero_();
      flag_non_finite(g, *found_inf, *one);
      advance_steps(*all_steps, t, n, *found_inf);
      at::_fused_adamw_(p, g, m, v, {}, t, *lr, beta1, beta2, weight_decay, eps, false, false, std::nullopt,
                        *found_inf);
      skipped->add_(*found_inf);
    }
    for (size_t i = 0; i < n; ++i) params[i]->mutable_grad().reset();
  })
}

int kte_zero_grad(at::Tensor **params, size_t n) {
  KTE_GUARD({ for (size_t i = 0; i < n; ++i) params[i]->mutable_grad().reset(); })
}

// The joint L2 norm of the gradients as a 0-dim tensor on their device; null when there are none.
int kte_grad_norm(at::Tensor **params, size_t n, at::Tensor **out) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    Tensors g;
    g.reserve(n);
    for (size_t i = 0; i < n; ++i) {
      auto &grad = params[i]->mutable_grad();
      if (!grad.defined()) continue;
      g.push_back(grad);
    }
    *out = g.empty() ? nullptr : new at::Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(g, 2.0)), 2.0));
  })
}
}
