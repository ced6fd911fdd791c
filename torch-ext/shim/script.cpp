// TorchScript modules: loading, listing submodules and tensors, and running with taps after the calls of
// submodules.
//
// A module's own methods are never changed. A copy of its forward runs, in which every call is inlined, so
// that each call has its own place in the graph even if its class has many instances. The interpreter runs
// the graph operation by operation: nothing is profiled, fused or compiled, and autograd and autocast work
// as usual.
#include "script.h"
#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/script.h>

using namespace torch::jit;
using Instance = c10::intrusive_ptr<c10::ivalue::Object>;

namespace {
// ---- taps ----

// The callback that receives the features at each tap of a running forward.
struct Taps {
  void *context;
  at::Tensor *(*at)(void *, int64_t, at::Tensor *);
};
thread_local const Taps *taps = nullptr;

// Makes `now` the thread's taps. The destructor restores the taps of the enclosing forward.
struct TapsScope {
  const Taps *before = taps;
  explicit TapsScope(const Taps *now) { taps = now; }
  ~TapsScope() { taps = before; }
};

const auto TAP = c10::Symbol::fromQualString("kasmina::tap");

void tap(Stack &stack) {
  auto slot = pop(stack).toInt();
  auto features = pop(stack).toTensor();
  TORCH_CHECK(taps, "a tap was called outside of its forward pass");
  std::unique_ptr<at::Tensor> output(taps->at(taps->context, slot, new at::Tensor(std::move(features))));
  // The owner of the callback knows the reason.
  TORCH_CHECK(output, "a tap failed");
  push(stack, std::move(*output));
}

void register_tap() {
  static std::once_flag once;
  std::call_once(once, [] {
    registerOperator(Operator("kasmina::tap(Tensor features, int slot) -> Tensor", tap,
                              c10::AliasAnalysisKind::CONSERVATIVE));
  });
}

// ---- the graph ----

// Returns the dotted path of a submodule from `self` ("" for `self`); empty if the value is not a submodule.
std::optional<std::string> path_of(const Value *value, const Value *self) {
  if (value == self) return "";
  auto node = value->node();
  if (node->kind() != prim::GetAttr) return std::nullopt;
  auto parent = path_of(node->input(), self);
  if (!parent) return std::nullopt;
  auto &name = node->s(attr::name);
  return parent->empty() ? name : *parent + "." + name;
}

std::string join(const std::string &prefix, const std::string &path) {
  return prefix.empty() ? path : path.empty() ? prefix : prefix + "." + path;
}

// Overloads of a forward, such as a recurrent layer's, are numbered.
bool is_forward(const Node *call) {
  auto &name = call->s(attr::name);
  return name == "forward" || name.rfind("forward__", 0) == 0;
}

// Limit on the calls that are inlined to reach one submodule.
constexpr size_t MAX_INLINED = 4096;

// Counts an operation of a module after inlining, and throws at the limit.
void count_operation(size_t &left) {
  TORCH_CHECK(left > 0, "its forward has more than ", kte::MAX_OPERATIONS, " operations when its calls are inlined");
  --left;
}

// A submodule that forward calls.
struct Called {
  std::string path;
  // Type that the call returns.
  std::string type;
  bool tensor;
  int64_t times;
  // Whether the call is inside an `if` or a loop, so that the number of calls is not known.
  bool conditional;
};

// `left` is the number of operations left until the limit: n methods that each call the next one twice have
// 2^n operations.
void list_calls(Block *block, const Value *self, const std::string &prefix, bool conditional,
                std::vector<Called> &calls, size_t &left) {
  for (auto node : block->nodes()) {
    count_operation(left);
    for (auto inner : node->blocks()) list_calls(inner, self, prefix, true, calls, left);
    if (node->kind() != prim::CallMethod) continue;
    auto path = path_of(node->input(0), self);
    auto callee = path ? tryToGraphFunction(node) : nullptr;
    if (!callee) continue;
    auto whole = join(prefix, *path);
    auto graph = callee->graph();
    list_calls(graph->block(), graph->inputs().at(0), whole, conditional, calls, left);
    if (path->empty() || !is_forward(node)) continue;
    auto known = std::find_if(calls.begin(), calls.end(), [&](const Called &c) { return c.path == whole; });
    if (known != calls.end()) {
      ++known->times;
      known->conditional |= conditional;
      continue;
    }
    auto type = node->output()->type();
    calls.push_back({whole, type->repr_str(), type->kind() == c10::TypeKind::TensorType, 1, conditional});
  }
}

// Inserts a tap after the only call of a submodule. The calls that lead to it are inlined.
void insert_tap(Graph &graph, const std::string &path, int64_t slot) {
  auto self = graph.inputs().at(0);
  // Each iteration inlines one call and visits the whole graph.
  for (size_t left = MAX_INLINED;;) {
    count_operation(left);
    Node *call = nullptr;
    Node *way = nullptr;
    for (auto node : graph.nodes()) {
      if (node->kind() != prim::CallMethod) continue;
      auto called = path_of(node->input(0), self);
      if (!called) continue;
      if (*called == path && is_forward(node))
        call = node;
      else if (called->empty() || *called == path || path.rfind(*called + ".", 0) == 0)
        way = tryToGraphFunction(node) ? node : way;
    }
    if (call) {
      auto features = call->output();
      auto node = graph.create(TAP, 1)->insertAfter(call);
      features->replaceAllUsesWith(node->output());
      node->output()->setType(features->type());
      WithInsertPoint here(node);
      node->addInput(features);
      node->addInput(graph.insertConstant(slot));
      return;
    }
    TORCH_CHECK(way, "forward does not call `", path, "`");
    inlineCallTo(way, tryToGraphFunction(way), false);
  }
}

// Returns the indices of paths, outer submodules first: inserting a tap after an inner call inlines the calls
// around it.
std::vector<size_t> outer_first(const std::vector<std::string> &paths) {
  std::vector<size_t> order(paths.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  auto depth = [&](size_t i) { return std::count(paths[i].begin(), paths[i].end(), '.'); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return depth(a) < depth(b); });
  return order;
}

// Replaces each tap by a call of the submodule with the name of its slot.
void replace_taps(Block *block, Graph &graph, const std::vector<std::string> &names) {
  for (auto node = block->nodes().front(); node->kind() != prim::Return;) {
    for (auto inner : node->blocks()) replace_taps(inner, graph, names);
    auto tap = node;
    node = node->next();
    if (tap->kind() != TAP) continue;
    WithInsertPoint here(tap);
    auto &name = names.at(toIValue(tap->input(1))->toInt());
    auto module = graph.insertGetAttr(graph.inputs().at(0), name);
    auto call = graph.create(prim::CallMethod, {module, tap->input(0)}, 1)->insertBefore(tap);
    call->s_(attr::name, "forward");
    call->output()->setType(c10::TensorType::get());
    tap->output()->replaceAllUsesWith(call->output());
    tap->destroy();
  }
}

// Inlines all remaining calls.
void flatten(Block *block, size_t &left) {
  for (auto node = block->nodes().front(); node->kind() != prim::Return;) {
    count_operation(left);
    for (auto inner : node->blocks()) flatten(inner, left);
    bool function = node->kind() == prim::CallFunction;
    auto callee = function || node->kind() == prim::CallMethod ? tryToGraphFunction(node) : nullptr;
    if (!callee) {
      node = node->next();
      continue;
    }
    if (function) node->removeInput(0);
    // Continue with the nodes that replaced the call.
    auto before = node->prev();
    inlineCallTo(node, callee, false);
    node = before->next();
  }
}

// Collects the names of attributes, of any module, that are assigned a tensor.
void list_assigned(Block *block, std::set<std::string> &names) {
  for (auto node : block->nodes()) {
    if (node->kind() == prim::SetAttr && node->input(1)->type()->isSubtypeOf(c10::TensorType::get()))
      names.insert(node->s(attr::name));
    for (auto inner : node->blocks()) list_assigned(inner, names);
  }
}

// ---- the module ----

// An attribute of the module that contains a tensor.
struct Place {
  // Dotted name; empty for further names of one tensor.
  std::string name;
  Instance owner;
  size_t slot;
  at::Tensor tensor;

