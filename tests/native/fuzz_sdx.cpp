// Feeds the loader of `.sdx` files with damaged programs: whatever they hold, it gives a program or a FormatError.
//
// `LLVMFuzzerTestOneInput` is what libFuzzer calls. Without libFuzzer (that is, without SPIKEDRIVE_LIBFUZZER) `main`
// changes files itself, so that any compiler with sanitizers will do.
//
// Usage: fuzz_sdx FOLDER SECONDS [SEED]     mutates the files in the folder; a file that makes the loader stop is
//                                           kept as crash.sdx
//        fuzz_sdx FILE                      loads one file

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "file/infer.hpp"
#include "file/sdx.hpp"

using namespace spikedrive::engine;

namespace {

using Bytes = std::vector<uint8_t>;

int64_t accepted = 0;

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "an accepted program breaks its promise: %s\n", what);
  std::abort();
}

// Every byte of every array can be read, and every value obeys the limits.
void touch(const Program& program) {
  must(program.ops.size() == program.values.size(), "a value for each operation");
  uint8_t mixed = 0;
  for (const Op& op : program.ops)
    for (const Array* array : {&op.weight, &op.shift, &op.bias}) {
      int64_t bytes = array->data ? array->bits / 8 : 0;
      for (const int64_t n : array->shape) bytes *= n;
      for (int64_t i = 0; i < bytes; ++i) mixed ^= array->data[i];
    }
  volatile uint8_t kept = mixed;
  (void)kept;
  for (const Value& value : program.values) {
    must(value.steps >= 1 && value.steps <= most_steps && value.divisor >= 1, "steps and divisor");
    must(value.size() >= 1 && value.size() * value.steps <= most_elements, "its size");
    must(value.low <= value.high && value.peak >= 0, "its bounds");
  }
}

void load_bytes(Bytes bytes) {
  try {
    touch(parse(std::move(bytes)));
    ++accepted;
  } catch (const FormatError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, data + size);
  load_bytes(bytes);
  // with its digest, so that what is behind it is reached as well
  seal(bytes);
  load_bytes(std::move(bytes));
  return 0;
}

#ifndef SPIKEDRIVE_LIBFUZZER

#ifdef __SANITIZE_ADDRESS__
extern "C" void __sanitizer_set_death_callback(void (*)());
#endif

namespace {

constexpr size_t head = 24, digest = 32;

Bytes current;

void keep_at_death() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback([] {
    std::ofstream("crash.sdx", std::ios::binary).write(reinterpret_cast<const char*>(current.data()), current.size());
    std::fprintf(stderr, "the file is kept as crash.sdx\n");
  });
#endif
}

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file as what stands before its header, its header's text and its arrays.
struct Parts {
  Bytes frame;
  std::string text;
  Bytes body;
};

Parts split(const Bytes& file) {
  uint32_t size;
  std::memcpy(&size, &file[12], sizeof size);
  const auto end = file.begin() + head + size;
  return {{file.begin(), file.begin() + head}, {file.begin() + head, end}, {end, file.end() - digest}};
}

Bytes join(Parts parts) {
  parts.text.append((128 - (head + parts.text.size()) % 64) % 64, ' ');
  Bytes file = std::move(parts.frame);
  const auto size = static_cast<uint32_t>(parts.text.size());
  std::memcpy(&file[12], &size, sizeof size);
  file.insert(file.end(), parts.text.begin(), parts.text.end());
  file.insert(file.end(), parts.body.begin(), parts.body.end());
  file.resize(file.size() + digest);
  return file;
}

class Mutator {
 public:
  Mutator(std::vector<Bytes> seeds, uint64_t seed) : random_(seed), seeds_(std::move(seeds)) {}

  Bytes operator()() {
    Bytes file = any_seed();
    if (below(4) == 0) {
      for (size_t n = 1 + below(8); n > 0; --n) damage(file);
      return file;
    }
    Parts parts = split(file);
    for (size_t n = 1 + below(3); n > 0; --n) edit(parts);
    return join(std::move(parts));
  }

 private:
  std::mt19937_64 random_;
  std::vector<Bytes> seeds_;

  size_t below(size_t end) { return end ? random_() % end : 0; }
  const Bytes& any_seed() { return seeds_[below(seeds_.size())]; }

  // Bytes, wherever they are.
  void damage(Bytes& file) {
    if (file.empty()) return;
    const size_t at = below(file.size());
    switch (below(5)) {
      case 0: file[at] ^= static_cast<uint8_t>(1 << below(8)); break;
      case 1: file[at] = static_cast<uint8_t>(random_()); break;
      case 2: file.resize(at); break;
      case 3: file.erase(file.begin() + at, file.begin() + at + below(file.size() - at)); break;
      default: {
        const Bytes& other = any_seed();
        const size_t from = below(other.size()), size = below(std::min<size_t>(other.size() - from, 99));
        file.insert(file.begin() + at, other.begin() + from, other.begin() + from + size);
      }
    }
  }

