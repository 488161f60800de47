// How codes lie in memory and in the file, chosen so that every kernel reads whole lanes.
//
// A code of `bytes` bytes is cut into 8-byte words and, where it does not divide, one narrower
// tail lane of 1, 2 or 4 bytes (a rest of 5 to 7 bytes takes a whole word). Rows are stored in
// blocks of 64: first word 0 of the 64 rows, then word 1, ..., then the 64 tails. Codes of up to
// 64 bits have one lane, so their array is simply contiguous.
//
// Bytes keep the order of the packed code, so nothing depends on the machine's endianness:
// distance and equality are the same whichever way a lane is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "error.hpp"

namespace dsah {

constexpr std::size_t kBlockRows = 64;
constexpr std::uint32_t kMaxBits = 4096;
constexpr std::size_t kMaxLanes = kMaxBits / 64 + 1;

struct Layout {
    std::uint32_t bits = 0;
    std::uint32_t symbol_bits = 1;
    std::uint32_t bytes = 0;   ///< of one packed code
    std::uint32_t words = 0;   ///< 8-byte lanes
    std::uint32_t tail = 0;    ///< bytes of the last, narrower lane; 0 if there is none
    std::uint32_t stride = 0;  ///< bytes of one stored code: 8 * words + tail

    Layout() = default;
    Layout(std::uint32_t bits_, std::uint32_t symbol_bits_)
        : bits(bits_), symbol_bits(symbol_bits_) {
        if (bits < 1 || bits > kMaxBits)
            throw Error(Fault::usage, "bits = " + std::to_string(bits) + ", allowed: 1 to 4096");
        const bool known =
            symbol_bits == 1 || symbol_bits == 2 || symbol_bits == 4 || symbol_bits == 8;
        if (!known || bits % symbol_bits)
            throw Error(Fault::usage, "symbol_bits = " + std::to_string(symbol_bits) +
                                          " with bits = " + std::to_string(bits) +
                                          "; allowed: 1, 2, 4 or 8, and bits a multiple of it");
        bytes = (bits + 7) / 8;
        words = bytes / 8;
        const std::uint32_t rest = bytes % 8;
        if (rest > 4) ++words;
        if (rest >= 1 && rest <= 4) tail = rest == 3 ? 4 : rest;
        stride = 8 * words + tail;
    }

    bool operator==(const Layout& o) const {
        return bits == o.bits && symbol_bits == o.symbol_bits;
    }
    std::uint32_t lanes() const { return words + (tail != 0); }
    /// One lane: rows are contiguous, and any pointer into them is a valid start of a scan.
    bool flat() const { return lanes() == 1; }
    /// No stored distance can exceed this, not even one between hostile codes.
    std::uint32_t max_distance() const { return stride * 8 / symbol_bits; }
    std::size_t block_bytes() const { return kBlockRows * stride; }
    static std::size_t padded(std::size_t rows) {
        return (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
    }
    std::size_t size_bytes(std::size_t rows) const { return padded(rows) * stride; }

    /// Address of lane `lane` of row `row` inside `codes`.
    template <class Byte>
    Byte* at(Byte* codes, std::size_t row, std::uint32_t lane) const {
        Byte* block = codes + row / kBlockRows * block_bytes() + lane * kBlockRows * 8;
        return block + row % kBlockRows * (lane < words ? 8 : tail);
    }

    /// Store `count` packed codes (row-major, `bytes` each) from row `first` on.
    void store(std::uint8_t* codes, std::size_t first, const std::uint8_t* packed,
               std::size_t count) const;
    /// Copy `count` stored rows to another place of the same layout, any rows to any rows.
    void copy(std::uint8_t* to, std::size_t to_row, const std::uint8_t* from, std::size_t from_row,
              std::size_t count) const;
    /// Inverse of store for one row.
    void fetch(const std::uint8_t* codes, std::size_t row, std::uint8_t* packed) const;
    /// One packed code as lanes of 64 bits (a tail zero-extended), as kernels take a query.
    void spread(const std::uint8_t* packed, std::uint64_t* lanes_out) const;
    /// The same for a stored row.
    void spread_row(const std::uint8_t* codes, std::size_t row, std::uint64_t* lanes_out) const {
        for (std::uint32_t lane = 0; lane < lanes(); ++lane) {
            lanes_out[lane] = 0;
            std::memcpy(lanes_out + lane, at(codes, row, lane), lane < words ? 8 : tail);
        }
    }
    /// Index of the first packed code with a non-zero padding bit, or `count`.
    std::size_t first_dirty(const std::uint8_t* packed, std::size_t count) const;
};

}  // namespace dsah
