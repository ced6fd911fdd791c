// TorchScript modules: loaded, listed, and run with taps behind the calls of their submodules.
//
// A module's own methods are never changed. What runs is a copy of its forward in which every call is inlined, so that a
// call has one place even if its class has many instances; it runs in the interpreter as it is written, operation by
// operation: nothing is profiled, fused or compiled behind a run's back, and autograd and autocast are the ordinary ones.
#include "script.h"
#include <algorithm>
#include <mutex>
#include <set>
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

// What a running forward hands its features to.
struct Taps {
  void *context;
  at::Tensor *(*at)(void *, int64_t, at::Tensor *);
};
thread_local const Taps *taps = nullptr;

// The taps of one forward; on every way out those of the forward around it are back.
struct Lent {
  const Taps *before = taps;
  explicit Lent(const Taps *now) { taps = now; }
  ~Lent() { taps = before; }
};

const auto TAP = c10::Symbol::fromQualString("kasmina::tap");

void tap(Stack &stack) {
  auto slot = pop(stack).toInt();
  auto features = pop(stack).toTensor();
  TORCH_CHECK(taps, "a tap is reached outside of the forward that it belongs to");
  std::unique_ptr<at::Tensor> flows(taps->at(taps->context, slot, new at::Tensor(std::move(features))));
  // Why is known to whoever has lent the taps.
  TORCH_CHECK(flows, "a tap failed");
  push(stack, std::move(*flows));
}

void register_tap() {
  static std::once_flag once;
  std::call_once(once, [] {
    registerOperator(Operator("kasmina::tap(Tensor features, int slot) -> Tensor", tap,
                              c10::AliasAnalysisKind::CONSERVATIVE));
  });
}

// ---- the graph ----

// The path of a submodule from `self`, if the value is one: "" is `self`.
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

// One with overloads, such as that of a recurrent layer, is numbered.
bool is_forward(const Node *call) {
  auto &name = call->s(attr::name);
  return name == "forward" || name.rfind("forward__", 0) == 0;
}

// The most calls that are inlined on the way to one submodule.
constexpr size_t MOST_INLINED = 4096;

// Counts an operation of what a module becomes when its calls are inlined.
void spend(size_t &left) {
  TORCH_CHECK(left > 0, "its forward has more than ", kte::MOST_OPERATIONS, " operations when its calls are inlined");
  --left;
}

// Where forward calls a submodule.
struct Called {
  std::string path;
  // What it returns.
  std::string type;
  bool tensor;
  int64_t times;
  // Inside an `if` or a loop: how often it is called is not known.
  bool conditional;
};