  void restore() const { owner->setSlot(slot, tensor); }
  // Replaces the tensor by a copy: autograd may need the values that a forward read before it assigned new
  // ones.
  void replace_by_copy() const { owner->setSlot(slot, tensor.clone()); }
  std::string attribute() const { return owner->type()->getAttributeName(slot); }
};

// Identifies a tensor with several names (tied weights): a loaded archive has one tensor object per name,
// with the same storage.
using TensorKey = std::tuple<void *, std::vector<int64_t>, std::vector<int64_t>, c10::ScalarType>;

struct Script {
  Module module;
  std::vector<Place> places;
  Code code;
  // Attributes that forward may assign.
  std::vector<const Place *> assigned;

  explicit Script(Module loaded) : module(std::move(loaded)) {
    std::map<TensorKey, at::Tensor> known;
    std::set<const void *> seen;
    collect(module._ivalue(), "", known, seen);
    attach({});
  }

  void collect(const Instance &object, const std::string &prefix, std::map<TensorKey, at::Tensor> &known,
               std::set<const void *> &seen) {
    if (!seen.insert(object.get()).second) return;
    auto type = object->type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      auto value = object->getSlot(i);
      auto name = join(prefix, type->getAttributeName(i));
      if (value.isTensor() && value.toTensor().defined()) {
        bool first;
        auto tensor = first_of(value.toTensor(), known, first);
        places.push_back({first ? name : "", object, i, tensor});
        places.back().restore();
      } else if (value.isTensorList()) {
        // A list of parameters, such as the flat weights of a recurrent layer, must refer to the same tensor
        // objects.
        auto list = value.toTensorList();
        for (size_t k = 0; k < list.size(); ++k) {
          auto found = known.find(key_of(list.get(k)));
          if (found != known.end()) list.set(k, found->second);
        }
      } else if (value.isObject()) {
        collect(value.toObject(), name, known, seen);
      }
    }
  }

