// Checks a pickle before libtorch unpickles it. libtorch does not check two numbers in a pickle: a memo
// index (its memo is a vector as long as the largest index, so five bytes can request 64 GiB) and the number
// of elements of a storage (it reads past the end of a shorter record).
//
// The pickle is interpreted without creating objects. Only strings, integers, storage types and tuples have
// values, because a tuple of these identifies a storage. Only the opcodes that torch.jit.save writes are
// accepted.

#include "script.h"
#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

namespace {
[[noreturn]] void refuse(const char *found) { TORCH_CHECK(false, "its pickle ", found); }

// Values, libtorch's too, are destroyed recursively, so nesting is limited.
constexpr size_t MAX_DEPTH = 200;

struct Value;
using Ref = std::shared_ptr<Value>;

// The part of a value that the check needs. Values of other types are `Other`; `Mark` is what the mark
// opcode pushes.
struct Value {
  enum Kind { Other, Mark, Text, Integer, StorageType, Tuple } kind = Other;
  std::string text = {};
  int64_t number = 0; // for an integer its value, for a storage type the bytes of an element
  std::vector<Ref> items = {};
  size_t depth = 0; // levels of nested values
};

Ref make(Value value) { return std::make_shared<Value>(std::move(value)); }

// Records that a value contains another one, and refuses too many levels.
void hold(Value &holder, const Value &held) {
  holder.depth = std::max(holder.depth, held.depth + 1);
  if (holder.depth > MAX_DEPTH) refuse("is nested too deeply");
}

// Returns the bytes of an element by the name of the storage type in pickles.
std::optional<int64_t> element_size(const std::string &name) {
  static const auto *sizes = [] {
    auto sizes = new std::unordered_map<std::string, int64_t>;
#define KTE_SIZE(type, name) (*sizes)[#name "Storage"] = sizeof(type);
    AT_FORALL_SCALAR_TYPES_WITH_COMPLEX_AND_QINTS(KTE_SIZE)
#undef KTE_SIZE
    return sizes;
  }();
  auto found = sizes->find(name);
  if (found == sizes->end()) return std::nullopt;
  return found->second;
}

class Pickle {
  const std::string &bytes_;
  const kte::RecordSize &size_of_;
  size_t at_ = 0;
  std::vector<Ref> stack_;
  std::unordered_map<uint64_t, Ref> memo_;
  const Ref mark_ = make({Value::Mark});

