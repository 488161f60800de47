// The file where the system does not do as it is asked. fsync and open of this program stand before
// those of the C library, and fail when a test says so.
#include "file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <functional>
#include <string>

#include "check.hpp"
#include "index.hpp"

namespace {

int g_folder_error = 0;  // of fsync on a folder
int g_interrupted = 0;   // so many times open is interrupted

}  // namespace

extern "C" int fsync(int file) {
    struct stat info;
    if (g_folder_error && fstat(file, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = g_folder_error;
        return -1;
    }
    return static_cast<int>(syscall(SYS_fsync, file));
}

extern "C" int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (g_interrupted > 0) {
        --g_interrupted;
        errno = EINTR;
        return -1;
    }
    return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

using namespace dsah;

namespace {

/// A folder that goes with its files.
class Folder {
  public:
    Folder() {
        char name[] = "file-test-XXXXXX";
        CHECK(mkdtemp(name));
        path = name;
    }
    ~Folder() {
        for (const std::string& name : names()) unlink((path + "/" + name).c_str());
        rmdir(path.c_str());
    }
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        DIR* folder = opendir(path.c_str());
        while (const dirent* entry = readdir(folder))
            if (entry->d_name[0] != '.') all.push_back(entry->d_name);
        closedir(folder);
        return all;
    }
    std::string path;
};

std::shared_ptr<const Snapshot> some_codes() {
    Index index(Options{64, 1, 1, "", false});
    const std::vector<std::uint8_t> codes(8 * 100, 7);
    index.add(codes.data(), 100, nullptr);
    return index.snapshot();
}

/// The number of the system's error that a call ends with; 0 if it does not.
int error_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const IoError& error) {
        return error.number;
    }
    return 0;
}

void test_a_folder_that_is_not_flushed_is_reported() {
    const Folder folder;
    const std::string path = folder.path + "/a";
    const auto save = [&] { write_index(*some_codes(), {}, path); };
    g_folder_error = EIO;
    CHECK(error_of(save) == EIO);
    for (const int cannot : {EINVAL, ENOTSUP}) {
        g_folder_error = cannot;
        CHECK(error_of(save) == 0);
    }
    g_folder_error = 0;
    CHECK(folder.names() == std::vector<std::string>{"a"});
    CHECK(read_index(path, false, Verify::eager).rows == 100);
}

void test_opening_goes_on_after_a_signal() {
    const Folder folder;
    const std::string path = folder.path + "/a";
    g_interrupted = 3;
    write_index(*some_codes(), {}, path);
    CHECK(g_interrupted == 0);
    g_interrupted = 3;
    CHECK(read_index(path, false, Verify::eager).rows == 100);
    CHECK(g_interrupted == 0);
    g_interrupted = 1 << 30;
    Stop soon([] { return true; });
    bool stopped = false;
    try {
        read_index(path, false, Verify::eager, soon);
    } catch (const Error& error) {
        stopped = error.fault == Fault::interrupted;
    }
    g_interrupted = 0;
    CHECK(stopped);
}

}  // namespace

int main() {
    test_a_folder_that_is_not_flushed_is_reported();
    test_opening_goes_on_after_a_signal();
    std::puts("file: all tests passed");
}
