#include "sdx.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <system_error>

#include "infer.hpp"
#include "json.hpp"
#include "sha256.hpp"

namespace spikedrive::engine {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are read as they lie in the file");

using Fields = std::map<std::string, std::string_view>;

constexpr uint8_t magic[8] = {0x89, 'S', 'D', 'X', '\r', '\n', 0x1a, '\n'};
constexpr uint32_t version = 2;
constexpr size_t head_size = 24, digest_size = sizeof(Digest), alignment = 64;

// What does not hold together in a header; `parse` says of which file.
struct HeaderError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class Integer>
Integer little(const uint8_t* from) {
  Integer n;
  std::memcpy(&n, from, sizeof n);
  return n;
}

FormatError damaged(const std::string& source, const std::string& what) {
  return FormatError(source + " is an .sdx program " + what +
                     "; a whole, unchanged file is needed. Copy it again, or compile the model again.");
}

// The length of the header of a file that is whole.
size_t check_frame(const FileBytes& file, const std::string& source) {
  const size_t size = file.size;
  const uint8_t* bytes = file.data.get();
  if (size < head_size + digest_size || std::memcmp(bytes, magic, sizeof magic) != 0)
    throw FormatError(source + " is no .sdx program: it " + (size ? "does not start like one" : "is empty") + " (" +
                      std::to_string(size) + " bytes). An .sdx file starts with 89 53 44 58 0d 0a 1a 0a. " +
                      "Write one with program.save(path) or `spikedrive compile`.");
  const auto found = little<uint32_t>(&bytes[8]), header_size = little<uint32_t>(&bytes[12]);
  if (found != version)
    throw FormatError(source + " is an .sdx program of version " + std::to_string(found) +
                      "; this spikedrive reads version " + std::to_string(version) +
                      ". Compile the model again with this version.");
  const auto said = little<uint64_t>(&bytes[16]);
  if (said != size)
    throw damaged(source, "of " + std::to_string(size) + " bytes that says it has " + std::to_string(said));
  const Digest digest = sha256(bytes, size - digest_size);
  if (std::memcmp(digest.data(), &bytes[size - digest_size], digest_size) != 0)
    throw damaged(source, "whose SHA-256 does not match");
  if (header_size > size - head_size - digest_size) throw damaged(source, "whose header is longer than the file");
  if ((head_size + header_size) % alignment) throw damaged(source, "whose arrays do not begin at a multiple of 64");
  return header_size;
}

// The member `name`, which leaves `fields`, so that what is left in the end is surplus.
Json take(Fields& fields, std::string_view name, const std::string& of) {
  const auto found = fields.find(std::string(name));
  if (found == fields.end()) throw HeaderError(of + " lacks " + in_quotes(name));
  const std::string_view text = found->second;
  fields.erase(found);
  return Json(text);
}

void nothing_left(const Fields& fields, const std::string& of) {
  if (!fields.empty()) throw HeaderError(of + " has the unknown field " + in_quotes(fields.begin()->first));
}

Shape integers(Json json) {
  Shape out;
  json.array([&] { out.push_back(json.integer()); });
  return out;
}

Pair pair_of(Json json) {
  const Shape both = integers(json);
  if (both.size() != 2) throw HeaderError(std::to_string(both.size()) + " numbers stand where two should");
  return {both[0], both[1]};
}

Array read_array(Fields fields, const uint8_t* body, size_t body_size) {
  static const std::map<std::string, int> dtypes = {{"|i1", 8}, {"<i2", 16}, {"<i4", 32}, {"<i8", 64}};
  const std::string dtype = take(fields, "dtype", "an array").string();
  Array array;
  array.shape = integers(take(fields, "shape", "an array"));
  const int64_t offset = take(fields, "offset", "an array").integer();
  nothing_left(fields, "an array");
  const auto bits = dtypes.find(dtype);
  if (bits == dtypes.end() || array.shape.size() > most_axes || offset < 0 || offset % alignment)
    throw HeaderError("an array of " + in_quotes(dtype) + " with " + std::to_string(array.shape.size()) +
                      " axes at offset " + std::to_string(offset));
  array.bits = bits->second;
  const auto first = static_cast<size_t>(offset), width = static_cast<size_t>(array.bits / 8);
  size_t room = first <= body_size ? (body_size - first) / width : 0;
  for (const int64_t n : array.shape) {
    // a size of 0 leaves no room for others: empty arrays have no use
    if (n < 1 || static_cast<size_t>(n) > room)
      throw HeaderError("an array that is empty or ends outside the file, at " + std::to_string(offset));
    room /= static_cast<size_t>(n);
  }
  if (room == 0) throw HeaderError("an array that begins outside the file, at " + std::to_string(offset));
  array.data = body + first;
  return array;
}

// Reads one field of an operation into its place.
struct ReadField {
  Op& op;
  Json json;
  const std::vector<Array>& arrays;

