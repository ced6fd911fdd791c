// Counts the multiply-adds of convolutions, matrix products and attention on this thread from the shapes of
// inputs.
#include "shim.h"
#include <ATen/ATen.h>
#include <ATen/record_function.h>

namespace {
thread_local uint64_t *multiply_adds = nullptr;

bool tensors(c10::ArrayRef<const c10::IValue> in, size_t a, size_t b) {
  return in.size() > std::max(a, b) && in[a].isTensor() && in[b].isTensor();
}

uint64_t product(const at::Tensor &a, const at::Tensor &b) {
  return b.dim() == 0 ? 0 : static_cast<uint64_t>(a.numel()) * static_cast<uint64_t>(b.size(-1));
}

// Each output element takes one multiply-add per weight of its output channel.
uint64_t convolution(c10::ArrayRef<const c10::IValue> in) {
  const auto &x = in[0].toTensor();
  const auto &weight = in[1].toTensor();
  if (in.size() < 9 || weight.dim() < 3) return 0;
  auto stride = in[3].toIntVector(), padding = in[4].toIntVector(), dilation = in[5].toIntVector();
  bool transposed = in[6].toBool();
  if (transposed) return static_cast<uint64_t>(x.numel()) * (weight.numel() / weight.size(0));
  auto at = [](const std::vector<int64_t> &v, int64_t i) { return v.size() == 1 ? v[0] : v[i]; };
  uint64_t positions = x.size(0);
  for (int64_t i = 0; i + 2 < weight.dim(); ++i) {
    auto reach = at(dilation, i) * (weight.size(i + 2) - 1) + 1;
    positions *= (x.size(i + 2) + 2 * at(padding, i) - reach) / at(stride, i) + 1;
  }
  return positions * weight.numel();
}

enum class Op { Other, Convolution, Product, ProductAfterSum, Attention };

Op known(const std::string &name) {
  if (name == "aten::convolution") return Op::Convolution;
  if (name == "aten::mm" || name == "aten::bmm") return Op::Product;
  if (name == "aten::addmm" || name == "aten::baddbmm") return Op::ProductAfterSum;
  // The fused kernels of attention. The `math` variant runs matrix products, which are counted themselves.
  bool attention = name.rfind("aten::_scaled_dot_product_", 0) == 0 && name.find("_backward") == std::string::npos &&
                   name != "aten::_scaled_dot_product_attention_math";
  return attention ? Op::Attention : Op::Other;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction &fn) {
  if (!multiply_adds) return nullptr;
  auto op = known(fn.name());
  // Some operators are reported without inputs, for which `inputs()` throws.
  if (op == Op::Other) return nullptr;
  auto in = fn.inputs();
  if (op == Op::Convolution && tensors(in, 0, 1)) *multiply_adds += convolution(in);
  if (op == Op::Product && tensors(in, 0, 1)) *multiply_adds += product(in[0].toTensor(), in[1].toTensor());
  if (op == Op::ProductAfterSum && tensors(in, 1, 2)) *multiply_adds += product(in[1].toTensor(), in[2].toTensor());
  if (op == Op::Attention && tensors(in, 0, 1)) {
    const auto &q = in[0].toTensor(), &k = in[1].toTensor();
    *multiply_adds += 2 * static_cast<uint64_t>(q.numel()) * k.size(-2);
  }
  return nullptr;
}
} // namespace

extern "C" {
// Counts until kte_flops_stop. Fails if a count already runs on this thread.
int kte_flops_start(uint64_t *handle) {
  KTE_GUARD({
    TORCH_CHECK(multiply_adds == nullptr, "a count of multiply-adds is already running on this thread");
    multiply_adds = new uint64_t(0);
    *handle = at::addThreadLocalCallback(
        at::RecordFunctionCallback(begin).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  })
}

int kte_flops_stop(uint64_t handle, uint64_t *out) {
  KTE_GUARD({
    at::removeCallback(handle);
    *out = multiply_adds ? *multiply_adds : 0;
    delete multiply_adds;
    multiply_adds = nullptr;
  })
}
}
