// Shared by all files of the shim: conversion of exceptions to a return code and a message.
#pragma once
#include <ATen/core/Tensor.h>
#include <exception>
#include <memory>
#include <string>

namespace kte {
std::string &last_error();
}

// Runs the body and returns 0. If it throws, stores the message for kte_last_error() and returns 1.
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
