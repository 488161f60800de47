#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "file.hpp"
#include "file_format.hpp"
#include "hash64.hpp"

namespace dsah {
namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;
constexpr std::size_t kBytesUnderWay = std::size_t{4} << 20;
constexpr std::size_t kChunkRows = 64 * 1024;  // a multiple of the block of 64 rows

/// A temporary file in the target's folder that either becomes the target or vanishes.
class Output {
  public:
    Output(const std::string& path, Stop& stop) : path_(path), stop_(stop) {
        static std::atomic<unsigned> serial{0};
        temporary_ = path + ".tmp-" + std::to_string(getpid()) + "-" + std::to_string(serial++);
        fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd_ < 0) fail("create");
    }
    ~Output() {
        if (fd_ >= 0) close(fd_);
        if (!done_) unlink(temporary_.c_str());
    }

    void write(const void* data, std::size_t bytes) {
        const auto* p = static_cast<const std::uint8_t*>(data);
        while (bytes) {
            stop_.check();
            const ssize_t put = ::write(fd_, p, std::min(bytes, kBytesAtOnce));
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) fail("write");
            p += put;
            at_ += static_cast<std::uint64_t>(put);
            bytes -= static_cast<std::size_t>(put);
            if (at_ - sent_ >= kBytesUnderWay) send();
        }
    }
    void pad_to(std::uint64_t offset) {
        static const char zeros[kAlign] = {};
        write(zeros, offset - at_);
    }
    void overwrite_start(const void* data, std::size_t bytes) {
        if (pwrite(fd_, data, bytes, 0) != static_cast<ssize_t>(bytes)) fail("write");
    }
    std::uint64_t at() const { return at_; }

    /// Data first, then the name, then the folder that holds the name.
    void commit() {
        if (fsync(fd_) != 0) fail("flush");
        if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
        done_ = true;
        const auto slash = path_.rfind('/');
        const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
        const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0) {
            fsync(dir);
            close(dir);
        }
    }

  private:
    [[noreturn]] void fail(const std::string& what) {
        throw IoError("cannot " + what, path_, errno);
    }
    /// Starts writing to disk what is in memory, having waited for the part before it. So the disk
    /// is busy all the time and the last flush, which nothing can stop, has little left to do.
    void send() {
        const auto from = static_cast<off_t>(before_), size = static_cast<off_t>(sent_ - before_);
        if (size) sync_file_range(fd_, from, size, kWait);
        sync_file_range(fd_, static_cast<off_t>(sent_), static_cast<off_t>(at_ - sent_),
                        SYNC_FILE_RANGE_WRITE);  // a file system that cannot will do it later
        before_ = sent_;
        sent_ = at_;
    }

    static constexpr unsigned kWait =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    std::string path_, temporary_;
    Stop& stop_;
    std::uint64_t before_ = 0, sent_ = 0;  // on disk up to here; on its way up to here
    int fd_ = -1;
    bool done_ = false;
    std::uint64_t at_ = 0;
};

/// Writes one section and notes its place and checksum.
class SectionWriter {
  public:
    SectionWriter(Output& out, FileSection& entry, const std::string& name)
        : out_(out), entry_(entry) {
        std::memset(&entry, 0, sizeof entry);
        std::memcpy(entry.name, name.data(), name.size());
        out.pad_to(aligned(out.at()));
        entry.offset = out.at();
    }
    void write(const void* data, std::size_t bytes) {
        const auto* p = static_cast<const std::uint8_t*>(data);
        entry_.bytes += bytes;
        for (std::size_t some; bytes; p += some, bytes -= some) {
            some = std::min(bytes, kBytesAtOnce);
            hash_.update(p, some);
            out_.write(p, some);
        }
    }
    ~SectionWriter() { entry_.checksum = hash_.digest(); }

  private:
    Output& out_;
    FileSection& entry_;
    Hash64 hash_;
};

