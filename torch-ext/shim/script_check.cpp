// What a TorchScript archive may contain. A module is a program: it may read and write files, and some of it runs while it is
// loaded. What is allowed here is what computes with tensors, numbers and texts in memory; everything else is refused by name.
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

// An expression is read and compiled by functions that call themselves for each part of it.
constexpr size_t DEEPEST = 200;
constexpr size_t MOST_PARTS = 2000;

bool begins(const std::string &text, const char *with) { return text.rfind(with, 0) == 0; }
bool ends(const std::string &text, const std::string &with) {
  return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

// The text of one file of code, looked at before anything of it is compiled. Some of a file runs while it is compiled: the
// values that arguments and attributes have by default. So outside of the bodies of functions nothing may be called.
class CodeCheck {
public:
  explicit CodeCheck(const std::string &code) : code(code) {}

  // The code without blanks, so that no name can be spelled around.
  std::string run() {
    while (at < code.size()) line();
    return squeezed;
  }

private:
  const std::string &code;
  size_t at = 0;
  std::string squeezed;
  // How far the function is indented whose body is being read; none outside of one.
  std::optional<size_t> function;

  static bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  static bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
  bool word(size_t from, const char *wanted) const {
    auto n = std::strlen(wanted);
    return code.compare(from, n, wanted) == 0 && (from + n >= code.size() || !is_name(code[from + n]));
  }

  // Whether a sign belongs to the exponent of a number.
  bool is_exponent() const {
    return at > 1 && std::strchr("eE", code[at - 1]) && (std::isdigit(static_cast<unsigned char>(code[at - 2])) || code[at - 2] == '.');
  }

  // A logical line: up to the end of a line at which no bracket is open.
  void line() {
    size_t indent = 0;
    while (at < code.size() && code[at] == ' ') ++at, ++indent;
    if (at < code.size() && code[at] == '\n') {
      ++at;
      return;
    }
    TORCH_CHECK(indent <= 2 * DEEPEST, "its code has blocks nested deeper than ", DEEPEST);
    bool inside = function && indent > *function;
    bool is_function = word(at, "def");
    TORCH_CHECK(!(inside && is_function), "its code has a function inside of a function");
    if (!inside) function = std::nullopt;
    if (is_function) function = indent;
    // The brackets of a class's base and of a function's arguments are not calls.
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
      TORCH_CHECK(c != '\\', "its code has a line that goes on behind a backslash");
      if (c == '"' || c == '\'') {
        text(c);
        last = c;
        continue;
      }
      if (c == ' ' || c == '\n') continue;
      bool name_before = at > 0 && (is_name(code[at - 1]) || std::strchr(")]", code[at - 1]));
      bool name_behind = at + 1 < code.size() && starts_name(code[at + 1]);
      if (std::strchr("([{", c)) ++depth, ++parts;
      // A bracket behind a value is a call; any other one groups, or makes a tuple.
      if (c == '(' && last && (is_name(last) || std::strchr(")]\"'", last))) ++calls;
      if (std::strchr(")]}", c)) depth -= depth > 0;
      if (std::strchr("+*/%@&|^<>~=", c) || (c == '-' && name_before && !is_exponent()) || (c == '.' && name_before && name_behind)) ++parts;
      if (starts_name(c) && !(at > 0 && is_name(code[at - 1])) && (word(at, "not") || word(at, "if"))) ++parts;
      squeezed += c;
      last = c;
      TORCH_CHECK(depth <= DEEPEST, "its code has expressions nested deeper than ", DEEPEST);
      TORCH_CHECK(parts <= MOST_PARTS, "its code has an expression of more than ", MOST_PARTS, " parts");
    }
    squeezed += '\n';
    if (inside) return;
    TORCH_CHECK(calls <= (header ? 1 : 0), "its code calls something outside of the body of a function");
    TORCH_CHECK(!header || last == ':', "its code has a function or a class in one line");
  }

  // A text between quotes; nothing in it is code.
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
    "aten::_async", "aten::backward", "aten::fork", "aten::get_num_threads", "aten::grad", "aten::initial_seed", "aten::manual_seed",
    "aten::save", "aten::seed", "aten::set_data", "aten::set_num_threads", "aten::sleep", "aten::wait",
};

bool has_text(const c10::TypePtr &type) {
  if (type->kind() == c10::TypeKind::StringType) return true;
  for (auto &inner : type->containedTypes())
    if (has_text(inner)) return true;
  return false;
}

// Classes that are written in C++: making one, or calling it, runs code that is no graph.
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
  // What all records take was looked at before: src/archive.rs.
  caffe2::serialize::PyTorchStreamReader reader(std::make_shared<Bytes>(data, length));
  std::set<std::string> names, seen;
  bool has_code = false;
  for (auto &record : reader.getAllRecords()) {
    // The reader finds a record whatever the case of its letters.
    auto name = lower(record);
    TORCH_CHECK(seen.insert(name).second, "its archive holds `", record, "` twice");
    bool code = begins(name, "code/") && ends(name, ".py");
    has_code |= code;
    // Tensors are numbers; everything else is read.
    if (begins(name, "data/") || begins(name, "constants/") || ends(name, ".debug_pkl")) continue;
    auto [bytes, read] = reader.getRecord(record);
    std::string text(static_cast<const char *>(bytes.get()), read);
    // These are unpickled; the storages of `data.pkl` are the records `data/KEY`.
    if (name == "data.pkl" || name == "constants.pkl") {
      auto folder = record.substr(0, record.size() - strlen(".pkl")) + "/";
      kte::check_pickle(text, [&](const std::string &key) { return reader.getRecordSize(folder + key); });
    }
    auto looked_at = code ? CodeCheck(text).run() : text;
    // Classes of libtorch's own are made by code of theirs, and a method of this name is called while a module is loaded. In
    // a pickle a line ends between the two parts of a name.
    for (auto word : {"torch.classes", "torch\nclasses", "__setstate__"})
      if (looked_at.find(word) != std::string::npos) names.insert(word == std::string("torch\nclasses") ? "torch.classes" : word);
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
