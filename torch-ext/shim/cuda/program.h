// The kernels of kernels.cu, compiled for the device at hand, and how one is launched.
#pragma once
#include "shim.h"
#include <ATen/core/Tensor.h>
#include <cuda_runtime_api.h>

namespace kte {
// The kernel of that name for one kind of device and one type of features; compiled when it is first asked for.
const void *kernel(int device, bool bf16, const char *name);

// Whether there are any: where NVRTC is missing, or does not know the device, layers are composed.
bool has_kernels(int device, bool bf16);

constexpr int kThreads = 256;

struct Launch {
  int device;
  bool bf16;
  cudaStream_t stream;
  explicit Launch(const at::Tensor &x)
      : device(x.get_device()), bf16(x.scalar_type() == at::kBFloat16),
        stream(c10::cuda::getCurrentCUDAStream(x.get_device()).stream()) {}

  template <typename... Args>
  void operator()(const char *name, dim3 grid, int threads, size_t shared, Args... args) const {
    void *pointers[] = {static_cast<void *>(&args)...};
    C10_CUDA_CHECK(cudaLaunchKernel(kernel(device, bf16, name), grid, dim3(threads), pointers, shared, stream));
  }
};
} // namespace kte
