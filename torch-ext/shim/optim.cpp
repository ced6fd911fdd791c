// Fused optimizer steps and gradient norms, over the parameters that have gradients.
#include "optim.h"
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <algorithm>
#include <optional>
#include <vector>

namespace {
using kte::Group;
using kte::Tensors;

Tensors list(at::Tensor *const *handles, size_t n) {
  Tensors all;
  all.reserve(n);
  for (size_t i = 0; i < n; ++i) all.push_back(*handles[i]);
  return all;
}

// Collects the gradients and returns whether every parameter has one.
bool collect(Group &group) {
  group.grads.clear();
  for (auto &p : group.params)
    if (auto &g = p.mutable_grad(); g.defined()) group.grads.push_back(g);
  return group.grads.size() == group.params.size();
}

// Returns the entries of `all` whose parameters have a gradient.
Tensors chosen(const Group &group, const Tensors &all) {
  Tensors some;
  if (all.empty()) return some;
  for (size_t i = 0; i < group.params.size(); ++i)
    if (group.params[i].grad().defined()) some.push_back(all[i]);
  return some;
}

// Infinities and NaNs have all exponent bits set. Integer operations without a branch, so that compilers
// vectorise the loop.
template <typename Bits> __attribute__((optimize("O3"))) bool finite(const at::Tensor &t, Bits exponent) {
  auto at = static_cast<const Bits *>(t.const_data_ptr());
  Bits bad = 0;
  for (int64_t i = 0, n = t.numel(); i < n; ++i) bad |= Bits((at[i] & exponent) == exponent);
  return bad == 0;
}

bool finite(const at::Tensor &t) {
  return t.scalar_type() == at::kFloat ? finite<uint32_t>(t, 0x7f800000u) : finite<uint64_t>(t, 0x7ff0000000000000u);
}

// Whether all gradients are finite, checked on the CPU; empty if they are not dense CPU tensors of float32
// or float64.
std::optional<bool> finite_on_host(const Group &group) {
  for (auto &g : group.grads) {
    bool known = g.scalar_type() == at::kFloat || g.scalar_type() == at::kDouble;
    if (!g.is_cpu() || !known || !g.is_non_overlapping_and_dense()) return std::nullopt;
  }
  for (auto &g : group.grads)
    if (!finite(g)) return false;
  return true;
}

// Runs the algorithm on the parameters that have a gradient, and sets the gradients to undefined.
template <typename Algorithm> void step(Group &group, Algorithm body) {
  bool all = collect(group);
  if (!group.grads.empty()) {
    auto here = finite_on_host(group);
    if (here) {
      if (!*here) group.found_inf.fill_(1.0);
    } else {
      // Sets found_inf to 1 if any gradient is not finite, by one multi-tensor kernel without a host sync.
      at::_amp_foreach_non_finite_check_and_unscale_(group.grads, group.found_inf, group.one);
    }
    group.skips = here ? std::optional<bool>(!*here) : std::nullopt;
    if (here && !*here) {
      // The step is skipped, as the fused call would skip it.
    } else if (all) {
      body(group.params, group.first, group.second, group.steps, true);
    } else {
      auto p = chosen(group, group.params), m = chosen(group, group.first);
      auto v = chosen(group, group.second), t = chosen(group, group.steps);
      body(p, m, v, t, false);
    }
  }
  group.done();
}
} // namespace

namespace {
// The flag that makes the fused call skip its update; empty if the host has checked the gradients already.
std::optional<at::Tensor> flag(const Group &group) {
  return group.skips ? std::nullopt : std::optional<at::Tensor>(group.found_inf);
}

// The address of a single float on the CPU, which is accessed without an operator; null for other tensors.
float *number(const at::Tensor &t) {
  return t.is_cpu() && t.scalar_type() == at::kFloat && t.numel() == 1 ? t.data_ptr<float>() : nullptr;
}
} // namespace

