// Opens mutated index files. Each must be refused with a named error or open and answer a search;
// never crash, hang, or ask for more memory than the file is long. Build it with ASan.
//
//   fuzz_file ROUNDS [SEED]
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>

#include "counted_memory.hpp"
#include "file.hpp"
#include "file_format.hpp"
#include "hash64.hpp"
#include "index.hpp"

using namespace dsah;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// What opening may ask for beside the file's size, all its requests together: whole pages for
/// codes and for ids, the table, names, the index itself and an error message.
constexpr std::size_t kOpening = std::size_t{16} << 10;
/// The first answers need room for each row (an id, a place in the map of ids, a bit, a copy) that
/// the file may do without, and buffers that are as large for a small file as for a large one.
constexpr std::size_t kAnswersEach = 16, kAnswers = std::size_t{512} << 10;
constexpr unsigned kSeconds = 30;  // that one file may take

std::size_t g_most_opening = 0, g_most_answering = 0;  // of what is constant in that

std::size_t beyond(std::size_t bytes) {
    return asked_for() - std::min(asked_for(), bytes);
}

/// The count is worth nothing if a sanitizer's operator new has come before ours.
void check_the_count() {
    allow(SIZE_MAX);
    static void* volatile kept;
    kept = ::operator new(1000);
    ::operator delete(kept);
    kept = ::operator new[](500);
    ::operator delete[](kept);
    const auto memory = Memory::allocate(10000);
    kept = memory->data();
    if (asked_for() < 11500) std::abort();
}

Bytes whole_file(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "rb");
    Bytes bytes(1 << 20);
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
    std::fclose(file);
    return bytes;
}

std::vector<Bytes> seeds(std::mt19937_64& random) {
    const std::string path =
        std::filesystem::temp_directory_path() / ("fuzz-seed-" + std::to_string(getpid()));
    std::vector<Bytes> files;
    for (const unsigned bits : {12u, 64u, 72u})
        for (const std::size_t n : {3, 70, 2000}) {  // the last is longer than what is rounded up
            Index index(Options{bits, 1, 1, "", false});
            const bool named = n == 70 || (n == 2000 && bits == 64);
            Bytes codes(n * index.layout().bytes);
            std::vector<std::int64_t> ids(n);
            for (std::size_t i = 0; i < n; ++i) {
                codes[i * index.layout().bytes] = static_cast<std::uint8_t>(random());
                ids[i] = static_cast<std::int64_t>((i * 37) % 10007);
            }
            const std::string text(n == 2000 ? 30000 : 10, 'x');
            index.add(codes.data(), n, named ? ids.data() : nullptr);
            write_index(*index.snapshot(), {{"items", "[]"}, {"model", text}}, path);
            files.push_back(whole_file(path));
        }
    unlink(path.c_str());
    return files;
}

void mutate(Bytes& file, std::mt19937_64& random) {
    static const std::uint64_t kEdges[] = {
        0, 1, 63, 64, 0x7FFFFFFF, 0xFFFFFFFF, 1ull << 40, 1ull << 62, ~0ull - 7, ~0ull};
    for (std::size_t times = 1 + random() % 4; times && !file.empty(); --times) {
        // Header and table are where the sizes are: aim there three times out of four.
        const std::size_t reach =
            random() % 4 ? std::min<std::size_t>(file.size(), 240) : file.size();
        const std::size_t at = random() % reach;
        switch (random() % 6) {
            case 0:
                file[at] ^= static_cast<std::uint8_t>(1u << random() % 8);
                break;
            case 1:
                file[at] = static_cast<std::uint8_t>(random());
                break;
            case 2:
                file.resize(random() % (file.size() + 1));
                break;
            case 3:
                file.insert(file.end(), random() % 200, static_cast<std::uint8_t>(random()));
                break;
            default: {
                const std::uint64_t value = kEdges[random() % 10] + random() % 3;
                const std::size_t word = at / 4 * 4, width = random() % 2 ? 8 : 4;
                if (word + width <= file.size()) std::memcpy(&file[word], &value, width);
            }
        }
    }
}