  static TensorKey key_of(const at::Tensor &t) {
    return {t.data_ptr(), t.sizes().vec(), t.strides().vec(), t.scalar_type()};
  }

  // Returns the first tensor object with the same key, and whether it is this one.
  static at::Tensor first_of(const at::Tensor &tensor, std::map<TensorKey, at::Tensor> &known, bool &first) {
    first = true;
    if (tensor.numel() == 0) return tensor;
    auto [entry, inserted] = known.emplace(key_of(tensor), tensor);
    first = inserted;
    return entry->second;
  }

  // Replaces the graph by one with taps after the calls of these submodules.
  void attach(const std::vector<std::string> &paths) {
    auto graph = toGraphFunction(module.get_method("forward").function()).graph()->copy();
    for (auto i : outer_first(paths)) insert_tap(*graph, paths[i], static_cast<int64_t>(i));
    auto left = kte::MAX_OPERATIONS;
    flatten(graph->block(), left);
    std::set<std::string> names;
    list_assigned(graph->block(), names);
    assigned.clear();
    for (auto &place : places)
      if (names.count(place.attribute())) assigned.push_back(&place);
    code = Code(graph, "forward");
  }

  // A module may assign a new tensor to a buffer instead of writing into it. The value is copied into the
  // original tensor, on which others have handles.
  void copy_assigned() {
    at::NoGradGuard no_grad;
    for (auto place : assigned) {
      auto now = place->owner->getSlot(place->slot);
      TORCH_CHECK(now.isTensor() && now.toTensor().sizes() == place->tensor.sizes(), "forward changes the shape of `",
                  place->name, "`; it must stay ", place->tensor.sizes());
      place->tensor.copy_(now.toTensor());
      place->restore();
    }
  }

  at::Tensor forward(const at::Tensor &x, const Taps &callback) {
    Stack stack{module._ivalue(), x};
    module.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
    try {
      for (auto place : assigned) place->replace_by_copy();
      TapsScope scope(&callback);
      // A module may turn gradients off; the previous setting is restored afterwards.
      c10::AutoGradMode grad(c10::GradMode::is_enabled());
      // Calls that cannot be inlined are not optimized either.
      GraphOptimizerEnabledGuard plain(false);
      InterpreterState(code).run(stack);
      copy_assigned();
    } catch (...) {
      // A failed forward must not change the module.
      for (auto place : assigned) place->restore();
      throw;
    }
    return stack.front().toTensor();
  }
};

// Runs a function that reads an archive, and prefixes libtorch's error message with what it means.
template <class Body> auto explain_read_errors(Body body) -> decltype(body()) {
  auto refuse = [](const char *message) {
    bool unknown = std::strstr(message, "Unknown builtin op");
    TORCH_CHECK(false, unknown ? "it uses an operator that this torch does not have: "
                               : "it is not a module written by torch.jit.save: ", message);
  };
  try {
    return body();
  } catch (const c10::OutOfMemoryError &) {
    throw;
  } catch (const c10::Error &e) {
    refuse(e.what_without_backtrace());
  } catch (const std::exception &e) {
    refuse(e.what());
  }
  throw std::logic_error("unreachable");
}

std::set<std::string> check_archive(const char *data, size_t length) {
  return explain_read_errors([&] { return kte::forbidden_in_archive(data, length); });
}

Module read(const char *data, size_t length, at::Device device) {
  return explain_read_errors([&] {
    return torch::jit::load(std::make_shared<kte::Bytes>(data, length), device, /*load_debug_files=*/false);
  });
}

