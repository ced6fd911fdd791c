// Shared by the files of the GPU half, a library that is opened at run time after libtorch_cuda.
#pragma once
#include "../shim.h"
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
