// Counts the bytes of tensors, as libtorch's allocators report them.
#include "shim.h"
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <atomic>
#include <memory>

namespace {
struct Bytes : c10::MemoryReportingInfoBase {
  std::atomic<int64_t> live{0};
  std::atomic<uint64_t> allocations{0};
  void reportMemoryUsage(void *, int64_t size, size_t, size_t, c10::Device) override {
    live += size;
    if (size > 0) ++allocations;
  }
  bool memoryProfilingEnabled() const override { return true; }
};

struct Count {
  std::shared_ptr<Bytes> bytes = std::make_shared<Bytes>();
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, bytes};
};
} // namespace

extern "C" {
// Counts what is allocated and freed from this thread until kte_memory_stop, on every device.
int kte_memory_start(void **count) { KTE_GUARD({ *count = new Count(); }) }

int kte_memory_read(const void *count, int64_t *live, uint64_t *allocations) {
  KTE_GUARD({
    auto &bytes = *static_cast<const Count *>(count)->bytes;
    *live = bytes.live;
    *allocations = bytes.allocations;
  })
}

// Must be called on the thread that started the count.
int kte_memory_stop(void *count) { KTE_GUARD({ delete static_cast<Count *>(count); }) }
}
