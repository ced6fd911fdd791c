// What a TorchScript archive may contain. A module is a program: it may read and write files, and some of it runs while it is
// loaded. What is allowed here is what computes with tensors, numbers and texts in memory; everything else is refused by name.
#include "script.h"
#include <array>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <unordered_set>
#include <vector>

using namespace torch::jit;

namespace {
// ---- the text of the code ----

// An expression is read and compiled by functions that call themselves for each part of it.
constexpr size_t DEEPEST = 200;
constexpr size_t MOST_PARTS = 2000;
// How much larger than the archive all that it holds may be.
constexpr size_t MOST_UNPACKED = 64 << 20;

bool begins(const std::string &text, const char *with) { return text.rfind(with, 0) == 0; }
bool ends(const std::string &text, const std::string &with) {
  return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

// Refuses code that is nested so deeply, or has so long expressions, that reading it would overflow the stack.
void check_nesting(const std::string &code) {
  size_t depth = 0, parts = 0, indent = 0;
  bool at_line_start = true;
  char quote = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    char c = code[i];
    if (quote) {
      if (c == '\\') ++i;
      else if (c == quote) quote = 0;
      continue;
    }
    if (at_line_start && c == ' ') {
      ++indent;
      continue;
    }
    if (c == '\n') {
      if (depth == 0) parts = 0;
      indent = 0;
      at_line_start = true;
      continue;
    }
    if (at_line_start) TORCH_CHECK(indent <= 2 * DEEPEST, "its code has blocks nested deeper than ", DEEPEST);
    at_line_start = false;
    bool name_before = i > 0 && (std::isalnum(static_cast<unsigned char>(code[i - 1])) || std::strchr("_)]", code[i - 1]));
    bool name_behind = i + 1 < code.size() && (std::isalpha(static_cast<unsigned char>(code[i + 1])) || code[i + 1] == '_');
    if (c == '"' || c == '\'') quote = c;
    else if (std::strchr("([{", c)) ++depth, ++parts;
    else if (std::strchr(")]}", c)) depth -= depth > 0;
    else if (std::strchr("+-*/%@&|^<>~=", c) || (c == '.' && name_before && name_behind)) ++parts;
    else if (c == ' ' && name_behind && (code.compare(i + 1, 4, "not ") == 0 || code.compare(i + 1, 3, "if ") == 0)) ++parts;
    TORCH_CHECK(depth <= DEEPEST, "its code has expressions nested deeper than ", DEEPEST);
    TORCH_CHECK(parts <= MOST_PARTS, "its code has an expression of more than ", MOST_PARTS, " parts");
  }
}

// ---- the operators ----

// Of the language itself, what computes, decides and keeps values.
const std::unordered_set<std::string> LANGUAGE = {
    "prim::CallFunction", "prim::CallMethod", "prim::Constant", "prim::CreateObject", "prim::DictConstruct",
    "prim::EnumName", "prim::EnumValue", "prim::Enter", "prim::Exit", "prim::GetAttr", "prim::HasAttr", "prim::If",
    "prim::ListConstruct", "prim::ListUnpack", "prim::Loop", "prim::ModuleContainerIndex", "prim::NumToTensor",
    "prim::Param", "prim::RaiseException", "prim::Return", "prim::SetAttr", "prim::StringIndex",
    "prim::TupleConstruct", "prim::TupleIndex", "prim::TupleSlice", "prim::TupleUnpack", "prim::Uninitialized",
    "prim::abs", "prim::data", "prim::device", "prim::dtype", "prim::grad", "prim::is_cpu", "prim::is_cuda",
    "prim::is_meta", "prim::is_mkldnn", "prim::is_nested", "prim::is_quantized", "prim::is_sparse",
    "prim::is_sparse_csr", "prim::isinstance", "prim::itemsize", "prim::layout", "prim::max", "prim::min",
    "prim::ndim", "prim::rangelist", "prim::requires_grad", "prim::shape", "prim::tolist", "prim::type",
    "prim::unchecked_cast", "prim::unchecked_unwrap_optional",
};

// Operators on texts alone.
const std::unordered_set<std::string> TEXTS = {
    "aten::__contains__", "aten::__getitem__", "aten::_set_item", "aten::add", "aten::capitalize", "aten::chr",
    "aten::Delete", "aten::endswith", "aten::eq", "aten::find", "aten::format", "aten::ge", "aten::get", "aten::gt",
    "aten::hash", "aten::isalnum", "aten::isalpha", "aten::isdigit", "aten::items", "aten::join", "aten::keys",
    "aten::le", "aten::len", "aten::list", "aten::lower", "aten::lt", "aten::mul", "aten::ne", "aten::ord",
    "aten::percentFormat", "aten::pop", "aten::replace", "aten::setdefault", "aten::slice", "aten::split",
    "aten::startswith", "aten::str", "aten::strip", "aten::update", "aten::upper", "aten::values", "aten::warn",
    "aten::zfill", "aten::Float", "aten::Int", "aten::dict", "aten::append", "aten::extend", "aten::copy",
    "aten::remove", "aten::insert", "aten::index", "aten::count", "aten::clear", "aten::contains",
};

// Texts by which an operator on tensors is told how to compute.
const std::unordered_set<std::string> CHOICES = {
    "UPLO",   "approximate", "driver", "equation", "indexing",      "mode", "norm",
    "ord",    "p",           "pad_mode", "padding", "padding_mode", "reduce", "rounding_mode",
    "side",   "reduction",
};

// What has no texts among its arguments and does more than compute all the same.
const std::unordered_set<std::string> EFFECTS = {
    "aten::_async", "aten::fork", "aten::get_num_threads", "aten::grad", "aten::initial_seed", "aten::manual_seed",
    "aten::save", "aten::seed", "aten::set_data", "aten::set_num_threads", "aten::sleep", "aten::wait",
};

bool has_text(const c10::TypePtr &type) {
  if (type->kind() == c10::TypeKind::StringType) return true;
  for (auto &inner : type->containedTypes())
    if (has_text(inner)) return true;
  return false;
}

bool is_allowed(const Node *node) {
  std::string name = node->kind().toQualString();
  if (LANGUAGE.count(name)) return true;
  if (!begins(name, "aten::") || EFFECTS.count(name)) return false;
  if (TEXTS.count(name)) return true;
  auto schema = node->maybeSchema();
  if (!schema) return false;
  for (auto &argument : schema->arguments())
    if (has_text(argument.type()) && !CHOICES.count(argument.name())) return false;
  return true;
}

void look(Graph &graph, std::set<std::string> &names, size_t &operations) {
  std::vector<Block *> blocks{graph.block()};
  while (!blocks.empty()) {
    auto block = blocks.back();
    blocks.pop_back();
    for (auto node : block->nodes()) {
      TORCH_CHECK(++operations <= kte::MOST_OPERATIONS, "it has more than ", kte::MOST_OPERATIONS, " operations");
      if (!is_allowed(node)) names.insert(node->kind().toQualString());
      for (auto inner : node->blocks()) blocks.push_back(inner);
    }
  }
}
} // namespace

