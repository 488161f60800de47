#include "file_output.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <climits>

#include "descriptor.hpp"
#include "error.hpp"

namespace dsah {
namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;
constexpr std::size_t kBytesUnderWay = std::size_t{4} << 20;
constexpr int kMostLinks = 40;  // as many as the system follows

/// With the slash at its end; empty for the present folder.
std::string folder_of(const std::string& path) {
    return path.substr(0, path.rfind('/') + 1);
}

/// The file that a path leads to in the end, also if it is not there yet.
std::string followed(const std::string& path) {
    std::string at = path;
    for (int links = 0; links <= kMostLinks; ++links) {
        char next[PATH_MAX];
        const ssize_t length = readlink(at.c_str(), next, sizeof next);
        if (length < 0) return at;  // no link, or what is wrong shows when it is written
        const std::string to(next, static_cast<std::size_t>(length));
        at = to[0] == '/' ? to : folder_of(at) + to;
    }
    throw IoError("cannot follow", path, ELOOP);
}

int flush(int file) {
    int result;
    do result = fsync(file);
    while (result != 0 && errno == EINTR);
    return result;
}

}  // namespace

Output::Output(const std::string& path, Stop& stop)
    : path_(path), target_(followed(path)), folder_(folder_of(target_)), stop_(stop) {
    create();
}

Output::~Output() {
    if (file_ >= 0) close(file_);
    if (!done_) unlink(temporary_.c_str());
}

void Output::fail(const std::string& what) const {
    throw IoError("cannot " + what, path_, errno);
}

void Output::create() {
    static std::atomic<unsigned> serial{0};
    struct stat old;
    const bool replaces = stat(target_.c_str(), &old) == 0 && !S_ISDIR(old.st_mode);
    if (replaces && !S_ISREG(old.st_mode))
        throw IoError("cannot replace what is not a regular file,", path_, EINVAL);
    do {  // a process of the same number may have been killed and left its file
        temporary_ =
            folder_ + "dsah.tmp-" + std::to_string(getpid()) + "-" + std::to_string(serial++);
        file_ = open_file(temporary_, O_WRONLY | O_CREAT | O_EXCL, replaces ? 0600 : 0666, stop_);
    } while (file_ < 0 && errno == EEXIST);
    if (file_ < 0) fail("create");
    if (!replaces) return;
    // What one group may do is not for another. Where owner, group or mode cannot be set, less is
    // allowed than before, never more.
    mode_t mode = old.st_mode & 0777;
    if (fchown(file_, old.st_uid, old.st_gid) != 0 && fchown(file_, -1, old.st_gid) != 0)
        mode &= ~mode_t{070};
    static_cast<void>(fchmod(file_, mode) != 0);
}

void Output::write(const void* data, std::size_t bytes) {
    const auto* p = static_cast<const std::uint8_t*>(data);
    while (bytes) {
        stop_.check();
        const ssize_t put = ::write(file_, p, std::min(bytes, kBytesAtOnce));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail("write");
        p += put;
        at_ += static_cast<std::uint64_t>(put);
        bytes -= static_cast<std::size_t>(put);
        if (at_ - sent_ >= kBytesUnderWay) send();
    }
}

void Output::overwrite_start(const void* data, std::size_t bytes) {
    if (pwrite(file_, data, bytes, 0) != static_cast<ssize_t>(bytes)) fail("write");
}

/// Starts writing to disk what is in memory, having waited for the part before it. So the disk is
/// busy all the time and the last flush, which nothing can stop, has little left to do.
void Output::send() {
    constexpr unsigned kWait =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const auto from = static_cast<off_t>(before_), size = static_cast<off_t>(sent_ - before_);
    if (size) sync_file_range(file_, from, size, kWait);
    sync_file_range(file_, static_cast<off_t>(sent_), static_cast<off_t>(at_ - sent_),
                    SYNC_FILE_RANGE_WRITE);  // a file system that cannot will do it later
    before_ = sent_;
    sent_ = at_;
}

void Output::commit() {
    if (flush(file_) != 0) fail("flush");
    const Descriptor folder(
        open_file(folder_.empty() ? "." : folder_, O_RDONLY | O_DIRECTORY, 0, stop_));
    // One may write into a folder that one may not read, but not flush it.
    if (folder.number() < 0 && errno != EACCES) fail("open the folder of");
    if (rename(temporary_.c_str(), target_.c_str()) != 0) fail("rename");
    done_ = true;
    if (folder.number() < 0 || flush(folder.number()) == 0) return;
    if (errno != EINVAL && errno != ENOTSUP) fail("flush the folder of");  // some cannot at all
}

}  // namespace dsah
