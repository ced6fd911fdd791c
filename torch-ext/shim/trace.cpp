// Profiling with libtorch's profiler: what ran on the device, and a trace for Perfetto and chrome://tracing.
#include "shim.h"
#include <torch/csrc/autograd/profiler_kineto.h>

namespace prof = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

extern "C" {
int kte_trace_start(bool cuda) {
  KTE_GUARD({
    std::set<ActivityType> activities{ActivityType::CPU};
    if (cuda) activities.insert(ActivityType::CUDA);
    torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
    prof::prepareProfiler(config, activities);
    prof::enableProfiler(config, activities);
  })
}

// Calls `each` with the name and nanoseconds of everything that ran on the device. Writes the trace to
// `path` unless null.
int kte_trace_stop(const char *path, void (*each)(void *, const char *, uint64_t), void *context) {
  KTE_GUARD({
    auto result = prof::disableProfiler();
    for (const auto &event : result->events())
      if (event.deviceType() == at::kCUDA) each(context, event.name().c_str(), event.durationNs());
    if (path) result->save(path);
  })
}
}
