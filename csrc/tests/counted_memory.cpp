#include "counted_memory.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

std::size_t g_asked = 0, g_allowed = SIZE_MAX;

void count(std::size_t bytes) {
    g_asked = bytes > SIZE_MAX - g_asked ? SIZE_MAX : g_asked + bytes;
    if (g_asked <= g_allowed) return;
    const std::size_t allowed = g_allowed;
    g_allowed = SIZE_MAX;  // what follows may allocate
    std::fprintf(stderr, "asked for %zu bytes, the last time for %zu; allowed are %zu\n", g_asked,
                 bytes, allowed);
    std::abort();
}

void* counted(std::size_t bytes) noexcept {
    count(bytes);
    return std::malloc(bytes ? bytes : 1);
}

void* counted(std::size_t bytes, std::align_val_t alignment) noexcept {
    count(bytes);
    const auto unit = static_cast<std::size_t>(alignment);
    return std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
}

void* or_throw(void* memory) {
    if (!memory) throw std::bad_alloc();
    return memory;
}

}  // namespace

std::size_t dsah::asked_for() {
    return g_asked;
}

void dsah::allow(std::size_t bytes) {
    g_asked = 0;
    g_allowed = bytes;
}

extern "C" void* __real_mmap(void*, std::size_t, int, int, int, off_t);
extern "C" void* __wrap_mmap(void* at, std::size_t bytes, int p, int f, int fd, off_t offset) {
    if (fd < 0) count(bytes);  // a mapped file is not memory of ours
    return __real_mmap(at, bytes, p, f, fd, offset);
}

// Every form: of those that were missing here a sanitizer would take its own, past the count.
// clang-format off
using Size = std::size_t;
using Align = std::align_val_t;
using Quiet = const std::nothrow_t&;
void* operator new(Size n) { return or_throw(counted(n)); }
void* operator new[](Size n) { return or_throw(counted(n)); }
void* operator new(Size n, Quiet) noexcept { return counted(n); }
void* operator new[](Size n, Quiet) noexcept { return counted(n); }
void* operator new(Size n, Align a) { return or_throw(counted(n, a)); }
void* operator new[](Size n, Align a) { return or_throw(counted(n, a)); }
void* operator new(Size n, Align a, Quiet) noexcept { return counted(n, a); }
void* operator new[](Size n, Align a, Quiet) noexcept { return counted(n, a); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, Size) noexcept { std::free(p); }
void operator delete[](void* p, Size) noexcept { std::free(p); }
void operator delete(void* p, Quiet) noexcept { std::free(p); }
void operator delete[](void* p, Quiet) noexcept { std::free(p); }
void operator delete(void* p, Align) noexcept { std::free(p); }
void operator delete[](void* p, Align) noexcept { std::free(p); }
void operator delete(void* p, Size, Align) noexcept { std::free(p); }
void operator delete[](void* p, Size, Align) noexcept { std::free(p); }
void operator delete(void* p, Align, Quiet) noexcept { std::free(p); }
void operator delete[](void* p, Align, Quiet) noexcept { std::free(p); }
