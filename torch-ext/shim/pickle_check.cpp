// A look at a pickle before libtorch reads it. Its reader keeps what is stored under a number in a table that is as long as the
// largest number: five bytes could ask for 64 GiB.

#include "script.h"

#include <cstring>

namespace {
[[noreturn]] void refuse(const char *found) { TORCH_CHECK(false, "its pickle ", found); }

struct PickleReader {
  const std::string &text;
  size_t at = 0;

  uint64_t number(size_t count) {
    if (text.size() - at < count) refuse("is cut off");
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= uint64_t(uint8_t(text[at + i])) << (8 * i);
    at += count;
    return value;
  }

  void skip(uint64_t count) {
    if (text.size() - at < count) refuse("is cut off");
    at += count;
  }

  void line() {
    auto end = text.find('\n', at);
    if (end == std::string::npos) refuse("is cut off");
    at = end + 1;
  }
};
} // namespace

namespace kte {
// The opcodes are those that torch.jit.save writes.
void check_pickle(const std::string &text) {
  PickleReader bytes{text};
  while (true) {
    switch (bytes.number(1)) {
    case '.': return;
    case ')': case '(': case ']': case '}': case 'N': case 'Q': case 'R': case 'a': case 'b': case 'd': case 'e': case 'l':
    case 's': case 't': case 'u': case 0x81: case 0x85: case 0x86: case 0x87: case 0x88: case 0x89: break;
    case 'K': case 'h': case 'q': case 0x80: bytes.skip(1); break;
    case 'M': bytes.skip(2); break;
    case 'J': case 'j': bytes.skip(4); break;
    case 'G': bytes.skip(8); break;
    case 'c': bytes.line(); bytes.line(); break;
    case 0x8a: case 0x8c: case 'C': case 'U': bytes.skip(bytes.number(1)); break;
    case 'X': case 'B': case 'T': bytes.skip(bytes.number(4)); break;
    case 0x8d: bytes.skip(bytes.number(8)); break;
    case 'r':
      // Each number that is used was stored by an opcode of its own.
      if (bytes.number(4) > text.size()) refuse("stores a value under a number that is too large");
      break;
    default: refuse("has an opcode that torch.jit.save does not write");
    }
  }
}
} // namespace kte
