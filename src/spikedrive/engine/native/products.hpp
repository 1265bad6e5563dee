// Products of matrices of spikes, one a head: with spikes, or with the integers that such a product gave.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "kernels/kernels.hpp"
#include "parallel.hpp"
#include "plain.hpp"

namespace spikedrive::engine {

// What is known of a product before it runs: its shape, the largest numbers on its left and right, and the largest that
// any of its sums passes through.
struct KnownProduct {
  Shape shape;
  int64_t left, right, peak;
  // whether its columns, not its rows, are to lie side by side
  bool turned;
};

namespace detail {

// y = a b, where a chooses rows of b; or, turned, the transpose of (b' a').
class Products {
 public:
  Products(const Tensor& a, const Tensor& b, const KnownProduct& known, bool turned, const Kernels& kernels)
      : kernels_(kernels), chosen_(turned ? b : a), other_(turned ? a : b), most_(turned ? known.right : known.left) {
    const size_t rank = known.shape.size(), row = turned ? rank - 1 : rank - 2, column = turned ? rank - 2 : rank - 1;
    rows_ = known.shape[row], columns_ = known.shape[column], inner_ = chosen_.shape[column];
    row_ = chosen_.strides[row], chosen_inner_ = chosen_.strides[column];
    column_ = other_.strides[column], other_inner_ = other_.strides[row];
    const Shape heads(known.shape.begin(), known.shape.end() - 2);
    for_each(heads, broadcast_strides(chosen_, known.shape), [&](int64_t, int64_t place) { chosen_at_.push_back(place); });
    for_each(heads, broadcast_strides(other_, known.shape), [&](int64_t, int64_t place) { other_at_.push_back(place); });
    Shape strides = dense_strides(known.shape, static_cast<int64_t>(rank) - 1);
    y_row_ = columns_, y_head_ = rows_ * columns_;
    if (turned) {
      // the columns of all heads side by side, as the channels of a map lie
      y_row_ = heads_count() * columns_, y_head_ = columns_;
      strides = dense_strides(heads, static_cast<int64_t>(heads.size()) - 1);
      for (int64_t& stride : strides) stride *= columns_;
      strides.insert(strides.end(), {1, y_row_});
    }
    y = empty(Type::i32, a.steps, a.batch, known.shape, strides);
    const int64_t both = known.left * known.right;
    const bool bytes = other_.type == Type::u8 && row_ == 1 && column_ == 1;
    if (kernels.dots && bytes && (turned ? known.left : known.right) <= INT8_MAX) way_ = &Products::dot_bytes;
    else if (kernels.dots && chosen_inner_ == 1 && other_.type == Type::i32 && column_ == 1) way_ = &Products::dot_numbers;
    else if (bytes && known.peak <= INT16_MAX && both <= 255) way_ = &Products::coincidences;
    chunk_ = std::min<int64_t>(most_chunk, 255 / std::max<int64_t>(both, 1));
  }

  void run(int threads) const {
    const int64_t samples = y.steps * y.batch, heads = heads_count();
    // heads are cut into parts where there is less than a sample for each thread
    const int64_t parts = std::min(heads, (threads + samples - 1) / samples), part = (heads + parts - 1) / parts;
    in_parallel(samples * parts, threads, [&](int64_t k) {
      const int64_t t = k / parts / y.batch, n = k / parts % y.batch, first = k % parts * part;
      const int64_t count = std::min(part, heads - first);
      if (count > 0) (this->*way_)(t, n, first, count);
    });
  }

  Tensor y;

 private:
  const Kernels& kernels_;
  const Tensor &chosen_, &other_;
  int64_t most_, rows_, columns_, inner_, row_, chosen_inner_, column_, other_inner_, y_row_, y_head_, chunk_;
  List<int64_t> chosen_at_, other_at_;
  void (Products::*way_)(int64_t, int64_t, int64_t, int64_t) const = &Products::sums;

  // what all heads read meanwhile stays in the second cache
  static constexpr int64_t most_chunk = 128, dot_chunk = 256, row_tile = 48;
  // sums of 8 bits that a number of the other factor is cut into, at most
  static constexpr int64_t most_pieces = 4;

  int64_t heads_count() const { return static_cast<int64_t>(chosen_at_.size()); }

