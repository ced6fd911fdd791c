// The key-value store of torch.distributed, through which ranks find each other and vote.
#include "shim.h"
#include <c10/util/Logging.h>
#include <chrono>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

C10_DECLARE_int(caffe2_log_level);

namespace {
using Handle = c10::intrusive_ptr<c10d::Store>;

std::vector<uint8_t> bytes(const char *data, size_t length) {
  auto begin = reinterpret_cast<const uint8_t *>(data);
  return std::vector<uint8_t>(begin, begin + length);
}

Handle &of(void *store) { return *static_cast<Handle *>(store); }
} // namespace

extern "C" {
// Connects to the store of a host, which this process serves if `serves`, on the socket `listener` if it is not
// negative. Keys get a prefix. Every operation ends after `timeout` milliseconds. Returns the port, which the system
// chooses if `port` is 0.
int kte_store_new(const char *host, uint16_t port, bool serves, int listener, const char *prefix, int64_t timeout,
                  uint16_t *found, void **out) {
  KTE_GUARD({
    // The warnings of the connections repeat what the errors say.
    if (!std::getenv("TORCH_CPP_LOG_LEVEL")) FLAGS_caffe2_log_level = c10::GLOG_ERROR;
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    if (listener >= 0) options.masterListenFd = listener;
    options.timeout = std::chrono::milliseconds(timeout);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *found = store->getPort();
    *out = new Handle(c10::make_intrusive<c10d::PrefixStore>(prefix, store));
  })
}

void kte_store_free(void *store) { delete static_cast<Handle *>(store); }

// Returns another connection to the same store, for another thread.
int kte_store_clone(void *store, void **out) {
  KTE_GUARD({ *out = new Handle(of(store)->clone()); })
}

int kte_store_set(void *store, const char *key, const char *value, size_t length) {
  KTE_GUARD({ of(store)->set(key, bytes(value, length)); })
}

// Waits for a key, and calls `write` with its value.
int kte_store_get(void *store, const char *key, int64_t timeout, void (*write)(void *, const char *, size_t),
                  void *context) {
  KTE_GUARD({
    of(store)->wait({key}, std::chrono::milliseconds(timeout));
    auto value = of(store)->get(key);
    write(context, reinterpret_cast<const char *>(value.data()), value.size());
  })
}

int kte_store_add(void *store, const char *key, int64_t amount, int64_t *sum) {
  KTE_GUARD({ *sum = of(store)->add(key, amount); })
}

int kte_store_check(void *store, const char *key, bool *found) {
  KTE_GUARD({ *found = of(store)->check({key}); })
}

int kte_store_delete(void *store, const char *key) {
  KTE_GUARD({ of(store)->deleteKey(key); })
}
}
