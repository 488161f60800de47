// XXH64 (Yann Collet, BSD 2-clause specification), seed 0: the checksum of the file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dsah {

class Hash64 {
  public:
    void update(const void* data, std::size_t size) {
        const auto* p = static_cast<const std::uint8_t*>(data);
        total_ += size;
        if (held_ + size < 32) {
            if (size) std::memcpy(hold_ + held_, p, size);
            held_ += size;
            return;
        }
        const std::uint8_t* end = p + size;
        if (held_) {
            std::memcpy(hold_ + held_, p, 32 - held_);
            p += 32 - held_;
            stripe(hold_);
            held_ = 0;
        }
        for (; end - p >= 32; p += 32) stripe(p);
        held_ = static_cast<std::size_t>(end - p);
        if (held_) std::memcpy(hold_, p, held_);
    }

    std::uint64_t digest() const {
        std::uint64_t h = kPrime5;
        if (total_ >= 32) {
            h = rotate(acc_[0], 1) + rotate(acc_[1], 7) + rotate(acc_[2], 12) + rotate(acc_[3], 18);
            for (const std::uint64_t a : acc_) h = (h ^ round(0, a)) * kPrime1 + kPrime4;
        }
        h += total_;
        const std::uint8_t *p = hold_, *end = hold_ + held_;
        for (; end - p >= 8; p += 8) h = rotate(h ^ round(0, read64(p)), 27) * kPrime1 + kPrime4;
        for (; end - p >= 4; p += 4) h = rotate(h ^ read32(p) * kPrime1, 23) * kPrime2 + kPrime3;
        for (; p < end; ++p) h = rotate(h ^ *p * kPrime5, 11) * kPrime1;
        h = (h ^ h >> 33) * kPrime2;
        h = (h ^ h >> 29) * kPrime3;
        return h ^ h >> 32;
    }

    static std::uint64_t of(const void* data, std::size_t size) {
        Hash64 hash;
        hash.update(data, size);
        return hash.digest();
    }

  private:
    static constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                                   kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                                   kPrime5 = 0x27D4EB2F165667C5u;
    static std::uint64_t rotate(std::uint64_t x, int by) { return x << by | x >> (64 - by); }
    static std::uint64_t read64(const std::uint8_t* p) {
        std::uint64_t x;
        std::memcpy(&x, p, 8);
        return x;
    }
    static std::uint64_t read32(const std::uint8_t* p) {
        std::uint32_t x;
        std::memcpy(&x, p, 4);
        return x;
    }
    static std::uint64_t round(std::uint64_t acc, std::uint64_t input) {
        return rotate(acc + input * kPrime2, 31) * kPrime1;
    }
    void stripe(const std::uint8_t* p) {
        for (int i = 0; i < 4; ++i) acc_[i] = round(acc_[i], read64(p + 8 * i));
    }

    std::uint64_t acc_[4] = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
    std::uint8_t hold_[32] = {};
    std::size_t held_ = 0;
    std::uint64_t total_ = 0;
};

}  // namespace dsah
