// What the files about TorchScript share.
#pragma once
#include "shim.h"
#include <caffe2/serialize/read_adapter_interface.h>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <torch/script.h>

namespace kte {
// The bytes of an archive; libtorch's own adapter believes any offset.
struct Bytes : caffe2::serialize::ReadAdapterInterface {
  const char *data;
  size_t length;
  Bytes(const char *data, size_t length) : data(data), length(length) {}
  size_t size() const override { return length; }
  size_t read(uint64_t at, void *into, size_t n, const char *what) const override {
    TORCH_CHECK(at <= length && n <= length - at, "the archive ends before its ", what);
    std::memcpy(into, data + at, n);
    return n;
  }
};

// Names in the code of an archive by which it would run something while it is loaded. Nothing of it has run yet.
std::set<std::string> forbidden_in_archive(const char *data, size_t length);

// Bytes of the record that holds a storage, by the storage's key.
using RecordSize = std::function<size_t(const std::string &key)>;
// Throws if unpickling would allocate far more than the pickle's size, or read past the record of a storage.
void check_pickle(const std::string &bytes, const RecordSize &size_of);

// Operators of a loaded module that do more than compute with tensors, numbers and texts.
std::set<std::string> forbidden_operators(const torch::jit::Module &module);

// The most operations that a module may have when its calls are inlined.
constexpr size_t MOST_OPERATIONS = 100000;
} // namespace kte
