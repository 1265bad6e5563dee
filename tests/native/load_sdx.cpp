// Loads `.sdx` files and prints a line of JSON for each operation: its name, kind, value and fields, of arrays the
// shape, the bits and the sum modulo 2**64; or `refused: ` and the error.
//
// Usage: load_sdx FILE...      an empty line stands after each file; exit code 1 where one was refused

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <exception>

#include "file/fields.hpp"
#include "file/sdx.hpp"

using namespace spikedrive::engine;

namespace {

void print(const std::string& text) {
  std::putchar('"');
  for (const char c : text)
    if (static_cast<uint8_t>(c) < 32 || c == '"' || c == '\\') {
      std::printf("\\u%04x", static_cast<unsigned>(c));
    } else {
      std::putchar(c);
    }
  std::putchar('"');
}

void print(int64_t n) { std::printf("%" PRId64, n); }
void print(bool x) { std::printf(x ? "true" : "false"); }
void print(const Pair& pair);

template <class Items>
void print_list(const Items& items) {
  std::putchar('[');
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) std::putchar(',');
    print(items[i]);
  }
  std::putchar(']');
}

void print(const Pair& pair) { print_list(pair); }
void print(const Shape& numbers) { print_list(numbers); }

void print(const Widths& widths) {
  std::vector<Pair> pairs;
  for (const auto& [before, after] : widths) pairs.push_back({before, after});
  print_list(pairs);
}

void print(const Array& array) {
  int64_t count = 1;
  for (const int64_t n : array.shape) count *= n;
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t n = 0;
    // the sign comes down from the top
    std::memcpy(&n, array.data + i * array.bits / 8, static_cast<size_t>(array.bits / 8));
    const int above = 64 - array.bits;
    sum += static_cast<uint64_t>(static_cast<int64_t>(static_cast<uint64_t>(n) << above) >> above);
  }
  std::printf("{\"bits\":%d,\"sum\":%" PRIu64 ",\"shape\":", array.bits, sum);
  print_list(array.shape);
  std::putchar('}');
}

void print(const Program& program) {
  for (size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    const Value& value = program.values[i];
    const auto item = [](const char* before, const auto& x) { std::printf("%s", before), print(x); };
    Shape inputs(op.inputs.begin(), op.inputs.end());
    item("{\"name\":", op.name), item(",\"op\":", std::string(fields_of(op.kind).name));
    item(",\"module\":", op.module), item(",\"inputs\":", inputs);
    item(",\"value\":{\"shape\":", value.shape), item(",\"steps\":", value.steps), item(",\"low\":", value.low);
    item(",\"high\":", value.high), item(",\"peak\":", value.peak), item(",\"exponent\":", value.exponent);
    item(",\"divisor\":", value.divisor);
    std::printf("},\"fields\":{");
    const char* comma = "";
    for (const Field& field : fields_of(op.kind).fields) {
      std::printf("%s\"%s\":", comma, field.name.data());
      std::visit([&](auto member) { print(op.*member); }, field.member);
      comma = ",";
    }
    std::puts("}}");
  }
}

}  // namespace

int main(int count, char** paths) {
  int code = 0;
  for (int i = 1; i < count; ++i) {
    try {
      print(load(paths[i]));
    } catch (const std::exception& error) {
      std::printf("refused: %s\n", error.what());
      code = 1;
    }
    std::puts("");
  }
  return code;
}
