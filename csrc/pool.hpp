// A thread pool of our own (an OpenMP runtime would clash with PyTorch's), and how a long call
// is stopped. The pool starts on first use, grows to what is asked, and is rebuilt after fork.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace dsah {

/// Lets a caller stop a long call. Workers ask `check()` every few hundred microseconds.
class Stop {
  public:
    /// `wanted` is asked at most every 50 ms and only on the thread that made this object.
    explicit Stop(std::function<bool()> wanted = nullptr)
        : wanted_(std::move(wanted)), owner_(std::this_thread::get_id()), last_(Clock::now()) {}

    /// Throws Error(interrupted) once the caller wants to stop; on any thread.
    void check();

  private:
    using Clock = std::chrono::steady_clock;
    std::function<bool()> wanted_;
    std::thread::id owner_;
    Clock::time_point last_;
    std::atomic<bool> stopped_{false};
};

/// Runs work(0) on this thread and work(1) ... work(workers - 1) on pool threads that are free.
///
/// Not every index need run: `work` must share out its items through an atomic counter, so that
/// whoever comes does what is left. Returns when all that started have ended; the first exception
/// is rethrown here.
void run_parallel(unsigned workers, Stop& stop, const std::function<void(unsigned)>& work);

}  // namespace dsah