namespace kte {
std::set<std::string> forbidden_in_archive(const char *data, size_t length) {
  caffe2::serialize::PyTorchStreamReader reader(std::make_shared<Bytes>(data, length));
  std::set<std::string> names;
  // torch.jit.save packs the text of the code and nothing else.
  size_t left = length + MOST_UNPACKED;
  bool has_code = false;
  for (auto &record : reader.getAllRecords()) {
    auto size = reader.getRecordSize(record);
    TORCH_CHECK(size <= left, "its archive is much larger unpacked than packed");
    left -= size;
    bool code = begins(record, "code/") && ends(record, ".py");
    has_code |= code;
    if (!code && !ends(record, ".pkl")) continue;
    auto [bytes, read] = reader.getRecord(record);
    std::string text(static_cast<const char *>(bytes.get()), read);
    // Classes of libtorch's own are made by code of theirs, and a method of this name is called while a module is loaded.
    for (auto name : {"torch.classes", "__setstate__"})
      if (text.find(name) != std::string::npos) names.insert(name);
    if (code) check_nesting(text);
  }
  TORCH_CHECK(has_code, "it holds weights without code, as torch.save writes them; write it with torch.jit.save");
  return names;
}

std::set<std::string> forbidden_operators(const Module &module) {
  std::set<std::string> names;
  size_t operations = 0;
  std::unordered_set<const Function *> seen;
  auto unit = module._ivalue()->compilation_unit();
  // What is compiled on demand while one function is looked at is a function of the unit too.
  for (bool more = true; more;) {
    more = false;
    for (auto function : unit->get_functions()) {
      if (!seen.insert(function).second) continue;
      more = true;
      if (auto compiled = tryToGraphFunction(*function)) look(*compiled->graph(), names, operations);
    }
  }
  return names;
}
} // namespace kte
