// Private streams, and training steps captured as CUDA graphs.
#include "shim.h"
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <map>
#include <mutex>
#include <vector>

// Error of the GPU half; the CPU half has its own.
std::string &kte::last_error() {
  static thread_local std::string text;
  return text;
}

namespace {
using c10::cuda::CUDAStream;
namespace allocator = c10::cuda::CUDACachingAllocator;

// Unused streams. torch's own pool is not used because it returns the same stream to several users once all
// of its streams are in use. Streams are never destroyed, because cuDNN's handles record events on the
// stream they used last.
class Streams {
  std::mutex mutex;
  std::map<c10::DeviceIndex, std::vector<cudaStream_t>> idle;

public:
  static Streams &all() {
    static auto *streams = new Streams();
    return *streams;
  }
  cudaStream_t take(c10::DeviceIndex device) {
    std::lock_guard<std::mutex> lock(mutex);
    auto &here = idle[device];
    if (!here.empty()) {
      auto stream = here.back();
      here.pop_back();
      return stream;
    }
    c10::cuda::CUDAGuard guard(device);
    cudaStream_t stream = nullptr;
    C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
  }
  void give_back(c10::DeviceIndex device, cudaStream_t stream) {
    std::lock_guard<std::mutex> lock(mutex);
    idle[device].push_back(stream);
  }
};

// A private stream of one model.
struct SideStream {
  CUDAStream stream;
  // Event for entering and leaving, shared by all threads. The lock is held between recording it and waiting
  // for it.
  cudaEvent_t event = nullptr;
  std::mutex mutex;
  explicit SideStream(c10::DeviceIndex device)
      : stream(c10::cuda::getStreamFromExternal(Streams::all().take(device), device)) {
    c10::cuda::CUDAGuard guard(device);
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  ~SideStream() {
    (void)cudaEventDestroy(event);
    Streams::all().give_back(stream.device_index(), stream.stream());
  }

  // Makes `later` wait for all work that is queued on `earlier` now.
  void wait(const CUDAStream &later, const CUDAStream &earlier) {
    std::lock_guard<std::mutex> lock(mutex);
    // The handle of a default stream refers to the current device.
    c10::cuda::CUDAGuard guard(stream.device_index());
    C10_CUDA_CHECK(cudaEventRecord(event, earlier.stream()));
    C10_CUDA_CHECK(cudaStreamWaitEvent(later.stream(), event, 0));
  }
};

struct Recording : at::cuda::CUDAGraph {
  // Whether the capture has ended. Only then does the destructor release the pool.
  bool ended() const { return capture_ended_; }
};

struct Graph {
  Recording graph;
  c10::DeviceIndex device = 0;
};

struct Pool {
  at::MempoolId_t id = at::cuda::graph_pool_handle();
};

// Cleans up after a failed capture: the allocator still allocates from the graph's pool, and the generator
// still counts for the graph. A generator's state cannot leave a capture, so it is replaced by a new state
// with the same seed and offset.
void clean_up(c10::DeviceIndex device, at::MempoolId_t pool, bool release) {
  (void)cudaGetLastError();
  try { allocator::endAllocateToPool(device, pool); } catch (...) {}
  if (release) {
    try { allocator::releasePool(device, pool); } catch (...) {}
  }
  try {
    auto generator = at::cuda::detail::getDefaultCUDAGenerator(device);
    auto *held = at::check_generator<at::CUDAGeneratorImpl>(generator);
    auto fresh = at::cuda::detail::createCUDAGenerator(device);
    std::lock_guard<std::mutex> lock(generator.mutex());
    fresh.set_current_seed(held->current_seed());
    fresh.set_offset(held->get_offset());
    held->graphsafe_set_state(fresh.graphsafe_get_state().getIntrusivePtr());
  } catch (...) {}
}
} // namespace

extern "C" {
const char *kte_cuda_last_error() { return kte::last_error().c_str(); }

int kte_stream_new(int device, void **out) { KTE_GUARD({ *out = new SideStream(device); }) }
size_t kte_stream_handle(const void *side) {
  return reinterpret_cast<size_t>(static_cast<const SideStream *>(side)->stream.stream());
}
void kte_stream_free(void *side) { delete static_cast<SideStream *>(side); }

// Makes this the thread's current stream, which waits for everything queued on the previous one. Writes the
// previous stream, packed, to `before`.
int kte_stream_enter(void *side, int64_t *before) {
  KTE_GUARD({
    auto &mine = *static_cast<SideStream *>(side);
    auto current = c10::cuda::getCurrentCUDAStream(mine.stream.device_index());
    auto packed = current.pack3();
    before[0] = packed.stream_id, before[1] = packed.device_index, before[2] = int64_t(packed.device_type);
    if (current != mine.stream) {
      mine.wait(mine.stream, current);
      c10::cuda::setCurrentCUDAStream(mine.stream);
    }
  })
}

// Makes the stream in `before` current again; it waits for everything queued on this one.
int kte_stream_leave(void *side, const int64_t *before) {
  KTE_GUARD({
    auto &mine = *static_cast<SideStream *>(side);
    auto back = CUDAStream::unpack3(before[0], c10::DeviceIndex(before[1]), c10::DeviceType(before[2]));
    if (back != mine.stream) {
      c10::cuda::setCurrentCUDAStream(back);
      mine.wait(back, mine.stream);
    }
  })
}

// Makes this stream wait for everything queued on the thread's current stream.
int kte_stream_follow(void *side) {
  KTE_GUARD({
    auto &mine = *static_cast<SideStream *>(side);
    mine.wait(mine.stream, c10::cuda::getCurrentCUDAStream(mine.stream.device_index()));
  })
}

// Makes the thread's current stream wait for everything queued on this stream.
int kte_stream_join(void *side) {
  KTE_GUARD({
    auto &mine = *static_cast<SideStream *>(side);
    mine.wait(c10::cuda::getCurrentCUDAStream(mine.stream.device_index()), mine.stream);
  })
}

int kte_device_set(int device) { KTE_GUARD({ c10::cuda::set_device(c10::DeviceIndex(device)); }) }

int kte_device_synchronize(int device) {
  KTE_GUARD({
    c10::cuda::CUDAGuard guard(device);
    C10_CUDA_CHECK(cudaDeviceSynchronize());
  })
}

int kte_pool_new(void **out) { KTE_GUARD({ *out = new Pool(); }) }
void kte_pool_free(void *pool) { delete static_cast<Pool *>(pool); }

// Begins to capture the work that this thread queues on its current stream. None of it runs.
int kte_graph_begin(int device, void *pool, void **out) {
  KTE_GUARD({
    c10::cuda::CUDAGuard guard{c10::DeviceIndex(device)};
    auto graph = std::make_unique<Graph>();
    graph->device = device;
    auto id = static_cast<Pool *>(pool)->id;
    try {
      // Only this thread may not make calls that break a capture; other models continue.
      graph->graph.capture_begin(id, cudaStreamCaptureModeThreadLocal);
    } catch (...) {
      // Other graphs may use the pool. Releasing it too often would free their memory, so it may stay
      // allocated instead.
      clean_up(device, id, false);
      throw;
    }
    *out = graph.release();
  })
}

int kte_graph_end(void *graph, void *pool) {
  KTE_GUARD({
    auto &mine = *static_cast<Graph *>(graph);
    c10::cuda::CUDAGuard guard(mine.device);
    try {
      mine.graph.capture_end();
    } catch (...) {
      clean_up(mine.device, static_cast<Pool *>(pool)->id, !mine.graph.ended());
      throw;
    }
  })
}

int kte_graph_replay(void *graph) { KTE_GUARD({ static_cast<Graph *>(graph)->graph.replay(); }) }

int kte_graph_free(void *graph) {
  KTE_GUARD({
    auto *mine = static_cast<Graph *>(graph);
    c10::cuda::CUDAGuard guard(mine->device);
    delete mine;
  })
}
}
