// Gradients of many parameters in a few buckets, each of which is summed over all ranks as soon as the backward
// pass has computed its last gradient. Small gradients are copied into a flat tensor; large ones are summed where
// they are.
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_zero.h>
#include <mutex>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace {
using Tensors = std::vector<at::Tensor>;
// Elements to which the places of parameters are aligned.
constexpr int64_t kAlign = 16;
// Bytes from which a gradient is summed where it is: copying it would take longer than another operation.
constexpr size_t kLarge = 256 << 10;
// Begins the sum of tensors.
using Start = int (*)(void *, at::Tensor *const *, size_t);

struct Bucket {
  // Place of the small gradients; empty if there is none.
  at::Tensor flat;
  std::vector<size_t> members;
  // What the present step sums: `flat` and the memory of the large gradients.
  Tensors parts;
  // Number of members whose gradient the present step has not computed yet.
  size_t missing = 0;
};

struct Buckets {
  Tensors params, views;
  std::vector<size_t> bucket_of;
  std::vector<char> large;
  std::vector<Bucket> buckets;
  // A number of this rank, and its place behind the parameters of the last bucket.
  at::Tensor flag, flag_view;
  // State of the present step.
  std::mutex mutex;
  bool armed = false;
  size_t next = 0;
  std::vector<char> arrived;
  std::vector<size_t> order;
  Start start = nullptr;
  void *context = nullptr;

  void arrive(size_t index) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!armed || arrived[index]) return;
    arrived[index] = 1;
    order.push_back(index);
    --buckets[bucket_of[index]].missing;
    while (next < buckets.size() && buckets[next].missing == 0) send();
  }

  // The memory of a large gradient, in the order in which the parameter's elements lie; zeros without one. Two
  // gradients may be views of one tensor (those of `a + b.view(..)`), and then each gets memory of its own.
  at::Tensor memory(size_t index) {
    auto &param = params[index], &gradient = param.mutable_grad();
    if (!gradient.defined()) return at::zeros({param.numel()}, param.options().requires_grad(false));
    if (gradient.strides() != param.strides() || gradient.storage().use_count() > 1)
      gradient = at::empty_strided(param.sizes(), param.strides(), gradient.options()).copy_(gradient);
    return gradient.as_strided({gradient.numel()}, {1}, gradient.storage_offset());
  }

  // Copies the small gradients of the next bucket into it, and begins its sum.
  void send() {
    at::NoGradGuard no_grad;
    auto &bucket = buckets[next];
    Tensors to, from, none;
    bucket.parts.clear();
    if (bucket.flat.numel() > 0) bucket.parts.push_back(bucket.flat);
    for (auto i : bucket.members) {
      auto &gradient = params[i].mutable_grad();
      TORCH_CHECK(!gradient.defined() || gradient.layout() == at::kStrided,
                  "a gradient is sparse, which ranks cannot sum");
      if (large[i]) {
        bucket.parts.push_back(memory(i));
      } else if (gradient.defined() && !gradient.is_alias_of(bucket.flat)) {
        to.push_back(views[i]), from.push_back(gradient);
      } else if (!gradient.defined()) {
        none.push_back(views[i]);
      }
    }
    if (flag.defined() && next + 1 == buckets.size()) to.push_back(flag_view), from.push_back(flag);
    if (!none.empty()) at::_foreach_zero_(none);
    if (!to.empty()) at::_foreach_copy_(to, from);
    ++next;
    std::vector<at::Tensor *> handles;
    for (auto &part : bucket.parts) handles.push_back(&part);
    TORCH_CHECK(start(context, handles.data(), handles.size()) == 0, "a sum over all ranks has failed");
  }
};

// Called by libtorch after the gradient of one parameter was accumulated.
struct Hook : torch::autograd::PostAccumulateGradHook {
  std::shared_ptr<Buckets> buckets;
  size_t index;
  Hook(std::shared_ptr<Buckets> buckets, size_t index) : buckets(std::move(buckets)), index(index) {}
  void operator()(const at::Tensor &) override { buckets->arrive(index); }
};

using Handle = std::shared_ptr<Buckets>;
Buckets &of(void *handle) { return **static_cast<Handle *>(handle); }

int64_t padded(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// The place of a parameter in a bucket, with the parameter's own strides if they are dense.
at::Tensor view(const at::Tensor &flat, int64_t offset, const at::Tensor &like) {
  auto part = flat.narrow(0, offset, like.numel());
  if (like.is_non_overlapping_and_dense()) return part.as_strided(like.sizes(), like.strides(), offset);
  return part.view(like.sizes());
}
} // namespace

