// Finding the linear layers directly before and after marked features of a function.
//
// The function is traced. It marks features by `alias`, which changes nothing.
#include "traced.h"
#include <sstream>
#include <torch/csrc/jit/ir/constants.h>

using namespace torch::jit;

namespace {
bool is(Node *node, const char *operation) { return node->kind() == Symbol::fromQualString(operation); }

// The dotted name of a parameter of the module, or an empty text for any other value.
std::string name_of(Value *value) {
  auto node = value->node();
  if (node->kind() != prim::GetAttr) return "";
  auto owner = name_of(node->input(0));
  return owner.empty() ? node->s(attr::name) : owner + "." + node->s(attr::name);
}

// The number of places that use a parameter, in the whole graph.
size_t uses_of(Graph &graph, const std::string &name) {
  size_t uses = 0;
  for (auto node : graph.nodes())
    if (node->kind() == prim::GetAttr && name_of(node->output()) == name) uses += node->output()->uses().size();
  return uses;
}

// Whether a list of integers has an element that is not 0, or is no constant.
bool any(Value *list) {
  if (list->node()->kind() != prim::ListConstruct) {
    auto known = toIValue(list);
    if (!known || !known->isIntList()) return true;
    for (auto value : known->toIntVector())
      if (value) return true;
    return false;
  }
  for (auto element : list->node()->inputs()) {
    auto known = toIValue(element);
    if (!known || !known->isInt() || known->toInt()) return true;
  }
  return false;
}

std::string integers(Value *list) {
  std::ostringstream text;
  auto known = toIValue(list);
  if (known && known->isIntList()) {
    for (auto value : known->toIntVector()) text << value << ',';
  } else if (list->node()->kind() == prim::ListConstruct) {
    for (auto element : list->node()->inputs()) {
      auto value = toIValue(element);
      text << (value && value->isInt() ? std::to_string(value->toInt()) : "?") << ',';
    }
  } else {
    text << "?,";
  }
  return text.str();
}

// Operations that change nothing in inference.
bool passes(Node *node) {
  if (is(node, "aten::contiguous")) return true;
  if (!is(node, "aten::dropout")) return false;
  auto train = toIValue(node->input(2));
  return train && train->isBool() && !train->toBool();
}

// Writes the fields of a layer: operation, weight, bias, whether another place uses one of them, groups, and
// whether it pads. An operation that is no layer has empty fields.
void write_layer(std::ostream &out, Graph &graph, Node *node, size_t offset) {
  bool full = is(node, "aten::_convolution") || is(node, "aten::convolution");
  bool convolution = full || is(node, "aten::conv1d") || is(node, "aten::conv2d") || is(node, "aten::conv3d");
  bool end = node->kind() == prim::Param || node->kind() == prim::Return;
  std::string operation(end ? "" : node->kind().toUnqualString());
  if (full) {
    auto transposed = toIValue(node->input(6));
    if (!transposed || transposed->toBool()) convolution = false, operation = "transposed convolution";
  }
  if (offset || !(convolution || is(node, "aten::linear"))) {
    out << operation << "\t\t\t0\t1\t0";
    return;
  }
  auto weight = name_of(node->input(1)), bias = name_of(node->input(2));
  bool none = node->input(2)->mustBeNone();
  bool shared = uses_of(graph, weight) > 1 || (!bias.empty() && uses_of(graph, bias) > 1) || (bias.empty() && !none);
  auto groups = convolution ? toIValue(node->input(full ? 8 : 6)) : std::optional<IValue>(int64_t(1));
  out << (convolution ? "convolution" : "linear") << '\t' << weight << '\t' << bias << '\t' << shared << '\t'
      << (groups && groups->isInt() ? groups->toInt() : 0) << '\t' << (convolution && any(node->input(4)));
}

void write_before(std::ostream &out, Graph &graph, Node *mark) {
  auto features = mark->input(0);
  while (features->uses().size() == 1 && passes(features->node())) features = features->node()->input(0);
  out << "before\t" << features->uses().size() << "\t\t";
  write_layer(out, graph, features->node(), 0);
  out << '\n';
}

void write_after(std::ostream &out, Graph &graph, Node *mark) {
  auto features = mark->output();
  std::string averaged;
  for (;;) {
    auto uses = features->uses();
    if (uses.size() == 1 && uses[0].offset == 0) {
      auto user = uses[0].user;
      if (passes(user) || (averaged.empty() && is(user, "aten::mean") && user->inputs().size() == 4)) {
        if (!passes(user)) averaged = integers(user->input(1));
        features = user->output();
        continue;
      }
    }
    out << "after\t" << uses.size() << '\t' << averaged << '\t';
    if (uses.empty()) out << "\t\t\t0\t1\t0";
    else write_layer(out, graph, uses[0].user, uses[0].offset);
    out << '\n';
    return;
  }
}
} // namespace

extern "C" {
// Writes two lines for each mark, in the order of the marks: what stands before it and what stands after it.
int kte_neighbours(void *module, const at::Tensor *x, kte::Callback callback, void *context,
                   void (*write)(void *, const char *, size_t), void *lines) {
  KTE_GUARD({
    auto graph = kte::trace(*static_cast<Module *>(module), *x, callback, context);
    std::ostringstream out;
    for (auto node : graph->nodes()) {
      if (!is(node, "aten::alias")) continue;
      write_before(out, *graph, node);
      write_after(out, *graph, node);
    }
    auto text = out.str();
    write(lines, text.data(), text.size());
  })
}
}
