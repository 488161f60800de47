#include "hash64.hpp"

#include <cstring>

namespace dsah {
namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87u, kPrime2 = 0xC2B2AE3D27D4EB4Fu,
                        kPrime3 = 0x165667B19E3779F9u, kPrime4 = 0x85EBCA77C2B2AE63u,
                        kPrime5 = 0x27D4EB2F165667C5u;

std::uint64_t rotate(std::uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

template <class Word>
std::uint64_t read(const std::uint8_t* p) {
    Word x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

std::uint64_t round(std::uint64_t acc, std::uint64_t input) {
    return rotate(acc + input * kPrime2, 31) * kPrime1;
}

}  // namespace

void Hash64::stripe(const std::uint8_t* p) {
    for (int i = 0; i < 4; ++i) acc_[i] = round(acc_[i], read<std::uint64_t>(p + 8 * i));
}

void Hash64::update(const void* data, std::size_t size) {
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

std::uint64_t Hash64::digest() const {
    std::uint64_t h = kPrime5;
    if (total_ >= 32) {
        h = rotate(acc_[0], 1) + rotate(acc_[1], 7) + rotate(acc_[2], 12) + rotate(acc_[3], 18);
        for (const std::uint64_t a : acc_) h = (h ^ round(0, a)) * kPrime1 + kPrime4;
    }
    h += total_;
    const std::uint8_t *p = hold_, *end = hold_ + held_;
    for (; end - p >= 8; p += 8)
        h = rotate(h ^ round(0, read<std::uint64_t>(p)), 27) * kPrime1 + kPrime4;
    for (; end - p >= 4; p += 4)
        h = rotate(h ^ read<std::uint32_t>(p) * kPrime1, 23) * kPrime2 + kPrime3;
    for (; p < end; ++p) h = rotate(h ^ *p * kPrime5, 11) * kPrime1;
    h = (h ^ h >> 33) * kPrime2;
    h = (h ^ h >> 29) * kPrime3;
    return h ^ h >> 32;
}

std::uint64_t Hash64::of(const void* data, std::size_t size) {
    Hash64 hash;
    hash.update(data, size);
    return hash.digest();
}

}  // namespace dsah
