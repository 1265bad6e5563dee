// Runs integer programs at every instruction set of this processor and compares each tensor, bit for bit, with what the
// interpreter gave.
//
// Usage: run_sdx FOLDER [NAME...]     the sets that must be here. The folder holds 0.sdx, 0.images (bytes) and 0.tensors
//                                     (each operation's integers of 64 bits in order, row by row), 1.sdx and so on; exit
//                                     code 1 where a set is missing or a tensor differs

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "engine.hpp"
#include "file/sdx.hpp"
#include "views.hpp"

using namespace spikedrive::engine;

namespace {

std::vector<uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Case {
  std::string name;
  Program program;
  std::vector<uint8_t> images;
  std::vector<int64_t> wanted;
  int64_t batch = 0;

  explicit Case(const std::string& stem) : name(stem), program(load((stem + ".sdx").c_str())), images(read(stem + ".images")) {
    const std::vector<uint8_t> bytes = read(stem + ".tensors");
    wanted.resize(bytes.size() / sizeof(int64_t));
    std::memcpy(wanted.data(), bytes.data(), wanted.size() * sizeof(int64_t));
    int64_t sample = 0;
    for (const Value& value : program.values) sample += value.steps * value.size();
    batch = static_cast<int64_t>(wanted.size()) / sample;
  }

  int64_t first(size_t place) const {
    int64_t sum = 0;
    for (size_t i = 0; i < place; ++i) sum += program.values[i].steps * program.values[i].size() * batch;
    return sum;
  }

  // Whether `found` are the tensors at `keep`; says which are not.
  bool holds(const List<Tensor>& found, const std::vector<int>& keep, const char* level, int threads) const {
    bool right = true;
    for (size_t i = 0; i < keep.size(); ++i) {
      const auto place = static_cast<size_t>(keep[i]);
      const Tensor rows = in_rows(found[i], Type::i64);
      const int64_t count = program.values[place].steps * program.values[place].size() * batch;
      if (std::equal(wanted.begin() + first(place), wanted.begin() + first(place) + count, rows.at<int64_t>(0, 0))) continue;
      std::printf("%s: %s differs at %s with %d threads, %zu tensors kept\n", name.c_str(), program.ops[place].name.c_str(),
                  level, threads, keep.size());
      right = false;
    }
    return right;
  }
};

}  // namespace

int main(int count, char** words) {
  if (count < 2) return std::fprintf(stderr, "usage: run_sdx FOLDER [NAME...]\n"), 2;
  const std::vector<std::string> levels = levels_here();
  bool right = true;
  for (int i = 2; i < count; ++i)
    if (std::find(levels.begin(), levels.end(), words[i]) == levels.end()) {
      std::printf("the instruction set %s is not here\n", words[i]);
      right = false;
    }
  std::vector<Case> cases;
  for (int n = 0;; ++n) {
    const std::string stem = std::string(words[1]) + "/" + std::to_string(n);
    if (!std::filesystem::exists(stem + ".sdx")) break;
    cases.emplace_back(stem);
  }
  int64_t compared = 0;
  std::string names;
  for (const std::string& level : levels) {
    names += " " + level;
    for (const Case& c : cases) {
      const Engine engine(c.program, level);
      std::vector<int> all(c.program.ops.size());
      for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
      // alone, the last one runs in stages that keep nothing on the way
      for (const auto& keep : {all, std::vector<int>{all.back()}})
        for (const int threads : {1, 3}) {
          right = c.holds(engine.run(c.images.data(), c.batch, keep, threads), keep, engine.level(), threads) && right;
          ++compared;
        }
    }
  }
  std::printf("engine: %zu programs,%s: %" PRId64 " runs, %s\n", cases.size(), names.c_str(), compared,
              right ? "all integers equal" : "DIFFERENT");
  return right && !cases.empty() ? 0 : 1;
}