void write_codes(const Snapshot& snapshot, SectionWriter& out, Stop& stop) {
    const Layout& layout = snapshot.layout;
    std::vector<std::uint8_t> chunk(layout.size_bytes(kChunkRows));
    std::size_t filled = 0;
    const auto append = [&](const std::uint8_t* codes, std::size_t row, std::size_t count) {
        for (std::size_t some; count; row += some, count -= some) {
            some = std::min(count, kChunkRows - filled);
            layout.copy(chunk.data(), filled, codes, row, some);
            if ((filled += some) < kChunkRows) continue;
            out.write(chunk.data(), chunk.size());
            std::fill(chunk.begin(), chunk.end(), std::uint8_t{0});  // padding of the last block
            filled = 0;
        }
    };
    snapshot.for_each_live_run(stop, append);
    out.write(chunk.data(), layout.size_bytes(filled));
}

void write_ids(const Snapshot& snapshot, SectionWriter& out, Stop& stop) {
    std::vector<std::int64_t> chunk;
    chunk.reserve(kChunkRows);
    snapshot.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        chunk.push_back(piece.id(i));
        if (chunk.size() == kChunkRows) {
            out.write(chunk.data(), 8 * chunk.size());
            chunk.clear();
        }
    });
    out.write(chunk.data(), 8 * chunk.size());
}

/// Whether live ids count up without a gap, and the first of them.
bool counts_up(const Snapshot& snapshot, std::int64_t& first, Stop& stop) {
    first = 0;
    if (snapshot.pieces.size() == 1 && !snapshot.alive && !snapshot.pieces[0].segment->ids) {
        first = snapshot.pieces[0].segment->id_base;
        return snapshot.pieces[0].segment->runs.empty();
    }
    bool run = true;
    std::int64_t expected = -1;
    snapshot.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        const std::int64_t id = piece.id(i);
        if (expected < 0) first = expected = id;
        run = run && id == expected++;
    });
    return run;
}

}  // namespace

void write_index(const Snapshot& snapshot, const Sections& sections, const std::string& path,
                 Stop& stop) {
    for (const auto& [name, bytes] : sections)
        if (name.empty() || name.size() + 1 > kMaxNameBytes ||
            name.find('\0') != std::string::npos || sections.size() + 2 > kMaxSections)
            throw Error(Fault::usage, "section '" + name +
                                          "': names have 1 to 14 bytes, and there "
                                          "are at most " +
                                          std::to_string(kMaxSections - 2));
    FileHeader header;
    std::memset(&header, 0, sizeof header);
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kFormatVersion;
    header.bits = snapshot.layout.bits;
    header.symbol_bits = snapshot.layout.symbol_bits;
    header.rows = snapshot.live;
    header.next_id = snapshot.next_id;
    const bool run = counts_up(snapshot, header.id_base, stop);
    header.flags =
        run ? kFlagAscending : kFlagStoredIds | (snapshot.ascending ? kFlagAscending : 0);
    header.sections = static_cast<std::uint32_t>(sections.size()) + (run ? 1 : 2);

    std::vector<FileSection> table(header.sections);
    std::vector<std::uint8_t> start(sizeof header + table.size() * sizeof(FileSection));
    Output out(path, stop);
    out.write(start.data(), start.size());
    std::size_t entry = 0;
    // A dot marks the caller's sections, so that no name can collide with one of the format's.
    for (const auto& [name, bytes] : sections)
        SectionWriter(out, table[entry++], "." + name).write(bytes.data(), bytes.size());
    if (!run) {
        SectionWriter ids(out, table[entry++], "ids");
        write_ids(snapshot, ids, stop);
    }
    {
        SectionWriter codes(out, table[entry++], "codes");
        write_codes(snapshot, codes, stop);
    }
    header.file_bytes = out.at();
    Hash64 hash;
    hash.update(&header, offsetof(FileHeader, checksum));
    hash.update(table.data(), table.size() * sizeof(FileSection));
    header.checksum = hash.digest();
    std::memcpy(start.data(), &header, sizeof header);
    std::memcpy(start.data() + sizeof header, table.data(), table.size() * sizeof(FileSection));
    out.overwrite_start(start.data(), start.size());
    out.commit();
}

}  // namespace dsah