  // One factor's heads as fours of bytes, so many k of them; each head's begin `head_bytes` apart.
  struct Fours {
    const Tensor& x;
    const List<int64_t>& at;
    int64_t channels, k_stride, k, count;
    // whether heads lie side by side and so do their fours
    bool joined() const {
      if (channels % 16) return false;
      for (size_t i = 1; i < at.size(); ++i)
        if (at[i] - at[i - 1] != channels) return false;
      return true;
    }
    int64_t head_bytes(int64_t length) const { return (joined() ? channels : rounded_up(channels, group)) * length; }
    int64_t bytes(int64_t length) const { return head_bytes(length) * count + 3 * 16 * length; }
    void make(const Kernels& kernels, int64_t t, int64_t n, int64_t first, int64_t begin, uint8_t* to) const {
      const int64_t length = rounded_up(k, 4);
      const bool joined = this->joined();
      for (int64_t i = 0; i < (joined ? 1 : count); ++i)
        kernels.interleave({x.at<uint8_t>(t, n) + at[first + i] + begin * k_stride, k, k_stride, channels * (joined ? count : 1),
                            to + i * head_bytes(length), length * 16});
    }
  };

  // Products of bytes, four k at a time: both factors are turned to have these side by side.
  void dot_bytes(int64_t t, int64_t n, int64_t first, int64_t count) const {
    const int64_t width = rounded_up(columns_, group);
    const bool whole = width == columns_;
    Fours left{chosen_, chosen_at_, rows_, chosen_inner_, std::min(inner_, dot_chunk), count};
    Fours right{other_, other_at_, columns_, other_inner_, left.k, count};
    const int64_t most = rounded_up(left.k, 4), head = rows_ * width;
    const Buffer a(left.bytes(most)), b(right.bytes(most)), sums(whole ? 0 : count * head * 4);
    List<Run> runs;
    for (int64_t begin = 0; begin < inner_; begin += dot_chunk) {
      left.k = right.k = std::min(dot_chunk, inner_ - begin);
      left.make(kernels_, t, n, first, begin, a.data());
      right.make(kernels_, t, n, first, begin, b.data());
      const int64_t length = rounded_up(left.k, 4);
      for (int64_t i = 0; i < count; ++i) {
        runs.clear();
        for (int64_t r = 0; r < rows_; r += 16)
          runs.push_back({a.data() + i * left.head_bytes(length) + r * length, std::min<int64_t>(16, rows_ - r)});
        kernels_.dense({runs.data(), static_cast<int64_t>(runs.size()), 1, length, 64, 0, 4,
                        b.as<int8_t>() + i * right.head_bytes(length), length * 16, columns_,
                        whole ? y.at<int32_t>(t, n) + (first + i) * y_head_ : sums.as<int32_t>() + i * head, whole ? y_row_ : width,
                        begin > 0});
      }
    }
    for (int64_t i = 0; !whole && i < count; ++i)
      copy_sums(sums.as<int32_t>() + i * head, rows_, y.at<int32_t>(t, n) + (first + i) * y_head_);
  }

  // Rows of bytes times numbers, each of these cut into as many bytes with a sign as add up to it.
  void dot_numbers(int64_t t, int64_t n, int64_t first, int64_t count) const {
    const int64_t length = rounded_up(inner_, 4), width = rounded_up(columns_, group);
    const bool whole = width == columns_;
    const Buffer bytes(length * width), sums(whole ? 0 : row_tile * width * 4);
    const auto numbers = [&](int64_t i, int64_t piece) {
      return Cut{other_.at<int32_t>(t, n) + other_at_[first + i], inner_, other_inner_, columns_, piece, bytes.as<int8_t>(), width};
    };
    List<int64_t> pieces;
    for (int64_t i = 0; i < count; ++i) {
      pieces.push_back(kernels_.pieces(numbers(i, 0)));
      if (pieces.back() > most_pieces) return this->sums(t, n, first, count);
    }
    const int64_t size = *std::max_element(pieces.begin(), pieces.end()) * width * length;
    const Buffer weights(count * size);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t piece = 0; piece < pieces[i]; ++piece) {
        kernels_.cut(numbers(i, piece));
        kernels_.interleave({bytes.data(), inner_, width, columns_, weights.data() + i * size + piece * length * 16,
                             pieces[i] * length * 16});
      }
    for (int64_t r = 0; r < rows_; r += row_tile)
      for (int64_t i = 0; i < count; ++i) {
        const Run run{chosen_.at<uint8_t>(t, n) + chosen_at_[first + i] + r * row_, std::min(row_tile, rows_ - r)};
        int32_t* to = y.at<int32_t>(t, n) + (first + i) * y_head_ + r * y_row_;
        kernels_.dense({&run, 1, pieces[i], length, 4, 0, row_, weights.as<int8_t>() + i * size, pieces[i] * length * 16, columns_,
                        whole ? to : sums.as<int32_t>(), whole ? y_row_ : width, false, true});
        if (!whole) copy_sums(sums.as<int32_t>(), run.columns, to);
      }
  }

