#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "descriptor.hpp"
#include "file.hpp"
#include "file_format.hpp"
#include "hash64.hpp"

namespace dsah {
namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;
constexpr std::size_t kRowsAtOnce = 65536;

/// A file whose every read is checked against its length.
class Input {
  public:
    Input(int fd, const std::string& name) : fd_(fd), name_(name) {
        struct stat info;
        if (fstat(fd, &info) != 0) fail_io("cannot read");
        if (!S_ISREG(info.st_mode)) fail("is not a regular file");
        size_ = static_cast<std::uint64_t>(info.st_size);
    }
    std::uint64_t size() const { return size_; }
    int fd() const { return fd_; }
    const std::string& name() const { return name_; }

    void read(std::uint64_t offset, void* out, std::uint64_t bytes) const {
        if (offset > size_ || bytes > size_ - offset) fail("is shorter than its header says");
        auto* p = static_cast<std::uint8_t*>(out);
        while (bytes) {
            const ssize_t got = pread(fd_, p, bytes, static_cast<off_t>(offset));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) fail_io("cannot read");
            if (got == 0) fail("became shorter while it was read");
            p += got;
            offset += static_cast<std::uint64_t>(got);
            bytes -= static_cast<std::uint64_t>(got);
        }
    }

    [[noreturn]] void fail(const std::string& what) const {
        throw Error(Fault::file, name_ + " " + what);
    }
    [[noreturn]] void fail_io(const std::string& what) const { throw IoError(what, name_, errno); }

  private:
    int fd_;
    std::string name_;
    std::uint64_t size_ = 0;
};

bool all_zero(const char* bytes, std::size_t count) {
    return std::all_of(bytes, bytes + count, [](char byte) { return byte == 0; });
}

FileHeader read_header(const Input& in) {
    FileHeader header;
    if (in.size() < sizeof header) in.fail("is not a dsah index file (too short)");
    in.read(0, &header, sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0)
        in.fail("is not a dsah index file (wrong first bytes)");
    if (header.version > kFormatVersion)
        in.fail("has format version " + std::to_string(header.version) +
                ", this dsah reads up to " + std::to_string(kFormatVersion) + "; upgrade dsah");
    if (header.version < 1) in.fail("has format version 0, which never existed");
    if (header.sections > kMaxSections) in.fail("is damaged: too many sections");
    if (header.file_bytes != in.size())
        in.fail("is damaged: it has " + std::to_string(in.size()) + " bytes, its header says " +
                std::to_string(header.file_bytes));
    return header;
}

std::vector<FileSection> read_table(const Input& in, const FileHeader& header) {
    const std::uint64_t table_bytes = header.sections * sizeof(FileSection);
    if (table_bytes > in.size() - sizeof header) in.fail("is damaged: its table is cut short");
    std::vector<FileSection> table(header.sections);
    if (table_bytes) in.read(sizeof header, table.data(), table_bytes);
    Hash64 hash;
    hash.update(&header, offsetof(FileHeader, checksum));
    hash.update(table.data(), table_bytes);
    if (hash.digest() != header.checksum) in.fail("is damaged: its header fails the checksum");
    // Sections follow one another without overlap, gap or trailing bytes, and what fills up names
    // and places is zero: nothing can hide in a file.
    std::uint64_t end = sizeof header + table_bytes;
    for (const FileSection& section : table) {
        if (section.offset != aligned(end) || section.offset > in.size() ||
            section.bytes > in.size() - section.offset)
            in.fail("is damaged: a section lies outside the file");
        char between[kAlign];
        in.read(end, between, section.offset - end);
        const std::size_t length = strnlen(section.name, sizeof section.name);
        if (length == 0 || length == sizeof section.name)
            in.fail("is damaged: a section has no name");
        if (!all_zero(section.name + length, sizeof section.name - length) ||
            !all_zero(between, section.offset - end))
            in.fail("is damaged: it has bytes beside its sections");
        end = section.offset + section.bytes;
    }
    if (end != in.size()) in.fail("is damaged: it has bytes behind its last section");
    return table;
}

/// Keeps the mapping of the whole file alive for a view of one section.
std::shared_ptr<Memory> load(const Input& in, const std::shared_ptr<Memory>& whole,
                             const FileSection& section, Stop& stop) {
    if (whole) return Memory::view(whole, section.offset, section.bytes);
    auto memory = Memory::allocate(section.bytes);
    in_steps(section.bytes, kBytesAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        in.read(section.offset + begin, memory->data() + begin, end - begin);
    });
    return memory;
}

/// The file stores ids one by one as soon as one is missing; in memory they may be few runs.
void use_runs(Segment& segment, std::size_t rows, Stop& stop) {
    RunFinder finder(rows);
    in_steps(rows, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) finder.take(segment.id(i));
    });
    std::vector<Run> runs = std::move(finder).runs();
    if (!runs.empty()) segment.keep_runs(std::move(runs));
}

std::uint64_t checksum(const std::uint8_t* data, std::size_t size, Stop& stop) {
    Hash64 hash;
    in_steps(size, kBytesAtOnce, stop,
             [&](std::size_t begin, std::size_t end) { hash.update(data + begin, end - begin); });
    return hash.digest();
}

}  // namespace

