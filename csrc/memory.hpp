// Bytes that codes and ids live in: private memory, or a read-only mapping of a file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace dsah {

class Memory {
  public:
    /// Zeroed private memory, aligned to 64 bytes and on huge pages where that helps.
    static std::shared_ptr<Memory> allocate(std::size_t bytes);
    /// The first `bytes` bytes of an open file, read-only.
    static std::shared_ptr<Memory> map(int fd, const std::string& name, std::size_t bytes);
    /// Part of another memory, which it keeps alive.
    static std::shared_ptr<Memory> view(std::shared_ptr<Memory> whole, std::size_t offset,
                                        std::size_t bytes);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    std::uint8_t* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool mapped() const { return mapped_; }
    /// What this is a view of, or itself.
    const Memory& whole() const { return whole_ ? *whole_ : *this; }
    /// Bytes that are taken from the system: whole pages. None for a mapping and for a view.
    std::size_t held() const { return mapped_ ? 0 : reserved_.load(std::memory_order_relaxed); }
    /// Gives back the pages behind the first `bytes` bytes, also those of the memory that this is
    /// a view of. Nobody may read there any more.
    void shrink(std::size_t bytes);

  private:
    Memory(std::uint8_t* data, std::size_t size, std::size_t reserved, bool mapped)
        : data_(data), size_(size), reserved_(reserved), mapped_(mapped) {}
    std::uint8_t* data_;
    std::size_t size_;
    std::atomic<std::size_t> reserved_;
    bool mapped_;
    std::shared_ptr<Memory> whole_;
};

}  // namespace dsah