// Throws unless the module's forward takes and returns one tensor.
void check_forward(const Module &module) {
  auto method = module.find_method("forward");
  TORCH_CHECK(method, "the module has no forward");
  auto &schema = method->function().getSchema();
  auto &arguments = schema.arguments();
  auto tensor = c10::TensorType::get();
  bool takes = arguments.size() > 1 && tensor->isSubtypeOf(*arguments[1].type());
  for (size_t i = 2; i < arguments.size(); ++i) takes &= arguments[i].default_value().has_value();
  TORCH_CHECK(takes, "its forward must take one tensor; it is ", schema);
  bool gives = schema.returns().size() == 1 && schema.returns()[0].type()->isSubtypeOf(*tensor);
  TORCH_CHECK(gives, "its forward must return one tensor; it is ", schema);
}
} // namespace

extern "C" {
// Loads a TorchScript archive from memory; the bytes are not used after the call. `cuda` is the device's
// index, or -1 for the CPU. If the module uses forbidden names, calls `forbidden` with each of them and
// writes null to `out`.
int kte_script_load(const char *data, size_t length, int64_t cuda, void (*forbidden)(void *, const char *),
                    void *context, void **out) {
  KTE_GUARD({
    auto report = [&](const std::set<std::string> &names) {
      for (auto &name : names) forbidden(context, name.c_str());
      return !names.empty();
    };
    *out = nullptr;
    if (report(check_archive(data, length))) return 0;
    register_tap();
    auto device = cuda < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda));
    auto module = read(data, length, device);
    if (report(kte::forbidden_operators(module))) return 0;
    check_forward(module);
    GraphOptimizerEnabledGuard plain(false);
    *out = new Script(std::move(module));
  })
}

void kte_script_free(void *script) { delete static_cast<Script *>(script); }

// Calls `each` with every submodule that forward calls, in the order in which the calls return.
int kte_script_calls(const void *script, void (*each)(void *, const char *, const char *, bool, int64_t, bool),
                     void *context) {
  KTE_GUARD({
    auto graph = toGraphFunction(static_cast<const Script *>(script)->module.get_method("forward").function()).graph();
    std::vector<Called> calls;
    auto left = kte::MAX_OPERATIONS;
    list_calls(graph->block(), graph->inputs().at(0), "", false, calls, left);
    for (auto &c : calls) each(context, c.path.c_str(), c.type.c_str(), c.tensor, c.times, c.conditional);
  })
}

// Calls `each` with every tensor of the module and its first name. The callback owns the handle.
int kte_script_variables(const void *script, void (*each)(void *, const char *, at::Tensor *), void *context) {
  KTE_GUARD({
    for (auto &place : static_cast<const Script *>(script)->places)
      if (!place.name.empty()) each(context, place.name.c_str(), new at::Tensor(place.tensor));
  })
}

// Inserts tap `i` after the call of `paths[i]`, and removes all previous taps.
int kte_script_attach(void *script, const char *const *paths, size_t n) {
  KTE_GUARD({
    GraphOptimizerEnabledGuard plain(false);
    static_cast<Script *>(script)->attach({paths, paths + n});
  })
}

// Puts modules that take and return one tensor behind the calls of submodules, as submodules with these names,
// and calls `write` with the bytes of the archive. The module must not be used afterwards.
int kte_script_save_with(void *script, const char *const *paths, const char *const *names, void *const *modules,
                         size_t n, void (*write)(void *, const char *, size_t), void *context) {
  KTE_GUARD({
    auto &module = static_cast<Script *>(script)->module;
    auto graph = toGraphFunction(module.get_method("forward").function()).graph();
    for (size_t i = 0; i < n; ++i) {
      TORCH_CHECK(!module.hasattr(names[i]), "the module has an attribute `", names[i], "` already");
      module.register_module(names[i], *static_cast<Module *>(modules[i]));
    }
    for (auto i : outer_first({paths, paths + n})) insert_tap(*graph, paths[i], static_cast<int64_t>(i));
    replace_taps(graph->block(), *graph, {names, names + n});
    module.train(false);
    std::ostringstream archive;
    module.save(archive);
    auto bytes = archive.str();
    write(context, bytes.data(), bytes.size());
  })
}

int kte_script_train(void *script, bool train) { KTE_GUARD({ static_cast<Script *>(script)->module.train(train); }) }

// Runs forward. `at` owns the features that it receives, and returns their replacement, or null to end the
// forward.
int kte_script_forward(void *script, const at::Tensor *x, at::Tensor *(*at)(void *, int64_t, at::Tensor *),
                       void *context, at::Tensor **out) {
  KTE_GUARD({ *out = new at::Tensor(static_cast<Script *>(script)->forward(*x, Taps{context, at})); })
}
}
