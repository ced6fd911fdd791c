// What the files of the GPU half share. This library is opened at run time, after libtorch_cuda.
#pragma once
#include "../shim.h"
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace kte {
// Where a failure of this library is kept for its caller, on the caller's thread.
std::string &cuda_error();
} // namespace kte

#define KTE_CUDA_GUARD(...)                  \
  try {                                      \
    __VA_ARGS__;                             \
    return 0;                                \
  } catch (const std::exception &e) {        \
    kte::cuda_error() = e.what();            \
    return 1;                                \
  } catch (...) {                            \
    kte::cuda_error() = "unknown exception"; \
    return 1;                                \
  }
