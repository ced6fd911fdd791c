// Shared by the files about tracing.
#pragma once
#include "script.h"

namespace kte {
// Called with an index and a tensor that it owns; returns a tensor, or null to end the forward.
using Callback = at::Tensor *(*)(void *, int64_t, at::Tensor *);

// Traces a function that uses the parameters of a module. Its graph has the inputs `self` and `x`.
std::shared_ptr<torch::jit::Graph> trace(torch::jit::Module &module, const at::Tensor &x, Callback callback,
                                         void *context);
} // namespace kte
