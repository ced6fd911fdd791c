// Parameters of one owner with their optimizer state, for one fused call per step. The CPU and the GPU half
// use it.
#pragma once
#include <ATen/ATen.h>
#include <optional>
#include <vector>

namespace kte {
using Tensors = std::vector<at::Tensor>;

struct Group {
  Tensors params, first, second, steps;
  at::Tensor all_steps, found_inf, one;
  // Gradients of the current step. The vector is reused to avoid allocations.
  Tensors grads;
  // Whether the current step is skipped; empty if only the device knows.
  std::optional<bool> skips;

  // Sets all gradients to undefined.
  void done() {
    grads.clear();
    for (auto &p : params) p.mutable_grad().reset();
  }
};
} // namespace kte
