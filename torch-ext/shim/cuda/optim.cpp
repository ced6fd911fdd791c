// One optimizer step of all groups: one check of the gradients and one update for all parameters.
#include "../optim.h"
#include "program.h"
#include <vector>

namespace {
using at::Tensor;

#include "table.h"
static_assert(sizeof(Table) <= 4000, "kernel parameters are limited to 4 KiB");

// Whether a tensor is float32 on the GPU with the device, shape and strides of another.
bool is_float_like(const Tensor &t, const Tensor &like) {
  return t.is_cuda() && t.scalar_type() == at::kFloat && t.device() == like.device() && t.sizes() == like.sizes() &&
         t.strides() == like.strides();
}

// One launch.
struct Part {
  Table table{};
  unsigned blocks = 0;
};

// Distributes the parameters that have a gradient over launches. Returns false if the kernels do not support
// one of them, or if there are none.
bool distribute(kte::Group *const *groups, const Tensor *const *rates, size_t n, bool adamw, std::vector<Part> &parts) {
  const Tensor *first = nullptr;
  int groups_here = kGroups;
  for (size_t g = 0; g < n; ++g) {
    auto &group = *groups[g];
    bool begun = false;
    for (size_t i = 0; i < group.params.size(); ++i) {
      auto &p = group.params[i];
      auto &gradient = p.mutable_grad();
      if (!gradient.defined() || p.numel() == 0) continue;
      if (!first) first = &p;
      bool fits = p.is_cuda() && p.device() == first->device() && p.scalar_type() == at::kFloat &&
                  p.is_non_overlapping_and_dense() && p.numel() < (int64_t(1) << 31) && is_float_like(gradient, p);
      fits = fits && (group.first.empty() || is_float_like(group.first[i], p));
      fits = fits && (!adamw || (is_float_like(group.second[i], p) && group.steps[i].is_cuda()));
      if (!fits) return false;
      bool full = parts.empty() || parts.back().table.count == kEntries || (!begun && groups_here == kGroups);
      if (full) parts.emplace_back(), groups_here = 0, begun = false;
      auto &part = parts.back();
      if (!begun) {
        part.table.rate[groups_here] = rates[g]->data_ptr<float>();
        part.table.found[groups_here] = group.found_inf.data_ptr<float>();
        ++groups_here, begun = true;
      }
      auto &entry = part.table.entries[part.table.count++];
      entry.parameter = p.data_ptr<float>();
      entry.gradient = gradient.data_ptr<float>();
      entry.first = group.first.empty() ? nullptr : group.first[i].data_ptr<float>();
      entry.second = adamw ? group.second[i].data_ptr<float>() : nullptr;
      entry.step = adamw ? group.steps[i].data_ptr<float>() : nullptr;
      entry.elements = unsigned(p.numel());
      entry.block = part.blocks;
      entry.group = groups_here - 1;
      part.blocks += (entry.elements + kChunk - 1) / kChunk;
    }
  }
  return first != nullptr;
}

// Increments the version counters of the changed parameters, which the kernels bypass.
void bump_versions(kte::Group *const *groups, size_t n) {
  for (size_t g = 0; g < n; ++g)
    for (auto &p : groups[g]->params)
      if (p.grad().defined()) p.unsafeGetTensorImpl()->bump_version();
}
} // namespace

extern "C" {
// Steps every group and sets the gradients to undefined. If the groups are not supported, does nothing and
// writes false to `served`. The found_inf flags must be 0.
int kte_optimizer_step(void *const *handles, const Tensor *const *rates, size_t n, bool adamw, double a, double b,
                       double weight_decay, double eps, bool nesterov, bool *served) {
  KTE_GUARD({
    auto groups = reinterpret_cast<kte::Group *const *>(handles);
    std::vector<Part> parts;
    const Tensor *any = nullptr;
    for (size_t g = 0; g < n && !any; ++g)
      if (!groups[g]->params.empty()) any = &groups[g]->params[0];
    *served = any && any->is_cuda() && kte::has_kernels(any->get_device(), false) &&
              distribute(groups, rates, n, adamw, parts);
    if (!*served) return 0;
    c10::cuda::CUDAGuard guard(any->device());
    kte::Launch run(*any);
    for (auto &part : parts) run("optimizer_check", dim3(part.blocks), kte::kThreads, 0, part.table);
    for (auto &part : parts) {
      if (adamw) {
        run("optimizer_steps", dim3(1), 64, 0, part.table);
        run("optimizer_adamw", dim3(part.blocks), kte::kThreads, 0, part.table, a, b, float(weight_decay), float(eps));
      } else {
        run("optimizer_sgd", dim3(part.blocks), kte::kThreads, 0, part.table, float(a), float(weight_decay),
            int(nesterov));
      }
    }
    bump_versions(groups, n);
    for (size_t g = 0; g < n; ++g) groups[g]->done();
  })
}
}
