// Writing TorchScript: a function that is traced becomes a module whose parameters have names.
//
// A trace contains the sizes of its example input as constants. So a function is traced with two inputs of
// different sizes: constants that differ between the two graphs depend on the sizes, and are replaced by
// expressions of the sizes of the input.
#include "traced.h"
#include <sstream>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/lower_tuples.h>

using namespace torch::jit;
using kte::Callback;

namespace {
const auto PREFIX = "__torch__.kasmina.";

// Returns the submodule of this name, which is created if it does not exist.
Module child_of(Module &parent, const std::string &name) {
  if (parent.hasattr(name)) return parent.attr(name).toModule();
  Module child(c10::QualifiedName(PREFIX + std::string("Part")), parent._ivalue()->compilation_unit(),
               /*shouldMangle=*/true);
  child.register_attribute("training", c10::BoolType::get(), false);
  parent.register_module(name, child);
  return child;
}

void add(Module module, const std::string &name, const at::Tensor &tensor, bool parameter) {
  size_t begin = 0;
  for (size_t dot; (dot = name.find('.', begin)) != std::string::npos; begin = dot + 1)
    module = child_of(module, name.substr(begin, dot - begin));
  module.register_parameter(name.substr(begin), tensor, !parameter);
}

// A constant of the first graph, with its values in both.
struct Difference {
  Node *node;
  int64_t first;
  int64_t second;
};

// Compares two graphs of one function, node by node.
void compare(Block *first, Block *second, std::vector<Difference> &differences) {
  auto other = second->nodes().begin();
  for (auto node : first->nodes()) {
    TORCH_CHECK(other != second->nodes().end() && node->kind() == other->kind() &&
                    node->inputs().size() == other->inputs().size() &&
                    node->blocks().size() == other->blocks().size(),
                "it runs other operations for another batch, in `", node->kind().toQualString(), "`");
    for (size_t i = 0; i < node->blocks().size(); ++i)
      compare(node->blocks()[i], other->blocks()[i], differences);
    if (node->kind() == prim::Constant) {
      auto a = toIValue(node->output());
      auto b = toIValue(other->output());
      TORCH_CHECK(a.has_value() == b.has_value() && (!a || a->tagKind() == b->tagKind()),
                  "a constant has another type for another batch");
      bool integers = a && a->isInt();
      if (integers && a->toInt() != b->toInt()) differences.push_back({node, a->toInt(), b->toInt()});
      bool same = !a || integers || (a->isTensor() ? a->toTensor().equal(b->toTensor()) : a->equals(*b).toBool());
      TORCH_CHECK(same, "the constant ", *a, " is ", *b, " for an input of other sizes");
    }
    ++other;
  }
  TORCH_CHECK(other == second->nodes().end(), "it runs more operations for another batch");
}

// Writes expressions of the sizes of the input at the beginning of a graph.
struct Sizes {
  Graph &graph;
  Value *x;
  std::vector<int64_t> first;
  std::vector<int64_t> second;
  // The dimensions in which the two inputs differ.
  std::vector<size_t> free;

  Sizes(Graph &graph, const at::Tensor &one, const at::Tensor &two)
      : graph(graph), x(graph.inputs().at(1)), first(one.sizes().vec()), second(two.sizes().vec()) {
    TORCH_CHECK(first.size() == second.size(), "the two inputs have different numbers of dimensions");
    for (size_t i = 0; i < first.size(); ++i)
      if (first[i] != second[i]) free.push_back(i);
  }

  // Returns the value of an integer that is `difference.first` for the first input and `.second` for the second:
  // a multiple or a quotient of a product of sizes, or such a product plus a number.
  Value *expression(const Difference &difference) {
    auto [node, a, b] = difference;
    for (int kind = 0; kind < 3; ++kind)
      // Every set of free dimensions, as bits.
      for (size_t set = 1; set < (size_t(1) << free.size()); ++set) {
        int64_t p = 1, q = 1;
        for (size_t i = 0; i < free.size(); ++i)
          if (set >> i & 1) p *= first[free[i]], q *= second[free[i]];
        if (kind == 0 && a % p == 0 && b % q == 0 && a / p == b / q) return binary(aten::mul, product(set), a / p, 1);
        if (kind == 1 && a && b && p % a == 0 && q % b == 0 && p / a == q / b)
          return binary(aten::floordiv, product(set), p / a, 1);
        if (kind == 2 && a - p == b - q) return binary(aten::add, product(set), a - p, 0);
      }
    TORCH_CHECK(false, "the number ", a, " is ", b, " for an input of sizes ", second, " instead of ", first,
                ", in `", use_of(node), "`");
  }

