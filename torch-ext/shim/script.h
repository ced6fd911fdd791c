// Shared by the files about TorchScript.
#pragma once
#include "shim.h"
#include <caffe2/serialize/read_adapter_interface.h>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <torch/script.h>

namespace kte {
// Reads from the bytes of an archive. libtorch's own adapter does not check offsets.
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

// Returns the names in an archive's code through which it would run code while it is loaded. Runs none of
// the archive's code.
std::set<std::string> forbidden_in_archive(const char *data, size_t length);

// Returns the size in bytes of the record of a storage, by the storage's key.
using RecordSize = std::function<size_t(const std::string &key)>;
// Throws if unpickling would allocate far more than the pickle's size, or read past the end of a storage's
// record.
void check_pickle(const std::string &bytes, const RecordSize &size_of);

// Returns the operators of a loaded module that do more than compute with tensors, numbers and strings.
std::set<std::string> forbidden_operators(const torch::jit::Module &module);

// Limit on the operations of a module after its calls are inlined.
constexpr size_t MAX_OPERATIONS = 100000;
} // namespace kte
