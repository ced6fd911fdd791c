// Checks what a TorchScript archive contains. A module is a program: it can read and write files, and some
// of its code runs while it is loaded. Only operations that compute with tensors, numbers and strings in
// memory are allowed; all others are refused by name.
#include "script.h"
#include <cctype>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <optional>
#include <unordered_set>
#include <vector>

using namespace torch::jit;

namespace {
// ---- the text of the code ----

// Limits on an expression, because libtorch parses and compiles expressions recursively.
constexpr size_t MAX_DEPTH = 200;
constexpr size_t MAX_PARTS = 2000;

bool begins(const std::string &text, const char *with) { return text.rfind(with, 0) == 0; }
bool ends(const std::string &text, const std::string &with) {
  return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

// Checks the text of one code file before any of it is compiled. Default values of arguments and attributes
// are evaluated while a file is compiled, so calls are refused outside of function bodies.
class CodeCheck {
public:
  explicit CodeCheck(const std::string &code) : code(code) {}

  // Returns the code without blanks, strings and comments, so that a name cannot be hidden by blanks inside
  // it.
  std::string run() {
    while (at < code.size()) line();
    return squeezed;
  }

private:
  const std::string &code;
  size_t at = 0;
  std::string squeezed;
  // Indentation of the function whose body is being read; empty outside of functions.
  std::optional<size_t> function;

  static bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  static bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
  bool word(size_t from, const char *wanted) const {
    auto n = std::strlen(wanted);
    return code.compare(from, n, wanted) == 0 && (from + n >= code.size() || !is_name(code[from + n]));
  }

  // Whether the sign at the current position belongs to the exponent of a number.
  bool is_exponent() const {
    return at > 1 && std::strchr("eE", code[at - 1]) && (std::isdigit(static_cast<unsigned char>(code[at - 2])) || code[at - 2] == '.');
  }

  // Reads a logical line, which ends at the first line end outside of brackets.
  void line() {
    size_t indent = 0;
    while (at < code.size() && code[at] == ' ') ++at, ++indent;
    if (at < code.size() && code[at] == '\n') {
      ++at;
      return;
    }
    TORCH_CHECK(indent <= 2 * MAX_DEPTH, "its code has blocks nested deeper than ", MAX_DEPTH);
    bool inside = function && indent > *function;
    bool is_function = word(at, "def");
    TORCH_CHECK(!(inside && is_function), "its code has a function inside of a function");
    if (!inside) function = std::nullopt;
    if (is_function) function = indent;
    // The bracket after the name of a class or function is not a call.
    bool header = is_function || word(at, "class");
    size_t depth = 0, parts = 0, calls = 0;
    char last = 0;
    for (; at < code.size(); ++at) {
      char c = code[at];
      if (c == '#') {
        while (at < code.size() && code[at] != '\n') ++at;
        if (at == code.size()) break;
        c = '\n';
      }
      if (c == '\n' && depth == 0) {
        ++at;
        break;
      }
      TORCH_CHECK(c == '\n' || c == ' ' || !std::iscntrl(static_cast<unsigned char>(c)), "its code has a control character");
      TORCH_CHECK(c != '\\', "its code has a line continued by a backslash");
      if (c == '"' || c == '\'') {
        text(c);
        last = c;
        continue;
      }
      if (c == ' ' || c == '\n') continue;
      bool name_before = at > 0 && (is_name(code[at - 1]) || std::strchr(")]", code[at - 1]));
      bool name_behind = at + 1 < code.size() && starts_name(code[at + 1]);
      if (std::strchr("([{", c)) ++depth, ++parts;
      // An opening bracket after a value is a call; any other one groups, or begins a tuple.
      if (c == '(' && last && (is_name(last) || std::strchr(")]\"'", last))) ++calls;
      if (std::strchr(")]}", c)) depth -= depth > 0;
      if (std::strchr("+*/%@&|^<>~=", c) || (c == '-' && name_before && !is_exponent()) || (c == '.' && name_before && name_behind)) ++parts;
      if (starts_name(c) && !(at > 0 && is_name(code[at - 1])) && (word(at, "not") || word(at, "if"))) ++parts;
      squeezed += c;
      last = c;
      TORCH_CHECK(depth <= MAX_DEPTH, "its code has expressions nested deeper than ", MAX_DEPTH);
      TORCH_CHECK(parts <= MAX_PARTS, "its code has an expression of more than ", MAX_PARTS, " parts");
    }
    squeezed += '\n';
    if (inside) return;
    TORCH_CHECK(calls <= (header ? 1 : 0), "its code calls something outside of the body of a function");
    TORCH_CHECK(!header || last == ':', "its code has a function or a class in one line");
  }

  // Skips a string literal, which contains no code.
  void text(char quote) {
    TORCH_CHECK(code.compare(at, 3, std::string(3, quote)) != 0, "its code has a text of several lines");
    for (++at; at < code.size() && code[at] != quote; ++at) {
      TORCH_CHECK(code[at] != '\n', "its code has a text of several lines");
      if (code[at] == '\\') ++at;
    }
  }
};

std::string lower(std::string text) {
  for (auto &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// ---- the operators ----

// Allowed operators of the language itself: they compute, branch, or store values.
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

// Allowed operators on strings and containers.
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

// Names of string arguments that select how a tensor operator computes.
const std::unordered_set<std::string> CHOICES = {
    "UPLO",   "approximate", "driver", "equation", "indexing",      "mode", "norm",
    "ord",    "p",           "pad_mode", "padding", "padding_mode", "reduce", "rounding_mode",
    "side",   "reduction",
};

// Forbidden operators that have no string arguments.
const std::unordered_set<std::string> EFFECTS = {
    "aten::_async", "aten::backward", "aten::fork", "aten::get_num_threads", "aten::grad", "aten::initial_seed", "aten::manual_seed",
    "aten::save", "aten::seed", "aten::set_data", "aten::set_num_threads", "aten::sleep", "aten::wait",
};

bool has_text(const c10::TypePtr &type) {
  if (type->kind() == c10::TypeKind::StringType) return true;
  for (auto &inner : type->containedTypes())
    if (has_text(inner)) return true;
  return false;
}

// Classes implemented in C++: creating or calling one runs code that is not part of the graph.
bool is_of_libtorch(const c10::TypePtr &type) {
  auto written = type->cast<c10::ClassType>();
  return written && written->name() && begins(written->name()->qualifiedName(), "__torch__.torch.classes");
}

bool touches_classes(const Node *node) {
  for (auto value : node->inputs())
    if (is_of_libtorch(value->type())) return true;
  for (auto value : node->outputs())
    if (is_of_libtorch(value->type())) return true;
  return false;
}

bool is_allowed(const Node *node) {
  if (touches_classes(node)) return false;
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

void check_graph(Graph &graph, std::set<std::string> &names, size_t &operations) {
  std::vector<Block *> blocks{graph.block()};
  while (!blocks.empty()) {
    auto block = blocks.back();
    blocks.pop_back();
    for (auto node : block->nodes()) {
      TORCH_CHECK(++operations <= kte::MAX_OPERATIONS, "it has more than ", kte::MAX_OPERATIONS, " operations");
      if (!is_allowed(node)) names.insert(node->kind().toQualString());
      for (auto inner : node->blocks()) blocks.push_back(inner);
    }
  }
}
} // namespace

namespace kte {
std::set<std::string> forbidden_in_archive(const char *data, size_t length) {
  // src/archive.rs has checked the sizes of the records.
  caffe2::serialize::PyTorchStreamReader reader(std::make_shared<Bytes>(data, length));
  std::set<std::string> names, seen;
  bool has_code = false;
  for (auto &record : reader.getAllRecords()) {
    // The reader ignores case when it looks up a record.
    auto name = lower(record);
    TORCH_CHECK(seen.insert(name).second, "its archive holds `", record, "` twice");
    bool code = begins(name, "code/") && ends(name, ".py");
    has_code |= code;
    // Records of tensors contain only numbers and need no check.
    if (begins(name, "data/") || begins(name, "constants/") || ends(name, ".debug_pkl")) continue;
    auto [bytes, read] = reader.getRecord(record);
    std::string text(static_cast<const char *>(bytes.get()), read);
    // libtorch unpickles these two. The storages of `data.pkl` are in the records `data/KEY`.
    if (name == "data.pkl" || name == "constants.pkl") {
      auto folder = record.substr(0, record.size() - strlen(".pkl")) + "/";
      kte::check_pickle(text, [&](const std::string &key) { return reader.getRecordSize(folder + key); });
    }
    auto searched = code ? CodeCheck(text).run() : text;
    // libtorch's C++ classes run their own code when they are created, and `__setstate__` is called while a
    // module is loaded. In a pickle, a line end separates the two parts of a name.
    for (auto word : {"torch.classes", "torch\nclasses", "__setstate__"})
      if (searched.find(word) != std::string::npos) names.insert(word == std::string("torch\nclasses") ? "torch.classes" : word);
  }
  TORCH_CHECK(has_code, "it holds weights without code, as torch.save writes them; write it with torch.jit.save");
  return names;
}

std::set<std::string> forbidden_operators(const Module &module) {
  std::set<std::string> names;
  size_t operations = 0;
  std::unordered_set<const Function *> seen;
  auto unit = module._ivalue()->compilation_unit();
  // Checking a function can compile further functions on demand, so repeat until there are no new ones.
  for (bool more = true; more;) {
    more = false;
    for (auto function : unit->get_functions()) {
      if (!seen.insert(function).second) continue;
      more = true;
      if (auto compiled = tryToGraphFunction(*function)) check_graph(*compiled->graph(), names, operations);
    }
  }
  return names;
}
} // namespace kte