  void operator()(int64_t Op::*member) { op.*member = json.integer(); }
  void operator()(bool Op::*member) { op.*member = json.boolean(); }
  void operator()(Pair Op::*member) { op.*member = pair_of(json); }
  void operator()(Shape Op::*member) { op.*member = integers(json); }
  void operator()(Widths Op::*member) {
    json.array([&] {
      const Pair width = pair_of(Json(json.skip()));
      (op.*member).emplace_back(width[0], width[1]);
    });
  }
  void operator()(Array Op::*member) {
    Fields fields = json.members();
    const int64_t place = take(fields, "array", "a reference to an array").integer();
    nothing_left(fields, "a reference to an array");
    if (place < 0 || static_cast<size_t>(place) >= arrays.size())
      throw HeaderError("array " + std::to_string(place) + " of " + std::to_string(arrays.size()));
    op.*member = arrays[static_cast<size_t>(place)];
  }
};

using Places = std::map<std::string, int>;

// `places` holds the names of the operations before this one.
Op read_op(Fields fields, const std::vector<Array>& arrays, const Places& places) {
  Op op;
  const std::string kind = take(fields, "op", "an operation").string();
  size_t number = 0;
  while (number < kinds().size() && kinds()[number].name != kind) ++number;
  if (number == kinds().size()) throw HeaderError("an operation of the unknown kind " + in_quotes(kind));
  op.kind = static_cast<Kind>(number);
  op.name = take(fields, "name", kind).string();
  op.module = take(fields, "module", kind).string();
  Json inputs = take(fields, "inputs", kind);
  inputs.array([&] {
    const std::string name = inputs.string();
    const auto place = places.find(name);
    if (place == places.end())
      throw HeaderError("operation " + in_quotes(op.name) + " reads " + in_quotes(name) +
                        ", which no earlier one gives");
    op.inputs.push_back(place->second);
  });
  for (const Field& field : fields_of(op.kind).fields) {
    if (field.optional && !fields.count(std::string(field.name))) continue;
    std::visit(ReadField{op, take(fields, field.name, kind), arrays}, field.member);
  }
  nothing_left(fields, kind);
  if (op.kind == Kind::Conv2d && op.weight.shape.size() == 4) op.kernel = {op.weight.shape[2], op.weight.shape[3]};
  return op;
}

Value read_value(Fields fields) {
  const auto number = [&](const char* name) { return take(fields, name, "a value").integer(); };
  Value value;
  value.shape = integers(take(fields, "shape", "a value"));
  value.steps = number("steps"), value.low = number("low"), value.high = number("high");
  value.peak = number("peak"), value.exponent = number("exponent"), value.divisor = number("divisor");
  nothing_left(fields, "a value");
  return value;
}

bool operator==(const Value& a, const Value& b) {
  return a.shape == b.shape && a.steps == b.steps && a.low == b.low && a.high == b.high && a.peak == b.peak &&
         a.exponent == b.exponent && a.divisor == b.divisor;
}

void read_header(Program& program, size_t header_size) {
  const uint8_t* bytes = program.bytes.data.get();
  const uint8_t* body = bytes + head_size + header_size;
  const size_t body_size = program.bytes.size - head_size - header_size - digest_size;
  Json text({reinterpret_cast<const char*>(bytes) + head_size, header_size});
  Fields header = text.members();
  text.finish();

  std::vector<Array> arrays;
  Json described = take(header, "arrays", "the header");
  described.array([&] { arrays.push_back(read_array(described.members(), body, body_size)); });

  Places places;
  Json ops = take(header, "ops", "the header");
  ops.array([&] {
    if (places.size() == static_cast<size_t>(std::numeric_limits<int>::max()))
      throw HeaderError("more operations than an int counts");
    program.ops.push_back(read_op(ops.members(), arrays, places));
    const std::string& name = program.ops.back().name;
    if (!places.emplace(name, static_cast<int>(places.size())).second)
      throw HeaderError("operation " + in_quotes(name) + " is there twice");
  });
  program.values = check(program.ops);

  size_t compared = 0;
  Json values = take(header, "values", "the header");
  values.array([&] {
    if (compared == program.values.size() || !(read_value(values.members()) == program.values[compared++]))
      throw HeaderError("its bounds are not those of its operations");
  });
  if (compared != program.values.size()) throw HeaderError("its bounds are not those of its operations");

  const std::string_view meta = take(header, "meta", "the header").skip();
  if (meta.front() != '{') throw HeaderError("its meta is no mapping");
  program.meta = meta;
  nothing_left(header, "the header");
}

}  // namespace

