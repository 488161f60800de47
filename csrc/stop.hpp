// How a long call is stopped.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

namespace dsah {

/// Lets a caller stop a long call. Every loop that may last asks `check()` each few milliseconds,
/// so that a call ends within 0.2 s of being asked to.
class Stop {
  public:
    /// `wanted` is asked at most every 50 ms and only on the thread that made this object. It may
    /// wait for a lock of the caller's own (Python's), so that lock must not be held while waiting
    /// for one of ours.
    explicit Stop(std::function<bool()> wanted = nullptr)
        : wanted_(std::move(wanted)), owner_(std::this_thread::get_id()), last_(Clock::now()) {}

    /// One for calls that nobody stops, on any thread.
    static Stop& never();

    /// Throws Error(interrupted) once the caller wants to stop; on any thread.
    void check();

  private:
    using Clock = std::chrono::steady_clock;
    std::function<bool()> wanted_;
    std::thread::id owner_;
    Clock::time_point last_;
    std::atomic<bool> stopped_{false};
};

/// Calls f(begin, end) for steps of [0, count), asking `stop` before each.
template <class F>
void in_steps(std::size_t count, std::size_t step, Stop& stop, F&& f) {
    for (std::size_t begin = 0; begin < count; begin += step) {
        stop.check();
        f(begin, count - begin < step ? count : begin + step);
    }
}

/// An order for std::sort of many elements that asks `stop` now and then. What was being sorted is
/// of no use after a stop.
template <class Less>
class StoppableOrder {
  public:
    StoppableOrder(Less less, Stop& stop) : less_(less), stop_(stop) {}
    template <class T>
    bool operator()(const T& a, const T& b) {
        if (++compared_ % 65536 == 0) stop_.check();
        return less_(a, b);
    }

  private:
    Less less_;
    Stop& stop_;
    std::size_t compared_ = 0;
};

template <class Iterator, class Less>
void stoppable_sort(Iterator begin, Iterator end, Less less, Stop& stop) {
    StoppableOrder<Less> order(less, stop);
    std::sort(begin, end, std::ref(order));
}

}  // namespace dsah