void IndexFile::verify(Stop& stop) const {
    if (!rows) return;
    const auto fail = [](const std::string& what) {
        throw Error(Fault::file, "the index file is damaged: " + what);
    };
    const Memory& codes = *segment->codes;
    if (checksum(codes.data(), codes.size(), stop) != codes_checksum)
        fail("its codes fail the checksum");
    // Bits that no code uses: the spare ones of the last byte, and bytes that widen the last lane.
    std::vector<std::uint8_t> ones(layout.bytes, 0xFF);
    ones.back() = static_cast<std::uint8_t>(0xFF << (layout.bytes * 8 - layout.bits));
    std::uint64_t used[kMaxLanes], lanes[kMaxLanes];
    layout.spread(ones.data(), used);
    const std::uint32_t last = layout.lanes() - 1;
    const std::uint32_t width = last < layout.words ? 8 : layout.tail;
    in_steps(layout.bits == 8 * layout.stride ? 0 : rows, kRowsAtOnce, stop,
             [&](std::size_t begin, std::size_t end) {
                 std::uint64_t any = 0;
                 for (std::size_t i = begin; i < end; ++i) {
                     std::uint64_t lane = 0;
                     std::memcpy(&lane, layout.at(codes.data(), i, last), width);
                     any |= lane;
                 }
                 if (any & ~used[last]) fail("a code has non-zero padding bits");
             });
    for (std::size_t i = rows; i < Layout::padded(rows); ++i) {
        layout.spread_row(codes.data(), i, lanes);
        for (std::uint32_t lane = 0; lane <= last; ++lane)
            if (lanes[lane]) fail("its last block is not filled up with zeros");
    }
    if (!segment->ids) return;
    if (checksum(segment->ids->data(), segment->ids->size(), stop) != ids_checksum)
        fail("its ids fail the checksum");
    if (segment->id(0) != segment->id_base) fail("its first id is not the one in its header");
    std::int64_t previous = -1;
    in_steps(rows, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            std::int64_t id;
            std::memcpy(&id, segment->ids->data() + 8 * i, 8);
            if (id < 0 || id >= next_id || (ascending && id <= previous))
                fail("an id is out of order");
            previous = id;
        }
    });
}

IndexFile read_index(int fd, const std::string& name, bool mapped, Verify verify, Stop& stop) {
    const Input in(fd, name);
    const FileHeader header = read_header(in);
    const std::vector<FileSection> table = read_table(in, header);
    IndexFile file;
    try {
        file.layout = Layout(header.bits, header.symbol_bits);
    } catch (const Error& error) {
        in.fail(std::string("is damaged: ") + error.what());
    }
    const bool stored_ids = header.flags & kFlagStoredIds;
    file.ascending = header.flags & kFlagAscending;
    if (header.flags & ~(kFlagStoredIds | kFlagAscending) || header.reserved)
        in.fail("is damaged: unknown flags");
    // Division, not multiplication: a hostile row count cannot overflow.
    if (header.rows >= UINT32_MAX || header.rows > header.file_bytes / file.layout.stride)
        in.fail("is damaged: it cannot hold the codes its header promises");
    file.rows = header.rows;
    file.next_id = header.next_id;
    const auto rows = static_cast<std::int64_t>(header.rows);
    if (header.next_id < 0 || header.id_base < 0 || header.id_base > INT64_MAX - rows ||
        (rows && !stored_ids && (header.id_base + rows > header.next_id || !file.ascending)) ||
        (!rows && (stored_ids || header.id_base)))
        in.fail("is damaged: its ids are out of range");

    std::shared_ptr<Memory> whole = mapped ? Memory::map(in.fd(), in.name(), in.size()) : nullptr;
    auto segment = std::make_shared<Segment>();
    segment->id_base = header.id_base;
    segment->capacity = Layout::padded(file.rows);
    for (const FileSection& section : table) {
        const std::string title(section.name);
        if (title == "codes" && !segment->codes) {
            if (section.bytes != file.layout.size_bytes(file.rows))
                in.fail("is damaged: its codes have the wrong size");
            segment->codes = load(in, whole, section, stop);
            file.codes_checksum = section.checksum;
        } else if (title == "ids" && stored_ids && !segment->ids) {
            if (section.bytes != 8 * header.rows)
                in.fail("is damaged: its ids have the wrong size");
            segment->ids = load(in, whole, section, stop);
            file.ids_checksum = section.checksum;
        } else if (title[0] == '.' && !file.sections.count(title.substr(1))) {
            Hash64 hash;
            std::string bytes;
            bytes.reserve(section.bytes);
            in_steps(section.bytes, kBytesAtOnce, stop, [&](std::size_t begin, std::size_t end) {
                bytes.resize(end);
                in.read(section.offset + begin, &bytes[begin], end - begin);
                hash.update(&bytes[begin], end - begin);
            });
            if (hash.digest() != section.checksum)
                in.fail("is damaged: section '" + title.substr(1) + "' fails its checksum");
            file.sections.emplace(title.substr(1), std::move(bytes));
        } else {
            in.fail("is damaged: unknown or repeated section '" + title + "'");
        }
    }
    if (!segment->codes || (stored_ids && !segment->ids))
        in.fail("is damaged: its codes or ids are missing");
    file.segment = segment;
    if (verify == Verify::eager) file.verify(stop);
    if (verify == Verify::eager && !mapped && stored_ids) use_runs(*segment, file.rows, stop);
    return file;
}

IndexFile read_index(const std::string& path, bool mapped, Verify verify, Stop& stop) {
    // Not to wait for a writer, if this is a pipe: it is refused as no regular file.
    const Descriptor file(open_file(path, O_RDONLY | O_NONBLOCK, 0, stop));
    if (file.number() < 0) throw IoError("cannot open", path, errno);
    return read_index(file.number(), path, mapped, verify, stop);
}

}  // namespace dsah
