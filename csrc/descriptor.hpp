// An open file of the system.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "stop.hpp"

namespace dsah {

/// Closes what it holds when it goes; below 0 it holds nothing.
class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ >= 0) close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int number() const { return number_; }

  private:
    int number_;
};

/// open() that goes on when a signal comes in between, unless that asks to stop; below 0 and errno
/// if it fails.
inline int open_file(const std::string& path, int flags, mode_t mode, Stop& stop) {
    for (;;) {
        const int number = open(path.c_str(), flags | O_CLOEXEC, mode);
        if (number >= 0 || errno != EINTR) return number;
        stop.check();
    }
}

}  // namespace dsah