  static std::string use_of(Node *node) {
    return node->output()->uses().empty() ? "" : node->output()->uses()[0].user->kind().toQualString();
  }

  Value *product(size_t set) {
    Value *all = nullptr;
    for (size_t i = 0; i < free.size(); ++i) {
      if (!(set >> i & 1)) continue;
      auto dimension = graph.insertConstant(static_cast<int64_t>(free[i]));
      auto size = graph.insert(aten::size, {x, dimension});
      all = all ? graph.insert(aten::mul, {all, size}) : size;
    }
    return all;
  }

  Value *binary(c10::Symbol operation, Value *value, int64_t number, int64_t neutral) {
    return number == neutral ? value : graph.insert(operation, {value, graph.insertConstant(number)});
  }
};

// Replaces the device of the example by the device of the input.
void follow_device(Block *block, Value *device) {
  for (auto node : block->nodes()) {
    for (auto inner : node->blocks()) follow_device(inner, device);
    if (node->kind() != prim::Constant) continue;
    auto value = toIValue(node->output());
    if (value && value->isDevice()) node->output()->replaceAllUsesWith(device);
  }
}

void generalize(Graph &graph, Graph &other, const at::Tensor &one, const at::Tensor &two) {
  std::vector<Difference> differences;
  compare(graph.block(), other.block(), differences);
  WithInsertPoint begin(*graph.block()->nodes().begin());
  Sizes sizes(graph, one, two);
  for (auto &difference : differences) {
    auto value = sizes.expression(difference);
    difference.node->output()->replaceAllUsesWith(value);
  }
  follow_device(graph.block(), graph.insert(prim::device, {sizes.x}));
  EliminateDeadCode(graph.block());
  graph.lint();
}
} // namespace

std::shared_ptr<Graph> kte::trace(Module &module, const at::Tensor &x, Callback callback, void *context) {
  auto body = [&](Stack inputs) -> Stack {
    std::unique_ptr<at::Tensor> output(callback(context, 0, new at::Tensor(inputs.at(0).toTensor())));
    // The owner of the callback knows the reason.
    TORCH_CHECK(output, "the traced function failed");
    return {*output};
  };
  auto name_of = [](const at::Tensor &) { return std::string(); };
  auto traced = tracer::trace({x}, body, name_of, /*strict=*/true, /*force_outplace=*/false, &module, {"x"});
  return traced.first->graph;
}

extern "C" {
int kte_traced_new(void **out) {
  KTE_GUARD({
    auto module = std::make_unique<Module>(c10::QualifiedName(PREFIX + std::string("Network")));
    module->register_attribute("training", c10::BoolType::get(), false);
    *out = module.release();
  })
}

void kte_traced_free(void *module) { delete static_cast<Module *>(module); }

// Adds a parameter or buffer under a dotted name.
int kte_traced_add(void *module, const char *name, const at::Tensor *tensor, bool parameter) {
  KTE_GUARD({ add(*static_cast<Module *>(module), name, *tensor, parameter); })
}

// Traces `callback` with two inputs as the forward of the module. The callback owns its input.
int kte_traced_forward(void *module, const at::Tensor *one, const at::Tensor *two, Callback callback, void *context) {
  KTE_GUARD({
    auto &traced = *static_cast<Module *>(module);
    auto graph = kte::trace(traced, *one, callback, context);
    auto other = kte::trace(traced, *two, callback, context);
    generalize(*graph, *other, *one, *two);
    c10::QualifiedName name(*traced.type()->name(), "forward");
    traced.type()->addMethod(traced._ivalue()->compilation_unit()->create_function(name, graph));
  })
}

// Calls `write` with the bytes of the archive.
int kte_traced_save(const void *module, void (*write)(void *, const char *, size_t), void *context) {
  KTE_GUARD({
    std::ostringstream archive;
    static_cast<const Module *>(module)->save(archive);
    auto bytes = archive.str();
    write(context, bytes.data(), bytes.size());
  })
}
}