extern "C" {
// Creates a group of n parameters. `first` and `second` are the buffers of the state. They may be null, as
// may the step counters `steps`, which are views of `all_steps`.
int kte_group_new(at::Tensor *const *params, at::Tensor *const *first, at::Tensor *const *second,
                  at::Tensor *const *steps, const at::Tensor *all_steps, size_t n, const at::Tensor *found_inf,
                  const at::Tensor *one, void **out) {
  KTE_GUARD({
    auto group = std::make_unique<Group>();
    group->params = list(params, n);
    if (first) group->first = list(first, n);
    if (second) group->second = list(second, n);
    if (steps) group->steps = list(steps, n);
    if (all_steps) group->all_steps = *all_steps;
    group->found_inf = *found_inf, group->one = *one;
    group->grads.reserve(n);
    *out = group.release();
  })
}

// Returns a hash of the parameters' addresses and requires_grad flags, which a captured step depends on.
uint64_t kte_group_fingerprint(const void *group) {
  uint64_t all = 1469598103934665603u;
  for (auto &p : static_cast<const Group *>(group)->params) {
    uint64_t one = reinterpret_cast<uintptr_t>(p.unsafeGetTensorImpl()->storage().data()) + p.storage_offset();
    all = (all ^ (one << 1 | uint64_t(p.requires_grad()))) * 1099511628211u;
  }
  return all;
}

void kte_group_free(void *group) { delete static_cast<Group *>(group); }

// One SGD step over the parameters that have a gradient; sets the gradients to undefined.
// Momentum buffers start at zero, so the first step needs no special case (dampening is 0).
int kte_sgd_step(void *group, const at::Tensor *lr, double momentum, double weight_decay, bool nesterov) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto &mine = *static_cast<Group *>(group);
    step(mine, [&](Tensors &p, Tensors &m, Tensors &, Tensors &, bool) {
      at::_fused_sgd_(p, mine.grads, m, weight_decay, momentum, *lr, 0.0, nesterov, false, false, std::nullopt,
                      flag(mine));
    });
  })
}

// One AdamW step over the parameters that have a gradient; sets the gradients to undefined.
int kte_adamw_step(void *group, const at::Tensor *lr, double beta1, double beta2, double weight_decay, double eps) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto &mine = *static_cast<Group *>(group);
    step(mine, [&](Tensors &p, Tensors &m, Tensors &v, Tensors &t, bool all) {
      // A skipped step is not counted. If all counters change, one operation changes all of them.
      if (mine.skips && all) {
        mine.all_steps.add_(1.0);
      } else {
        auto by = at::rsub(mine.found_inf, 1.0);
        if (all) mine.all_steps.add_(by);
        else for (auto &step : t) step.add_(by);
      }
      at::_fused_adamw_(p, mine.grads, m, v, {}, t, *lr, beta1, beta2, weight_decay, eps, false, false, std::nullopt,
                        flag(mine));
    });
  })
}

// The found_inf flags of all groups, cleared before a step and added to the numbers of skipped steps after
// it.
struct Flags {
  Tensors found, skipped;

  // Whether all numbers are on the CPU.
  bool on_host() const {
    auto on_cpu = [](const at::Tensor &t) { return number(t) != nullptr; };
    return std::all_of(found.begin(), found.end(), on_cpu) && std::all_of(skipped.begin(), skipped.end(), on_cpu);
  }
};

int kte_flags_new(at::Tensor *const *found, at::Tensor *const *skipped, size_t n, void **out) {
  KTE_GUARD({ *out = new Flags{list(found, n), list(skipped, n)}; })
}

void kte_flags_free(void *flags) { delete static_cast<Flags *>(flags); }

int kte_flags_lower(void *flags) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto &mine = *static_cast<Flags *>(flags);
    if (mine.on_host()) {
      for (auto &found : mine.found) *number(found) = 0;
    } else if (!mine.found.empty()) {
      at::_foreach_zero_(mine.found);
    }
  })
}

int kte_flags_count(void *flags) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto &mine = *static_cast<Flags *>(flags);
    if (mine.on_host()) {
      for (size_t i = 0; i < mine.found.size(); ++i) *number(mine.skipped[i]) += *number(mine.found[i]);
    } else if (!mine.found.empty()) {
      at::_foreach_add_(mine.skipped, mine.found);
    }
  })
}

int kte_zero_grad(at::Tensor **params, size_t n) {
  KTE_GUARD({ for (size_t i = 0; i < n; ++i) params[i]->mutable_grad().reset(); })
}

// Writes the joint L2 norm of the gradients as a 0-dimensional tensor on their device; null if there are no
// gradients.
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
