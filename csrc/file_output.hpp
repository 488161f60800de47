// A file that appears whole or not at all: it is written under another name in the same folder.
#pragma once

#include <cstdint>
#include <string>

#include "stop.hpp"

namespace dsah {

/// What was not committed vanishes. Where the path is a link, the file that it leads to is
/// replaced; the new file has the mode of the old one. Errors of the system are IoErrors that name
/// the path.
class Output {
  public:
    Output(const std::string& path, Stop& stop);
    ~Output();
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    void write(const void* data, std::size_t bytes);
    void overwrite_start(const void* data, std::size_t bytes);
    /// Bytes written so far.
    std::uint64_t at() const { return at_; }
    /// Flushes the data, takes the name, flushes the folder that holds the name.
    void commit();

  private:
    [[noreturn]] void fail(const std::string& what) const;
    void create();
    void send();

    std::string path_, target_, folder_, temporary_;
    Stop& stop_;
    int file_ = -1;
    bool done_ = false;
    std::uint64_t at_ = 0;
    std::uint64_t before_ = 0, sent_ = 0;  // on disk up to here; on its way up to here
};

}  // namespace dsah
