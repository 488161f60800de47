// The bytes of the file's header, shared by reader and writer. All integers are little-endian.
#pragma once

#include <cstdint>
#include <type_traits>

namespace dsah {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the file is little-endian and read in place; a big-endian port must swap here");

// As in PNG: a byte above 127 and both line ends show files mangled by text-mode transfers.
constexpr unsigned char kMagic[8] = {0x89, 'D', 'S', 'A', 'H', '\r', '\n', 0x1A};
constexpr std::uint64_t kAlign = 64;
constexpr std::uint32_t kFlagStoredIds = 1, kFlagAscending = 2;

struct FileHeader {
    unsigned char magic[8];
    std::uint32_t version;
    std::uint32_t sections;
    std::uint32_t bits;
    std::uint32_t symbol_bits;
    std::uint64_t rows;
    std::int64_t id_base;
    std::int64_t next_id;
    std::uint64_t file_bytes;
    std::uint32_t flags;
    std::uint32_t reserved;
    std::uint64_t checksum;  ///< of the 64 bytes before it and of the section table
};
static_assert(sizeof(FileHeader) == 72 && std::is_trivially_copyable<FileHeader>::value,
              "the header is written as it lies in memory");

struct FileSection {
    char name[16];  ///< zero-padded
    std::uint64_t offset;
    std::uint64_t bytes;
    std::uint64_t checksum;
};
static_assert(sizeof(FileSection) == 40 && std::is_trivially_copyable<FileSection>::value,
              "the section table is written as it lies in memory");

inline std::uint64_t aligned(std::uint64_t offset) {
    return (offset + kAlign - 1) / kAlign * kAlign;
}

}  // namespace dsah