  std::string take(uint64_t count) {
    if (bytes_.size() - at_ < count) refuse("is truncated");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  uint64_t number(size_t count) {
    auto bytes = take(count);
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= uint64_t(uint8_t(bytes[i])) << (8 * i);
    return value;
  }

  std::string line() {
    auto end = bytes_.find('\n', at_);
    if (end == std::string::npos) refuse("is truncated");
    auto text = take(end - at_);
    take(1);
    return text;
  }

  void push(Ref value) { stack_.push_back(std::move(value)); }
  void push_text(uint64_t count) { push(make({Value::Text, take(count)})); }
  void push_integer(int64_t value) { push(make({Value::Integer, {}, value})); }

  Ref pop() {
    if (stack_.empty() || stack_.back() == mark_) refuse("takes a value from an empty stack");
    auto value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }

  std::vector<Ref> pop_to_mark() {
    auto mark = std::find(stack_.rbegin(), stack_.rend(), mark_);
    if (mark == stack_.rend()) refuse("takes a value from an empty stack");
    std::vector<Ref> items(mark.base(), stack_.end());
    stack_.erase(mark.base() - 1, stack_.end());
    return items;
  }

  void push_other(const std::vector<Ref> &held = {}) {
    auto value = make({});
    for (auto &item : held) hold(*value, *item);
    push(std::move(value));
  }

  // Adds values to the container on top of the stack.
  void put(const std::vector<Ref> &held) {
    auto container = pop();
    for (auto &item : held) hold(*container, *item);
    push(std::move(container));
  }

  void push_tuple(std::vector<Ref> items) {
    auto tuple = make({Value::Tuple});
    for (auto &item : items) hold(*tuple, *item);
    tuple->items = std::move(items);
    push(std::move(tuple));
  }

  std::vector<Ref> pop_many(size_t count) {
    std::vector<Ref> items(count);
    for (auto item = items.rbegin(); item != items.rend(); ++item) *item = pop();
    return items;
  }

  void store(uint64_t index) {
    // Storing takes at least one byte per index, so a legitimate index is smaller than the pickle.
    if (index > bytes_.size()) refuse("has a memo index that is too large");
    if (stack_.empty()) refuse("takes a value from an empty stack");
    memo_[index] = stack_.back();
  }

  void load(uint64_t index) {
    auto found = memo_.find(index);
    if (found == memo_.end()) refuse("has a memo index that was not stored");
    push(found->second);
  }

  // A storage is identified by ("storage", type, key, device, elements).
  void check_storage(const Value &id) {
    auto &items = id.items;
    using Kind = Value::Kind;
    const Kind kinds[] = {Kind::Text, Kind::StorageType, Kind::Text, Kind::Text, Kind::Integer};
    bool fits = id.kind == Kind::Tuple && items.size() == std::size(kinds);
    for (size_t i = 0; fits && i < items.size(); i++) fits = items[i]->kind == kinds[i];
    if (!fits || items[0]->text != "storage") refuse("has a storage that torch.jit.save does not write");
    auto elements = items[4]->number, size = items[1]->number;
    if (elements < 0) refuse("has a storage of a negative size");
    if (elements > 0 && uint64_t(elements) > size_of_(items[2]->text) / size) refuse("has a storage that is larger than its record");
  }

public:
  Pickle(const std::string &bytes, const kte::RecordSize &size_of) : bytes_(bytes), size_of_(size_of) {}

  void run() {
    while (true) {
      switch (number(1)) {
      case '.': return;
      case '(': push(mark_); break;
      case ')': push_tuple({}); break;
      case ']': case '}': case 'N': case 0x88: case 0x89: push_other(); break;
      case 't': push_tuple(pop_to_mark()); break;
      case 0x85: push_tuple(pop_many(1)); break;
      case 0x86: push_tuple(pop_many(2)); break;
      case 0x87: push_tuple(pop_many(3)); break;
      case 'e': case 'u': put(pop_to_mark()); break;
      case 'a': case 'b': put(pop_many(1)); break;
      case 's': put(pop_many(2)); break;
      case 'd': case 'l': push_other(pop_to_mark()); break;
      case 'R': case 0x81: push_other(pop_many(2)); break;
      case 'Q': check_storage(*pop()); push_other(); break;
      case 'q': store(number(1)); break;
      case 'r': store(number(4)); break;
      case 'h': load(number(1)); break;
      case 'j': load(number(4)); break;
      case 'K': push_integer(number(1)); break;
      case 'M': push_integer(number(2)); break;
      case 'J': push_integer(int32_t(number(4))); break;
      // A signed little-endian integer of up to eight bytes.
      case 0x8a: {
        auto count = number(1);
        if (count > 8) refuse("has an integer of more than 64 bits");
        auto value = number(count);
        if (count > 0 && count < 8 && value >> (8 * count - 1)) value |= ~uint64_t(0) << (8 * count);
        push_integer(int64_t(value));
        break;
      }
      case 'G': take(8); push_other(); break;
      case 'X': push_text(number(4)); break;
      case 0x8c: push_text(number(1)); break;
      case 0x80: take(1); break;
      case 'c': {
        auto module = line(), name = line();
        auto size = module == "torch" ? element_size(name) : std::nullopt;
        push(make(size ? Value{Value::StorageType, {}, *size} : Value{}));
        break;
      }
      default: refuse("has an opcode that torch.jit.save does not write");
      }
    }
  }
};
} // namespace

namespace kte {
void check_pickle(const std::string &bytes, const RecordSize &size_of) { Pickle(bytes, size_of).run(); }
} // namespace kte