// `left` is how many operations may still be passed: a module whose methods call each other twice has 2^n of them.
void list_calls(Block *block, const Value *self, const std::string &prefix, bool conditional,
                std::vector<Called> &calls, size_t &left) {
  for (auto node : block->nodes()) {
    spend(left);
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

// Puts a tap behind the one call of a submodule; the calls on the way to it are inlined.
void insert_tap(Graph &graph, const std::string &path, int64_t slot) {
  auto self = graph.inputs().at(0);
  // Each turn inlines one call and looks at all of the graph.
  for (size_t left = MOST_INLINED;;) {
    spend(left);
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

// Inlines every call that is left.
void flatten(Block *block, size_t &left) {
  for (auto node = block->nodes().front(); node->kind() != prim::Return;) {
    spend(left);
    for (auto inner : node->blocks()) flatten(inner, left);
    bool function = node->kind() == prim::CallFunction;
    auto callee = function || node->kind() == prim::CallMethod ? tryToGraphFunction(node) : nullptr;
    if (!callee) {
      node = node->next();
      continue;
    }
    if (function) node->removeInput(0);
    // What takes the call's place is looked at next.
    auto before = node->prev();
    inlineCallTo(node, callee, false);
    node = before->next();
  }
}

// The names of attributes that are assigned a tensor, whatever module they are of.
void list_assigned(Block *block, std::set<std::string> &names) {
  for (auto node : block->nodes()) {
    if (node->kind() == prim::SetAttr && node->input(1)->type()->isSubtypeOf(c10::TensorType::get()))
      names.insert(node->s(attr::name));
    for (auto inner : node->blocks()) list_assigned(inner, names);
  }
}

// ---- the module ----

// A place in the module that holds a tensor.
struct Place {
  // Empty for a second name of one tensor.
  std::string name;
  Instance owner;
  size_t slot;
  at::Tensor tensor;

  void put() const { owner->setSlot(slot, tensor); }
  // What is read in a forward that assigns it later must not be written to before the backward.
  void lend() const { owner->setSlot(slot, tensor.clone()); }
  std::string attribute() const { return owner->type()->getAttributeName(slot); }
};

// A parameter may have several names. The archive keeps them apart, but for what lies behind them.
using Lies = std::tuple<void *, std::vector<int64_t>, std::vector<int64_t>, c10::ScalarType>;

struct Script {
  Module module;
  std::vector<Place> places;
  Code code;
  // Those that forward may assign.
  std::vector<const Place *> assigned;

  explicit Script(Module loaded) : module(std::move(loaded)) {
    std::map<Lies, at::Tensor> known;
    std::set<const void *> seen;
    collect(module._ivalue(), "", known, seen);
    attach({});
  }

  void collect(const Instance &object, const std::string &prefix, std::map<Lies, at::Tensor> &known,
               std::set<const void *> &seen) {
    if (!seen.insert(object.get()).second) return;
    auto type = object->type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      auto value = object->getSlot(i);
      auto name = join(prefix, type->getAttributeName(i));
      if (value.isTensor() && value.toTensor().defined()) {
        bool first;
        auto tensor = one(value.toTensor(), known, first);
        places.push_back({first ? name : "", object, i, tensor});
        places.back().put();
      } else if (value.isTensorList()) {
        // Such as the flat weights of a recurrent layer: other handles on its parameters.
        auto list = value.toTensorList();
        for (size_t k = 0; k < list.size(); ++k) {
          auto found = known.find(lies(list.get(k)));
          if (found != known.end()) list.set(k, found->second);
        }
      } else if (value.isObject()) {
        collect(value.toObject(), name, known, seen);
      }
    }
  }

  static Lies lies(const at::Tensor &t) {
    return {t.data_ptr(), t.sizes().vec(), t.strides().vec(), t.scalar_type()};
  }

  static at::Tensor one(const at::Tensor &tensor, std::map<Lies, at::Tensor> &known, bool &first) {
    first = true;
    if (tensor.numel() == 0) return tensor;
    auto [entry, inserted] = known.emplace(lies(tensor), tensor);
    first = inserted;
    return entry->second;
  }

  // A graph with taps behind these calls, in place of the one before.
  void attach(const std::vector<std::string> &paths) {
    auto graph = toGraphFunction(module.get_method("forward").function()).graph()->copy();
    std::vector<size_t> order(paths.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    // Outer calls first: to tap an inner one is to inline those around it.
    auto depth = [&](size_t i) { return std::count(paths[i].begin(), paths[i].end(), '.'); };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return depth(a) < depth(b); });
    for (auto i : order) insert_tap(*graph, paths[i], static_cast<int64_t>(i));
    auto left = kte::MOST_OPERATIONS;
    flatten(graph->block(), left);
    std::set<std::string> names;
    list_assigned(graph->block(), names);
    assigned.clear();
    for (auto &place : places)
      if (names.count(place.attribute())) assigned.push_back(&place);
    code = Code(graph, "forward");
  }

  // A module may assign to a buffer instead of writing into it; the tensor that others have a handle on stays in its
  // place and takes the value.
  void settle() {
    at::NoGradGuard no_grad;
    for (auto place : assigned) {
      auto now = place->owner->getSlot(place->slot);
      TORCH_CHECK(now.isTensor() && now.toTensor().sizes() == place->tensor.sizes(), "forward gives `", place->name,
                  "` another shape; it must keep ", place->tensor.sizes());
      place->tensor.copy_(now.toTensor());
      place->put();
    }
  }

  at::Tensor forward(const at::Tensor &x, const Taps &lend) {
    Stack stack{module._ivalue(), x};
    module.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
    try {
      for (auto place : assigned) place->lend();
      Lent lent(&lend);
      // What a module says of gradients holds while it runs.
      c10::AutoGradMode grad(c10::GradMode::is_enabled());
      // What could not be inlined is not compiled either.
      GraphOptimizerEnabledGuard plain(false);
      InterpreterState(code).run(stack);
      settle();
    } catch (...) {
      // A forward that failed has assigned nothing.
      for (auto place : assigned) place->put();
      throw;
    }
    return stack.front().toTensor();
  }
};

// What libtorch says of an archive that it cannot read, with what that means.
template <class Body> auto reading(Body body) -> decltype(body()) {
  auto refuse = [](const char *said) {
    bool unknown = std::strstr(said, "Unknown builtin op");
    TORCH_CHECK(false, unknown ? "it uses an operator that this torch does not have: "
                               : "it is no module that torch.jit.save has written: ", said);
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
  throw std::logic_error("it was refused");
}

std::set<std::string> check_archive(const char *data, size_t length) {
  return reading([&] { return kte::forbidden_in_archive(data, length); });
}

Module read(const char *data, size_t length, at::Device device) {
  return reading([&] {
    return torch::jit::load(std::make_shared<kte::Bytes>(data, length), device, /*load_debug_files=*/false);
  });
}

// One tensor in, one tensor out.
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
// A TorchScript archive in memory; the bytes are needed for the call only. `cuda` is the device's number, -1 the CPU. If the
// module uses what is not allowed, `forbidden` is told of each name, and there is no module.
int kte_script_load(const char *data, size_t length, int64_t cuda, void (*forbidden)(void *, const char *),
                    void *context, void **out) {
  KTE_GUARD({
    auto tell = [&](const std::set<std::string> &names) {
      for (auto &name : names) forbidden(context, name.c_str());
      return !names.empty();
    };
    *out = nullptr;
    if (tell(check_archive(data, length))) return 0;
    register_tap();
    auto device = cuda < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda));
    auto module = read(data, length, device);
    if (tell(kte::forbidden_operators(module))) return 0;
    check_forward(module);
    GraphOptimizerEnabledGuard plain(false);
    *out = new Script(std::move(module));
  })
}

void kte_script_free(void *script) { delete static_cast<Script *>(script); }

// Tells of every submodule that forward calls, in the order in which the calls return.
int kte_script_calls(const void *script, void (*each)(void *, const char *, const char *, bool, int64_t, bool),
                     void *context) {
  KTE_GUARD({
    auto graph = toGraphFunction(static_cast<const Script *>(script)->module.get_method("forward").function()).graph();
    std::vector<Called> calls;
    auto left = kte::MOST_OPERATIONS;
    list_calls(graph->block(), graph->inputs().at(0), "", false, calls, left);
    for (auto &c : calls) each(context, c.path.c_str(), c.type.c_str(), c.tensor, c.times, c.conditional);
  })
}

// Tells of every tensor that the module holds, by its first name; the receiver owns the handle.
int kte_script_variables(const void *script, void (*each)(void *, const char *, at::Tensor *), void *context) {
  KTE_GUARD({
    for (auto &place : static_cast<const Script *>(script)->places)
      if (!place.name.empty()) each(context, place.name.c_str(), new at::Tensor(place.tensor));
  })
}

// Taps behind the calls of these submodules and no others; tap `i` is that of `paths[i]`.
int kte_script_attach(void *script, const char *const *paths, size_t n) {
  KTE_GUARD({
    GraphOptimizerEnabledGuard plain(false);
    static_cast<Script *>(script)->attach({paths, paths + n});
  })
}

int kte_script_train(void *script, bool train) { KTE_GUARD({ static_cast<Script *>(script)->module.train(train); }) }

// `at` owns the features that it is handed and gives back what flows on, or null to end the forward.
int kte_script_forward(void *script, const at::Tensor *x, at::Tensor *(*at)(void *, int64_t, at::Tensor *),
                       void *context, at::Tensor **out) {
  KTE_GUARD({ *out = new at::Tensor(static_cast<Script *>(script)->forward(*x, Taps{context, at})); })
}
}