extern "C" {
// Creates empty buckets for parameters. `bucket_of` has the bucket of each parameter; all parameters of a bucket
// have one dtype and device. If `kind` is not negative it is the dtype of the buckets. `flag` may be null.
int kte_buckets_new(at::Tensor *const *params, const size_t *bucket_of, size_t n, size_t buckets, int kind,
                    const at::Tensor *flag, void **out) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto made = std::make_shared<Buckets>();
    auto &mine = *made;
    mine.bucket_of.assign(bucket_of, bucket_of + n);
    mine.buckets.resize(buckets);
    mine.views.resize(n), mine.arrived.resize(n), mine.large.resize(n);
    std::vector<int64_t> sizes(buckets, 0);
    std::vector<int64_t> offsets(n);
    for (size_t i = 0; i < n; ++i) {
      mine.params.push_back(*params[i]);
      auto &bucket = mine.buckets.at(bucket_of[i]);
      bucket.members.push_back(i);
      // With a dtype of their own the buckets contain copies of all gradients.
      mine.large[i] = kind < 0 && params[i]->nbytes() >= kLarge && params[i]->is_non_overlapping_and_dense();
      if (mine.large[i]) continue;
      offsets[i] = sizes[bucket_of[i]];
      sizes[bucket_of[i]] += padded(params[i]->numel());
    }
    for (size_t b = 0; b < buckets; ++b) {
      auto &bucket = mine.buckets[b];
      auto options = bucket.members.empty() ? flag->options() : mine.params[bucket.members[0]].options();
      if (kind >= 0) options = options.dtype(static_cast<at::ScalarType>(kind));
      bool last = flag && b + 1 == buckets;
      bucket.flat = at::zeros({sizes[b] + (last ? kAlign : 0)}, options);
      for (auto i : bucket.members)
        if (!mine.large[i]) mine.views[i] = view(bucket.flat, offsets[i], mine.params[i]);
      if (last) mine.flag = *flag, mine.flag_view = bucket.flat.narrow(0, sizes[b], 1).view(flag->sizes());
    }
    for (size_t i = 0; i < n; ++i)
      torch::autograd::impl::set_post_acc_grad_hooks(mine.params[i], std::make_unique<Hook>(made, i));
    *out = new Handle(std::move(made));
  })
}

void kte_buckets_free(void *handle) {
  for (auto &param : of(handle).params) torch::autograd::impl::set_post_acc_grad_hooks(param, nullptr);
  delete static_cast<Handle *>(handle);
}

// Returns the sum of the numbers of all ranks.
int kte_buckets_flag(void *handle, at::Tensor **out) { KTE_GUARD({ *out = new at::Tensor(of(handle).flag_view); }) }

// Begins a step: from now on `start` is called for each bucket when its gradients are complete, in the order of
// the buckets.
int kte_buckets_arm(void *handle, Start start, void *context) {
  KTE_GUARD({
    auto &mine = of(handle);
    std::lock_guard<std::mutex> lock(mine.mutex);
    mine.start = start, mine.context = context, mine.next = 0, mine.armed = true;
    std::fill(mine.arrived.begin(), mine.arrived.end(), 0);
    mine.order.clear();
    for (auto &bucket : mine.buckets) bucket.missing = bucket.members.size();
  })
}

void kte_buckets_disarm(void *handle) {
  auto &mine = of(handle);
  std::lock_guard<std::mutex> lock(mine.mutex);
  mine.armed = false;
  for (auto &bucket : mine.buckets) bucket.parts.clear();
}

// Ends the backward pass: sends the buckets that lack gradients, with zeros in their place.
int kte_buckets_flush(void *handle) {
  KTE_GUARD({
    auto &mine = of(handle);
    std::lock_guard<std::mutex> lock(mine.mutex);
    mine.armed = false;
    while (mine.next < mine.buckets.size()) mine.send();
  })
}

// Makes the summed gradients those of the parameters that had one.
int kte_buckets_hand_over(void *handle) {
  KTE_GUARD({
    at::NoGradGuard no_grad;
    auto &mine = of(handle);
    Tensors to, from;
    for (size_t i = 0; i < mine.params.size(); ++i) {
      auto &gradient = mine.params[i].mutable_grad();
      if (!gradient.defined() || mine.large[i]) continue;
      if (gradient.scalar_type() == mine.views[i].scalar_type()) gradient = mine.views[i];
      else to.push_back(gradient), from.push_back(mine.views[i]);
    }
    if (!to.empty()) at::_foreach_copy_(to, from);
  })
}

// Writes the order in which the gradients of the newest step were computed.
int kte_buckets_order(void *handle, size_t *out, size_t *n) {
  KTE_GUARD({
    auto &mine = of(handle);
    std::lock_guard<std::mutex> lock(mine.mutex);
    *n = mine.order.size();
    std::copy(mine.order.begin(), mine.order.end(), out);
  })
}
}
