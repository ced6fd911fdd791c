// Autocast to bfloat16 on this thread, for one kind of device.
#include "shim.h"
#include <ATen/autocast_mode.h>

extern "C" {
// Turns autocast on, and writes to `before` whether it was on.
int kte_autocast_enter(bool cuda, bool *before) {
  KTE_GUARD({
    auto device = cuda ? at::kCUDA : at::kCPU;
    *before = at::autocast::is_autocast_enabled(device);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  })
}

// Restores the state that kte_autocast_enter wrote.
int kte_autocast_leave(bool cuda, bool before) {
  KTE_GUARD({
    at::autocast::set_autocast_enabled(cuda ? at::kCUDA : at::kCPU, before);
    // Parameters change between steps, so cached casts would be stale.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  })
}
}