Program parse(FileBytes bytes, const std::string& source) {
  const size_t header_size = check_frame(bytes, source);
  Program program;
  program.bytes = std::move(bytes);
  const auto fail = [&](const std::runtime_error& error) {
    return damaged(source, std::string("whose header does not hold together (") + error.what() + ")");
  };
  try {
    read_header(program, header_size);
  } catch (const JsonError& error) {
    throw fail(error);
  } catch (const ShapeError& error) {
    throw fail(error);
  } catch (const HeaderError& error) {
    throw fail(error);
  }
  return program;
}

Program parse(std::vector<uint8_t> bytes, const std::string& source) {
  const auto kept = std::make_shared<const std::vector<uint8_t>>(std::move(bytes));
  return parse(FileBytes{{kept, kept->data()}, kept->size()}, source);
}

Program load(const char* path) {
  const auto fail = [&](int reason) {
    return std::system_error(reason, std::generic_category(), std::string(path) + " cannot be read as an .sdx program");
  };
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) throw fail(errno);
  struct stat known{};
  int reason = fstat(file, &known) ? errno : S_ISREG(known.st_mode) ? 0 : S_ISDIR(known.st_mode) ? EISDIR : ESPIPE;
  // an empty file cannot be mapped, and is refused as no program
  const size_t size = reason ? 0 : static_cast<size_t>(known.st_size);
  void* const data = size ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
  if (data == MAP_FAILED) reason = errno;
  close(file);
  if (reason) throw fail(reason);
  const auto release = [size](const uint8_t* mapped) {
    if (mapped) munmap(const_cast<uint8_t*>(mapped), size);
  };
  return parse(FileBytes{{static_cast<const uint8_t*>(data), release}, size, true}, path);
}

void FileBytes::release(const uint8_t* from, size_t count) const {
  if (!mapped) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<uintptr_t>(from) / page * page;
  madvise(reinterpret_cast<void*>(begin), reinterpret_cast<uintptr_t>(from) + count - begin, MADV_DONTNEED);
}

void seal(std::vector<uint8_t>& bytes) {
  if (bytes.size() < head_size + digest_size) return;
  const uint64_t size = bytes.size();
  std::memcpy(&bytes[16], &size, sizeof size);
  const Digest digest = sha256(bytes.data(), bytes.size() - digest_size);
  std::memcpy(&bytes[bytes.size() - digest_size], digest.data(), digest_size);
}

}  // namespace spikedrive::engine
