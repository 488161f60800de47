#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "error.hpp"

namespace dsah {
namespace {
constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kSlack = 64;  // kernels may read one register past the last row

std::size_t in_pages(std::size_t bytes) {
    static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return (bytes + kSlack + page - 1) / page * page;
}
}  // namespace

std::shared_ptr<Memory> Memory::allocate(std::size_t bytes) {
    if (bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();
    const std::size_t wanted = in_pages(bytes);
    const bool huge = wanted >= 2 * kHugePage;
    const std::size_t reserved = wanted + (huge ? kHugePage : 0);
    // Fresh mappings are zero, need no clearing, and go back to the system at once.
    void* raw = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    auto* start = static_cast<std::uint8_t*>(raw);
    if (huge) {
        // Trim to a huge-page boundary, then ask for huge pages; refusal costs only speed. The
        // rest that does not fill one stays small pages, so that nothing is held for it.
        const auto address = reinterpret_cast<std::uintptr_t>(start);
        const std::size_t skip = (kHugePage - address % kHugePage) % kHugePage;
        if (skip) munmap(start, skip);
        start += skip;
        munmap(start + wanted, kHugePage - skip);
        madvise(start, wanted / kHugePage * kHugePage, MADV_HUGEPAGE);
    }
    return std::shared_ptr<Memory>(new Memory(start, bytes, wanted, false));
}

void Memory::shrink(std::size_t bytes) {
    size_ = bytes;
    if (whole_) return whole_->shrink(static_cast<std::size_t>(data_ - whole_->data_) + bytes);
    const std::size_t reserved = reserved_.load(std::memory_order_relaxed);
    const std::size_t kept = in_pages(bytes);
    if (mapped_ || kept >= reserved) return;
    if (munmap(data_ + kept, reserved - kept) != 0) return;  // then it is kept
    reserved_.store(kept, std::memory_order_relaxed);
}

std::shared_ptr<Memory> Memory::map(int fd, const std::string& name, std::size_t bytes) {
    void* raw = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (raw == MAP_FAILED) throw IoError("cannot map", name, errno);
    return std::shared_ptr<Memory>(new Memory(static_cast<std::uint8_t*>(raw), bytes, bytes, true));
}

std::shared_ptr<Memory> Memory::view(std::shared_ptr<Memory> whole, std::size_t offset,
                                     std::size_t bytes) {
    std::shared_ptr<Memory> part(new Memory(whole->data_ + offset, bytes, 0, whole->mapped_));
    part->whole_ = whole->whole_ ? whole->whole_ : std::move(whole);
    return part;
}

Memory::~Memory() {
    if (!whole_) munmap(data_, reserved_);
}

}  // namespace dsah
