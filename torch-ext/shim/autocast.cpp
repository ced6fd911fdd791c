// Autocast to bfloat16 for one kind of device, on this thread.
#include "shim.h"
#include <ATen/autocast_mode.h>

extern "C" {
// Says in `before` whether it was on.
int kte_autocast_enter(bool cuda, bool *before) {
  KTE_GUARD({
    auto device = cuda ? at::kCUDA : at::kCPU;
    *before = at::autocast::is_autocast_enabled(device);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  })
}

int kte_autocast_leave(bool cuda, bool before) {
  KTE_GUARD({
    at::autocast::set_autocast_enabled(cuda ? at::kCUDA : at::kCPU, before);
    // Parameters move between steps: what was cast for one is of no use to the next.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  })
}
}