/// Makes the checksums right again, as an attacker would.
void forge(Bytes& file) {
    FileHeader header;
    if (file.size() < sizeof header) return;
    std::memcpy(&header, file.data(), sizeof header);
    const std::size_t table = std::size_t{header.sections} * sizeof(FileSection);
    if (header.sections > 64 || sizeof header + table > file.size()) return;
    for (std::size_t s = 0; s < header.sections; ++s) {
        FileSection section;
        std::uint8_t* place = &file[sizeof header + s * sizeof section];
        std::memcpy(&section, place, sizeof section);
        if (section.offset > file.size() || section.bytes > file.size() - section.offset) continue;
        section.checksum = Hash64::of(&file[section.offset], section.bytes);
        std::memcpy(place, &section, sizeof section);
    }
    Hash64 hash;
    hash.update(&header, offsetof(FileHeader, checksum));
    hash.update(&file[sizeof header], table);
    header.checksum = hash.digest();
    std::memcpy(file.data(), &header, sizeof header);
}

/// "opened", or which kind of refusal.
const char* open_and_search(const Bytes& file, bool mapped, bool eager) {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (write(fd, file.data(), file.size()) != static_cast<ssize_t>(file.size())) std::abort();
    const char* verdict = "opened";
    alarm(kSeconds);
    allow(file.size() + kOpening);
    try {
        const IndexFile opened =
            read_index(fd, "file", mapped && !file.empty(), eager ? Verify::eager : Verify::lazy);
        Index index(Options{opened.layout.bits, opened.layout.symbol_bits, 1, "", false});
        index.adopt(opened, eager);
        g_most_opening = std::max(g_most_opening, beyond(file.size()));
        allow(kAnswersEach * file.size() + kAnswers);
        const Bytes query(index.layout().bytes, 0);
        Request request;
        request.queries = query.data();
        request.count = 1;
        request.k = 5;
        Stop never;
        index.search(*index.snapshot(), request, never);
        const std::int64_t ids[] = {0, 1, 37};
        index.remove(ids, 3);
        index.compact();
        g_most_answering = std::max(g_most_answering, beyond(kAnswersEach * file.size()));
    } catch (const Error& error) {
        if (error.fault != Fault::file && error.fault != Fault::io) std::abort();
        verdict = error.fault == Fault::file ? "refused" : "unreadable";
    }
    allow(SIZE_MAX);
    alarm(0);
    close(fd);
    return verdict;
}

/// A byte that no section accounts for must not be there, checksums right or not.
void check_that_nothing_hides(const Bytes& file) {
    FileHeader header;
    std::memcpy(&header, file.data(), sizeof header);
    std::vector<std::size_t> places;
    std::size_t end = sizeof header + header.sections * sizeof(FileSection);
    for (std::size_t s = 0; s < header.sections; ++s) {
        const std::size_t entry = sizeof header + s * sizeof(FileSection);
        FileSection section;
        std::memcpy(&section, &file[entry], sizeof section);
        for (std::size_t i = std::strlen(section.name) + 1; i < sizeof section.name; ++i)
            places.push_back(entry + i);
        for (; end < section.offset; ++end) places.push_back(end);
        end += section.bytes;
    }
    if (places.size() < 20) std::abort();
    if (header.flags & kFlagStoredIds) places.push_back(offsetof(FileHeader, id_base));
    for (const std::size_t place : places)
        for (const bool mapped : {false, true}) {
            Bytes hiding = file;
            hiding[place] ^= 0x40;
            forge(hiding);
            if (std::strcmp(open_and_search(hiding, mapped, !mapped), "refused") == 0) continue;
            std::fprintf(stderr, "byte %zu may hold anything\n", place);
            std::abort();
        }
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned long rounds = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20000;
    const unsigned long seed = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
    check_the_count();
    std::mt19937_64 random(seed);
    const std::vector<Bytes> files = seeds(random);
    std::map<std::string, unsigned long> verdicts;
    for (const Bytes& file : files)
        if (std::strcmp(open_and_search(file, false, true), "opened") != 0) std::abort();
    for (const Bytes& file : files) check_that_nothing_hides(file);
    for (unsigned long i = 0; i < rounds; ++i) {
        Bytes file = files[random() % files.size()];
        mutate(file, random);
        if (random() % 2) forge(file);
        ++verdicts[open_and_search(file, random() % 2, random() % 2)];
    }
    std::printf("%lu mutated files, seed %lu:", rounds, seed);
    for (const auto& [verdict, count] : verdicts) std::printf(" %lu %s", count, verdict.c_str());
    std::printf("\nopening asked for the file's size and at most %zu bytes (allowed: %zu)\n",
                g_most_opening, kOpening);
    std::printf(
        "answering asked for %zu times the file's size and at most %zu bytes (allowed: %zu)\n",
        kAnswersEach, g_most_answering, kAnswers);
}
