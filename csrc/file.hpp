// The index file. docs/index-format.md specifies it; this is its only reader and writer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "snapshot.hpp"
#include "stop.hpp"

namespace dsah {

using Sections = std::map<std::string, std::string>;  ///< name -> bytes, kept beside the codes

constexpr std::uint32_t kFormatVersion = 1;
constexpr std::size_t kMaxSections = 64;
constexpr std::size_t kMaxNameBytes = 15;

/// When the checksums of codes and ids are compared. Headers and other sections always are.
enum class Verify { eager, lazy };

/// An open file: all sizes are checked against the file's length, codes and ids not yet verified
/// if that was put off.
struct IndexFile {
    Layout layout;
    std::size_t rows = 0;
    std::int64_t next_id = 0;
    bool ascending = true;
    std::shared_ptr<const Segment> segment;
    Sections sections;
    std::uint64_t codes_checksum = 0, ids_checksum = 0;

    /// Compares codes and ids with their checksums and checks that ids are valid and rise where
    /// the header says so. Throws Error(file).
    void verify(Stop& stop = Stop::never()) const;
};

/// Reads a file into memory, or maps it (`mapped`). Throws Error(file) for anything but a whole,
/// undamaged index file; memory is allocated only for sizes that the file's length bears out.
IndexFile read_index(const std::string& path, bool mapped, Verify verify,
                     Stop& stop = Stop::never());
/// The same from an open descriptor; `name` is used in messages.
IndexFile read_index(int fd, const std::string& name, bool mapped, Verify verify,
                     Stop& stop = Stop::never());

/// Writes the live rows of a snapshot to `path` by way of a temporary file beside it: after a
/// crash at any moment `path` holds the old file or the new one. A stop leaves the old one.
void write_index(const Snapshot& snapshot, const Sections& sections, const std::string& path,
                 Stop& stop = Stop::never());

}  // namespace dsah
