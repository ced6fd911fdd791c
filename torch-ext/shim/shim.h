// What every file of the shim shares: the way an exception becomes a return code and a text.
#pragma once
#include <ATen/core/Tensor.h>
#include <exception>
#include <memory>
#include <string>

namespace kte {
std::string &last_error();
}

// Runs the body; any exception becomes 1 and is kept for kte_last_error().
#define KTE_GUARD(...)                       \
  try {                                      \
    __VA_ARGS__;                             \
    return 0;                                \
  } catch (const std::exception &e) {        \
    kte::last_error() = e.what();            \
    return 1;                                \
  } catch (...) {                            \
    kte::last_error() = "unknown exception"; \
    return 1;                                \
  }
