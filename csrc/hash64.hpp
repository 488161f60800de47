// XXH64 (Yann Collet, BSD 2-clause specification), seed 0: the checksum of the file format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dsah {

class Hash64 {
  public:
    void update(const void* data, std::size_t size);
    std::uint64_t digest() const;
    static std::uint64_t of(const void* data, std::size_t size);

  private:
    void stripe(const std::uint8_t* p);

    std::uint64_t acc_[4] = {0x60EA27EEADC0B5D6u, 0xC2B2AE3D27D4EB4Fu, 0, 0x61C8864E7A143579u};
    std::uint8_t hold_[32] = {};
    std::size_t held_ = 0;
    std::uint64_t total_ = 0;
};

}  // namespace dsah
