// The `.sdx` file: an integer program as one file; see pack.py, whose twin this is, and docs/reference/files.md.
#pragma once

#include <stdexcept>
#include <string>

#include "../program.hpp"

namespace spikedrive::engine {

// A file that is no program, truncated, damaged, newer, or whose parts do not hold together.
struct FormatError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The program in the bytes of a file, which stay in it: its arrays point there. `source` stands in messages.
// Everything is checked before it is used, and the values are inferred again. Throws FormatError.
//
// Arrays begin at multiples of 64 bytes from the first, which has the alignment of `new`, or of a page where it is mapped.
Program parse(FileBytes bytes, const std::string& source = "the bytes");
Program parse(std::vector<uint8_t> bytes, const std::string& source = "the bytes");

// The program in a file, which is mapped into memory as long as the program lives: to put another in its place, rename
// one over it. Throws FormatError, or std::system_error for a file that cannot be read.
Program load(const char* path);

// `bytes` with the length and the SHA-256 that they should have, for tests of what is behind these.
void seal(std::vector<uint8_t>& bytes);

}  // namespace spikedrive::engine
