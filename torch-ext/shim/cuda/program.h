// Compiling the kernels of kernels.cu for a device, and launching them.
#pragma once
#include "shim.h"
#include <ATen/core/Tensor.h>
#include <cuda_runtime_api.h>

namespace kte {
// Returns a kernel by name for a device and a dtype of features. The first call compiles all kernels.
const void *kernel(int device, bool bf16, const char *name);

// Whether the kernels can be used. They cannot if NVRTC is missing or does not support the device.
bool has_kernels(int device, bool bf16);

constexpr int kThreads = 256;

// Launches kernels on the current stream of the device of `x`, for the dtype of `x`.
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
