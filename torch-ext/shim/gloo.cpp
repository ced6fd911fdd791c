// Collective operations on the CPU, by the Gloo that libtorch contains.
#include "shim.h"
#include <chrono>
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace {
using Gloo = c10d::ProcessGroupGloo;

struct Ranks {
  c10::intrusive_ptr<Gloo> group;
  // Operations that have begun.
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
};

Ranks &of(void *ranks) { return *static_cast<Ranks *>(ranks); }
} // namespace

extern "C" {
// Connects all ranks through the store. Waits until all ranks have called it. If `host` is not null, this rank
// listens on its address only.
int kte_gloo_new(void *store, int rank, int size, const char *host, int64_t timeout, void **out) {
  KTE_GUARD({
    auto options = Gloo::Options::create(std::chrono::milliseconds(timeout));
    options->devices.push_back(host ? Gloo::createDeviceForHostname(host) : Gloo::createDefaultDevice());
    auto &connection = *static_cast<c10::intrusive_ptr<c10d::Store> *>(store);
    *out = new Ranks{c10::make_intrusive<Gloo>(connection, rank, size, options), {}};
  })
}

void kte_gloo_free(void *ranks) { delete static_cast<Ranks *>(ranks); }

// Begins to replace a tensor by its sum over all ranks.
int kte_gloo_sum(void *ranks, const at::Tensor *tensor) {
  KTE_GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    of(ranks).works.push_back(of(ranks).group->allreduce(tensors));
  })
}

// Begins to collect the tensors of all ranks, one after another, in `all`.
int kte_gloo_gather(void *ranks, const at::Tensor *tensor, const at::Tensor *all) {
  KTE_GUARD({
    std::vector<at::Tensor> mine{*tensor};
    std::vector<std::vector<at::Tensor>> parts{all->unbind(0)};
    of(ranks).works.push_back(of(ranks).group->allgather(parts, mine));
  })
}

// Begins to replace a tensor by that of the rank `root`.
int kte_gloo_broadcast(void *ranks, const at::Tensor *tensor, int root) {
  KTE_GUARD({
    std::vector<at::Tensor> tensors{*tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    of(ranks).works.push_back(of(ranks).group->broadcast(tensors, options));
  })
}

// Waits for all operations that have begun.
int kte_gloo_wait(void *ranks) {
  KTE_GUARD({
    auto works = std::move(of(ranks).works);
    of(ranks).works.clear();
    for (auto &work : works) work->wait();
  })
}
}