  // The header: a number, a piece of text of this or another file, a character; or a byte of an array.
  void edit(Parts& parts) {
    std::string& text = parts.text;
    if (text.empty()) return;
    const size_t at = below(text.size());
    switch (below(10)) {
      case 0:
      case 1:
      case 2: replace_number(text, at); break;
      case 3: replace_item(text, at, any_item(split(any_seed()).text)); break;
      case 4: replace_item(text, at, any_item(text)); break;
      case 5: read_another(text, at); break;
      case 6: text.insert(below(text.size()), text.substr(at, below(60))); break;
      case 7: text.erase(at, below(60)); break;
      case 8: text.insert(at, pieces[below(std::size(pieces))]); break;
      default:
        if (!parts.body.empty()) parts.body[below(parts.body.size())] = static_cast<uint8_t>(random_());
    }
  }

  static constexpr const char* pieces[] = {
      "{", "}", "[", "]", "\"", ",", ":", "-", "0", "e", ".5", "null", "true", "\\u00e9", "\\ud83d\\ude00", "\\ud800",
      "\\n", "\\x", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xed\xa0\x80",
      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
  };

  // The quoted text after the first `key` that follows a random place: its place and its length.
  std::pair<size_t, size_t> quoted_after(const std::string& text, const char* key, size_t at) {
    size_t from = text.find(key, at);
    if (from == std::string::npos) from = text.find(key);
    if (from == std::string::npos) return {0, 0};
    from += std::strlen(key);
    const size_t end = text.find('"', from);
    return {from, (end == std::string::npos ? text.size() : end) - from};
  }

  // The first input of an operation becomes the result of another.
  void read_another(std::string& text, size_t at) {
    const auto [name, size] = quoted_after(text, "\"name\":\"", below(text.size()));
    const std::string other = text.substr(name, size);
    const auto [from, length] = quoted_after(text, "\"inputs\":[\"", at);
    if (from) text.replace(from, length, other);
  }

  // The first number after `at` becomes another.
  void replace_number(std::string& text, size_t at) {
    static const char* numbers[] = {
        "0", "1", "-1", "2", "3", "7", "31", "63", "64", "65536", "65537", "2147483648", "4294967296",
        "4611686018427387904", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e3",
    };
    const size_t from = text.find_first_of("0123456789", at);
    if (from == std::string::npos) return;
    const size_t end = std::min(text.find_first_not_of("0123456789", from), text.size());
    std::string number = numbers[below(std::size(numbers))];
    // near to what it was, which more often fits
    if (below(2) && end - from < 18)
      number = std::to_string(std::stoll(text.substr(from, end - from)) + 2 - static_cast<int64_t>(below(5)));
    text.replace(from, end - from, number);
  }

  // From the last separator before a random place to the next: a member, an element, or a piece of one.
  std::pair<size_t, size_t> item(const std::string& text, size_t at) {
    const size_t before = text.find_last_of("{[,:", at);
    const size_t from = before == std::string::npos ? 0 : before + 1;
    // sometimes with what is nested in it
    const size_t end = text.find_first_of(below(2) ? "}]," : "}", from);
    return {from, std::min(end, text.size())};
  }

  std::string any_item(const std::string& text) {
    const auto [from, end] = item(text, below(text.size()));
    return text.substr(from, end - from);
  }

  void replace_item(std::string& text, size_t at, const std::string& by) {
    const auto [from, end] = item(text, at);
    text.replace(from, end - from, by);
  }
};

int fuzz(const std::filesystem::path& folder, double seconds, uint64_t seed) {
  std::vector<std::filesystem::path> paths(std::filesystem::directory_iterator(folder), {});
  // the same seed is the same run, whatever the order of the folder
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> seeds;
  for (const auto& path : paths) seeds.push_back(read(path));
  for (const Bytes& file : seeds) {
    const int64_t before = accepted;
    load_bytes(file);
    if (accepted == before) return std::fprintf(stderr, "a seed is no program that the loader takes\n"), 1;
  }
  if (seeds.empty()) return std::fprintf(stderr, "no seeds in %s\n", folder.c_str()), 1;
  keep_at_death();
  using Clock = std::chrono::steady_clock;
  const auto passed = [start = Clock::now()] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  Mutator mutate(std::move(seeds), seed);
  int64_t runs = 0;
  double slowest = 0;
  accepted = 0;
  for (double now = 0, before; (before = now) < seconds; ++runs) {
    current = mutate();
    LLVMFuzzerTestOneInput(current.data(), current.size());
    now = passed();
    slowest = std::max(slowest, now - before);
  }
  std::printf("loader of .sdx files: %" PRId64 " damaged files in %.0f s, %" PRId64
              " loads accepted, the slowest file %.0f ms\n",
              runs, seconds, accepted, slowest * 1e3);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count == 2) {
    current = read(words[1]);
    LLVMFuzzerTestOneInput(current.data(), current.size());
    return 0;
  }
  const uint64_t seed = count == 4 ? std::strtoull(words[3], nullptr, 10) : 0;
  if (count == 3 || count == 4) return fuzz(words[1], std::atof(words[2]), seed);
  std::fprintf(stderr, "usage: fuzz_sdx FOLDER SECONDS [SEED] | FILE\n");
  return 2;
}

#endif
