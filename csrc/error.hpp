// The one exception type of the core: a kind that callers can map, and a message for people.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>

namespace dsah {

enum class Fault {
    usage,       ///< an argument is outside what is allowed
    code,        ///< codes of the wrong width or with non-zero padding bits
    file,        ///< a damaged, truncated or foreign index file
    io,          ///< the operating system refused (disk full, no such file)
    interrupted  ///< the caller asked to stop
};

class Error : public std::runtime_error {
  public:
    Error(Fault fault, const std::string& message) : std::runtime_error(message), fault(fault) {}
    const Fault fault;
};

/// The operating system refused to do something with a file, and its number for why.
class IoError : public Error {
  public:
    IoError(const std::string& action, const std::string& path, int number)
        : Error(Fault::io, action + " " + path + ": " + std::strerror(number)),
          action(action),
          path(path),
          number(number) {}
    const std::string action, path;
    const int number;
};

}  // namespace dsah
