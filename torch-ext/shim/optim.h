// One owner's parameters, laid out once for one fused call a step. Both halves of the shim see it.
#pragma once
#include <ATen/ATen.h>
#include <optional>
#include <vector>

namespace kte {
using Tensors = std::vector<at::Tensor>;

struct Group {
  Tensors params, first, second, steps;
  at::Tensor all_steps, found_inf, one;
  // Those of this step; the vector is kept for its memory.
  Tensors grads;
  // Whether this step is skipped, where the host knows.
  std::optional<bool> skips;

  void done() {
    grads.clear();
    for (auto &p : params) p.mutable_grad().reset();
  }
};
} // namespace kte
