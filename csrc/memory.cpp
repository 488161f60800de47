#include "memory.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <new>

#include "error.hpp"

namespace dsah {
namespace {
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kSlack = 64;  // kernels may read one register past the last row
}  // namespace

std::shared_ptr<Memory> Memory::allocate(std::size_t bytes) {
    const std::size_t wanted = bytes + kSlack;
    const bool huge = wanted >= 2 * kHugePage;
    const std::size_t unit = huge ? kHugePage : 4096;
    if (wanted > SIZE_MAX - 2 * unit) throw std::bad_alloc();
    const std::size_t reserved = (wanted + unit - 1) / unit * unit + (huge ? kHugePage : 0);
    // Fresh mappings are zero, need no clearing, and go back to the system at once.
    void* raw = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    auto* start = static_cast<std::uint8_t*>(raw);
    std::size_t length = reserved;
    if (huge) {
        // Trim to a huge-page boundary, then ask for huge pages; refusal costs only speed.
        const auto address = reinterpret_cast<std::uintptr_t>(start);
        const std::size_t skip = (kHugePage - address % kHugePage) % kHugePage;
        if (skip) munmap(start, skip);
        munmap(start + skip + reserved - kHugePage, kHugePage - skip);
        start += skip;
        length = reserved - kHugePage;
        madvise(start, length, MADV_HUGEPAGE);
    }
    return std::shared_ptr<Memory>(new Memory(start, bytes, length, false));
}

std::shared_ptr<Memory> Memory::map(int fd, const std::string& name, std::size_t bytes) {
    void* raw = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (raw == MAP_FAILED) throw IoError("cannot map", name, errno);
    return std::shared_ptr<Memory>(new Memory(static_cast<std::uint8_t*>(raw), bytes, bytes, true));
}

std::shared_ptr<Memory> Memory::view(std::shared_ptr<Memory> whole, std::size_t offset,
                                     std::size_t bytes) {
    std::shared_ptr<Memory> part(new Memory(whole->data_ + offset, bytes, 0, whole->mapped_));
    part->whole_ = std::move(whole);
    return part;
}

Memory::~Memory() {
    if (!whole_) munmap(data_, reserved_);
}

}  // namespace dsah
