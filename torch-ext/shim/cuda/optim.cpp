// One optimizer step of all groups: a check, and an update, for everything at once.
#include "../optim.h"
#include "program.h"
#include <vector>

namespace {
using at::Tensor;

#include "table.h"
static_assert(sizeof(Table) <= 4000, "kernel parameters have 4 KiB");

bool plain(const Tensor &t, const Tensor &like) {
  return t.is_cuda() && t.scalar_type() == at::kFloat && t.device() == like.device() && t.sizes() == like.sizes() &&
         t.strides() == like.strides();
}

struct Part {
  Table table{};
  unsigned blocks = 0;
};

// Whether these kernels serve everything that has a gradient, and how it is dealt out to launches.
bool deal(kte::Group *const *groups, const Tensor *const *rates, size_t n, bool adamw, std::vector<Part> &parts) {
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
                  p.is_non_overlapping_and_dense() && p.numel() < (int64_t(1) << 31) && plain(gradient, p);
      fits = fits && (group.first.empty() || plain(group.first[i], p));
      fits = fits && (!adamw || (plain(group.second[i], p) && group.steps[i].is_cuda()));
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

void bump(kte::Group *const *groups, size_t n) {
  for (size_t g = 0; g < n; ++g)
    for (auto &p : groups[g]->params)
      if (p.grad().defined()) p.unsafeGetTensorImpl()->bump_version();
}
} // namespace

extern "C" {
// Steps every group and drops the gradients, or does nothing and says so in `served`. The flags must be lowered.
int kte_optimizer_step(void *const *handles, const Tensor *const *rates, size_t n, bool adamw, double a, double b,
                       double weight_decay, double eps, bool nesterov, bool *served) {
  KTE_GUARD({
    auto groups = reinterpret_cast<kte::Group *const *>(handles);
    std::vector<Part> parts;
    const Tensor *any = nullptr;
    for (size_t g = 0; g < n && !any; ++g)
      if (!groups[g]->params.empty()) any = &groups[g]->params[0];
    *served = any && any->is_cuda() && kte::has_kernels(any->get_device(), false) &&
              deal(groups, rates, n, adamw, parts);
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
    bump(groups, n);
    for (size_t g = 0; g < n; ++g) groups[g]->done();
  })
}
}
