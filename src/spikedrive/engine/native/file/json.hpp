// A strict reader of JSON (RFC 8259, UTF-8) that builds no tree: the caller says what it expects next.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace spikedrive::engine {

struct JsonError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// `text` in quotes as a message shows it: at most 80 bytes, whole characters, nothing unprintable.
inline std::string in_quotes(std::string_view text) {
  size_t end = text.size() < 80 ? text.size() : 80;
  while (end > 0 && end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  std::string out = "'";
  for (const char c : text.substr(0, end)) out += static_cast<uint8_t>(c) < 32 || c == 127 ? '?' : c;
  return out + (end < text.size() ? "...'" : "'");
}

class Json {
 public:
  explicit Json(std::string_view text) : text_(text) {}

  // Calls `each(key)` at every member, which reads the value.
  template <class Each>
  void object(const Each& each) {
    list('{', '}', [&] {
      std::string key = string();
      take(':');
      each(std::move(key));
    });
  }

  // Calls `each()` at every element, which reads it.
  template <class Each>
  void array(const Each& each) {
    list('[', ']', each);
  }

  // The text of every member of an object, by name.
  std::map<std::string, std::string_view> members() {
    std::map<std::string, std::string_view> found;
    object([&](std::string key) {
      const std::string_view value = skip();
      const auto [place, fresh] = found.emplace(std::move(key), value);
      if (!fresh) throw JsonError(in_quotes(place->first) + " is there twice in an object");
    });
    return found;
  }

  int64_t integer() {
    const std::string_view text = number();
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range) throw JsonError(std::string(text) + " passes 64 bits");
    if (end != text.data() + text.size()) throw JsonError(std::string(text) + " stands where an integer should");
    return value;
  }

  bool boolean() {
    const bool value = peek() == 't';
    word(value ? "true" : "false");
    return value;
  }

  std::string string() {
    take('"');
    std::string out;
    for (;;) {
      const uint8_t c = next();
      if (c == '"') return out;
      if (c < 0x20) fail("a control character in a string");
      if (c == '\\') {
        escape(out);
      } else if (c < 0x80) {
        out += static_cast<char>(c);
      } else {
        sequence(c, out);
      }
    }
  }

  // The text of the next value, whatever it is.
  std::string_view skip() {
    const char first = peek();
    const size_t from = at_;
    switch (first) {
      case '{': object([&](const std::string&) { skip(); }); break;
      case '[': array([&] { skip(); }); break;
      case '"': string(); break;
      case 't': word("true"); break;
      case 'f': word("false"); break;
      case 'n': word("null"); break;
      default: number();
    }
    return text_.substr(from, at_ - from);
  }

  // After the value nothing but white space follows.
  void finish() {
    space();
    if (at_ != text_.size()) fail("more after the value");
  }

 private:
  static constexpr int deepest = 64;
  static constexpr size_t longest_number = 64;

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;

  [[noreturn]] void fail(const char* what) const {
    throw JsonError(std::string(what) + " at byte " + std::to_string(at_));
  }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }

  // The next character that is no space, which stays; 0 at the end.
  char peek() {
    space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void take(char expected) {
    if (peek() != expected || at_ == text_.size())
      fail((std::string("no ") + expected + " where one should be").c_str());
    ++at_;
  }

  uint8_t next() {
    if (at_ == text_.size()) fail("a string without an end");
    return static_cast<uint8_t>(text_[at_++]);
  }

  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) fail("no true or false where one should be");
    at_ += expected.size();
  }

  template <class Each>
  void list(char open, char close, const Each& each) {
    take(open);
    if (++depth_ > deepest) fail("too many levels");
    if (peek() != close) {
      each();
      while (peek() == ',') {
        ++at_;
        each();
      }
    }
    take(close);
    --depth_;
  }

  bool digits() {
    const size_t from = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > from;
  }

  std::string_view number() {
    const bool negative = peek() == '-';
    const size_t from = at_;
    at_ += negative;
    const bool zero = at_ < text_.size() && text_[at_] == '0';
    if (!digits() || (zero && at_ - from > 1u + negative)) fail("no number where one should be");
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (!digits()) fail("no digit after the point");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!digits()) fail("no digit in the exponent");
    }
    if (at_ - from > longest_number) fail("a number of too many digits");
    return text_.substr(from, at_ - from);
  }

  void escape(std::string& out) {
    const char c = static_cast<char>(next());
    constexpr std::string_view names = "\"\\/bfnrt", characters = "\"\\/\b\f\n\r\t";
    if (const size_t known = names.find(c); known != std::string_view::npos) {
      out += characters[known];
      return;
    }
    if (c != 'u') fail("an unknown escape");
    uint32_t point = hex();
    if (point >= 0xd800 && point < 0xdc00) {
      const bool pair = next() == '\\' && next() == 'u';
      const uint32_t low = pair ? hex() : 0;
      if (low < 0xdc00 || low > 0xdfff) fail("half a surrogate pair");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point < 0xe000) {
      fail("half a surrogate pair");
    }
    encode(point, out);
  }

  uint32_t hex() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const uint8_t c = next();
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!letter && (c < '0' || c > '9')) fail("no hexadecimal digit in an escape");
      value = value * 16 + (letter ? (c | 32) - 'a' + 10 : c - '0');
    }
    return value;
  }

  static void encode(uint32_t point, std::string& out) {
    const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
    if (point < 0x80) {
      put(point);
    } else if (point < 0x800) {
      put(0xc0 | point >> 6), put(0x80 | (point & 63));
    } else if (point < 0x10000) {
      put(0xe0 | point >> 12), put(0x80 | (point >> 6 & 63)), put(0x80 | (point & 63));
    } else {
      put(0xf0 | point >> 18), put(0x80 | (point >> 12 & 63)), put(0x80 | (point >> 6 & 63)), put(0x80 | (point & 63));
    }
  }

  // A character of several bytes: the shortest form of a code point that is one.
  void sequence(uint8_t first, std::string& out) {
    const int more = first >= 0xf8 || first < 0xc0 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t point = more == 3 ? first & 7u : more == 2 ? first & 15u : first & 31u;
    for (int i = 0; i < more; ++i) {
      const uint8_t c = next();
      if ((c & 0xc0) != 0x80) fail("no UTF-8");
      point = point << 6 | (c & 63u);
    }
    constexpr uint32_t least[] = {0xffffffff, 0x80, 0x800, 0x10000};
    if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) fail("no UTF-8");
    encode(point, out);
  }
};

}  // namespace spikedrive::engine