  void copy_sums(const int32_t* sums, int64_t rows, int32_t* to) const {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(sums + r * rounded_up(columns_, group), columns_, to + r * y_row_);
  }

  void coincidences(int64_t t, int64_t n, int64_t first, int64_t count) const {
    const int64_t width = rounded_up(columns_, product_rows), size = rounded_up(rows_, product_rows) * width;
    const Buffer memory(count * size * 2);
    std::memset(memory.data(), 0, static_cast<size_t>(count * size * 2));
    for (int64_t k = 0; k < inner_; k += chunk_)
      for (int64_t i = 0; i < count; ++i)
        kernels_.coincidences({rows_, std::min(chunk_, inner_ - k), columns_,
                               chosen_.at<uint8_t>(t, n) + chosen_at_[first + i] + k * chosen_inner_, chosen_inner_,
                               other_.at<uint8_t>(t, n) + other_at_[first + i] + k * other_inner_, other_inner_, most_ == 1,
                               memory.as<int16_t>() + i * size, width});
    for (int64_t i = 0; i < count; ++i)
      for (int64_t r = 0; r < rows_; ++r) {
        const int16_t* from = memory.as<int16_t>() + i * size + r * width;
        std::copy_n(from, columns_, y.at<int32_t>(t, n) + (first + i) * y_head_ + r * y_row_);
      }
  }

  void sums(int64_t t, int64_t n, int64_t first, int64_t count) const {
    // whole vectors of words; after each so many rows one of zeros
    const int64_t width = rounded_up(columns_, 32);
    const int64_t size = rounded_up(inner_, product_rows) / product_rows * (product_rows + 1) * width;
    const Buffer memory(count * size * 2);
    std::memset(memory.data(), 0, static_cast<size_t>(count * size * 2));
    List<bool> narrow(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t largest = as_words(other_, t, n, other_at_[first + i], memory.as<int16_t>() + i * size, width);
      // what the numbers are, not what they might be, tells whether their sums fit 16 bits
      narrow[static_cast<size_t>(i)] = largest * most_ * inner_ <= INT16_MAX;
    }
    for (int64_t r = 0; r < rows_; r += row_tile)
      for (int64_t i = 0; i < count; ++i)
        kernels_.product({std::min(row_tile, rows_ - r), inner_, columns_,
                          chosen_.at<uint8_t>(t, n) + chosen_at_[first + i] + r * row_, row_, chosen_inner_,
                          memory.as<int16_t>() + i * size, width, most_ == 1, narrow[static_cast<size_t>(i)],
                          y.at<int32_t>(t, n) + (first + i) * y_head_ + r * y_row_, y_row_});
  }

  // Copies one head of the other factor; returns its largest magnitude.
  int64_t as_words(const Tensor& x, int64_t t, int64_t n, int64_t place, int16_t* to, int64_t width) const {
    int64_t largest = 0;
    with_type(x.type, [&](auto kind) {
      using From = decltype(kind);
      const From* from = x.at<From>(t, n) + place;
      From low = 0, high = 0;
      for (int64_t k = 0; k < inner_; ++k) {
        int16_t* row = to + (k + k / product_rows) * width;
        for (int64_t m = 0; m < columns_; ++m) {
          const From number = from[k * other_inner_ + m * column_];
          row[m] = static_cast<int16_t>(number);
          low = std::min(low, number), high = std::max(high, number);
        }
      }
      largest = std::max(static_cast<int64_t>(high), -static_cast<int64_t>(low));
    });
    return largest;
  }
};

}  // namespace detail

// The product, if one factor is held as bytes and neither stands still while the other changes over time; the numbers of
// the other have to fit 16 bits.
inline std::optional<Tensor> product(const Tensor& a, const Tensor& b, const KnownProduct& known, const Kernels& kernels, int threads) {
  if ((a.type != Type::u8 && b.type != Type::u8) || a.steps != b.steps) return std::nullopt;
  const bool turned = a.type != Type::u8 || (b.type == Type::u8 && known.turned);
  const detail::Products made(a, b, known, turned, kernels);
  made.run(threads);
  return made.y;
}

}  // namespace spikedrive::engine
