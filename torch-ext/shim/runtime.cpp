// Process-wide state: errors of this shim, generators, versions, and a counter of dispatched operations.
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/record_function.h>
#include <map>
#include <memory>
#include <mutex>

std::string &kte::last_error() {
  static thread_local std::string text;
  return text;
}

namespace {
// Returns all default generators: the CPU's, then one per CUDA device once libtorch_cuda is loaded.
std::vector<at::Generator> generators() {
  std::vector<at::Generator> all{at::detail::getDefaultCPUGenerator()};
  if (at::hasCUDA()) {
    auto devices = at::detail::getCUDAHooks().deviceCount();
    for (int i = 0; i < devices; ++i)
      all.push_back(at::globalContext().defaultGenerator(at::Device(at::kCUDA, i)));
  }
  return all;
}

thread_local std::map<std::string, uint64_t> *op_counts = nullptr;
// Name of the running fused optimizer call, if any. Operators inside it are listed under it: its CPU
// implementation reads step counters with item(), which would look like host syncs, while the CUDA kernels
// read them on the device.
thread_local std::string fused;
struct InsideFused : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> begin_op(const at::RecordFunction &fn) {
  if (!op_counts) return nullptr;
  std::string name = fn.name();
  ++(*op_counts)[fused.empty() ? name : fused + "/" + name];
  if (fused.empty() && name.rfind("aten::_fused_", 0) == 0) {
    fused = name;
    return std::make_unique<InsideFused>();
  }
  return nullptr;
}

void end_op(const at::RecordFunction &, at::ObserverContext *context) {
  if (context) fused.clear();
}
} // namespace

extern "C" {
const char *kte_last_error() { return kte::last_error().c_str(); }

// Returns the name of the vector instructions that torch's CPU kernels use. The string is never freed.
const char *kte_cpu_capability() {
  static const std::string name = at::get_cpu_capability();
  return name.c_str();
}

// Versions of the CUDA runtime and of cuDNN.
int kte_cuda_versions(int64_t *runtime, int64_t *cudnn) {
  KTE_GUARD({
    *runtime = at::detail::getCUDAHooks().versionCUDART();
    *cudnn = at::detail::getCUDAHooks().versionRuntimeCuDNN();
  })
}

// Sets how cuDNN chooses algorithms: by measurement (`benchmark`), and among deterministic ones only.
int kte_convolutions(bool benchmark, bool deterministic) {
  KTE_GUARD({
    at::globalContext().setBenchmarkCuDNN(benchmark);
    at::globalContext().setDeterministicCuDNN(deterministic);
  })
}

int kte_rng_count(size_t *out) { KTE_GUARD({ *out = generators().size(); }) }

// Writes one new byte tensor per generator; `out` has room for kte_rng_count of them.
int kte_rng_save(at::Tensor **out, size_t n) {
  KTE_GUARD({
    auto all = generators();
    for (size_t i = 0; i < n && i < all.size(); ++i) {
      std::lock_guard<std::mutex> lock(all[i].mutex());
      out[i] = new at::Tensor(all[i].get_state());
    }
  })
}

int kte_rng_restore(at::Tensor **states, size_t n) {
  KTE_GUARD({
    auto all = generators();
    for (size_t i = 0; i < n && i < all.size(); ++i) {
      std::lock_guard<std::mutex> lock(all[i].mutex());
      all[i].set_state(*states[i]);
    }
  })
}

int kte_rng_seed(uint64_t seed) {
  KTE_GUARD({
    for (auto &generator : generators()) {
      std::lock_guard<std::mutex> lock(generator.mutex());
      generator.set_current_seed(seed);
    }
  })
}

// Counts the operators dispatched on this thread until kte_ops_stop. Fails if a count already runs on this
// thread.
int kte_ops_start(uint64_t *handle) {
  KTE_GUARD({
    TORCH_CHECK(op_counts == nullptr, "an operation count is already running on this thread");
    op_counts = new std::map<std::string, uint64_t>();
    *handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(begin_op, end_op).scopes({at::RecordScope::FUNCTION}));
  })
}

int kte_ops_stop(uint64_t handle, void (*each)(void *, const char *, uint64_t), void *context) {
  KTE_GUARD({
    at::removeCallback(handle);
    std::unique_ptr<std::map<std::string, uint64_t>> counts(op_counts);
    op_counts = nullptr;
    fused.clear();
    if (counts)
      for (auto &entry : *counts) each(context, entry.first.c_str(), entry.second);
  })
}
}
