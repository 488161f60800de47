#include <algorithm>
#include <cstring>

#include "file.hpp"
#include "file_format.hpp"
#include "file_output.hpp"
#include "hash64.hpp"

namespace dsah {
namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;
constexpr std::size_t kChunkRows = 64 * 1024;  // a multiple of the block of 64 rows

/// Writes one section and notes its place and checksum.
class SectionWriter {
  public:
    SectionWriter(Output& out, FileSection& entry, const std::string& name)
        : out_(out), entry_(entry) {
        std::memset(&entry, 0, sizeof entry);
        std::memcpy(entry.name, name.data(), name.size());
        static const char zeros[kAlign] = {};
        out.write(zeros, aligned(out.at()) - out.at());
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
