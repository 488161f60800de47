// Locks that survive fork. A child process has only the thread that forked: whatever another
// thread was about to unlock stays locked in it for ever, unless somebody sees to it.
//
// Readers never see half a change, since what they read is published by swapping a pointer, so a
// child can simply take over: the writers that vanished had published nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "stop.hpp"

namespace dsah {

/// Held by whoever writes or builds, for microseconds to seconds. In a child process it is free,
/// whoever held it in the parent. Waiting polls, and can be stopped.
class ForkSafeMutex {
  public:
    bool try_lock();
    void lock(Stop& stop);
    void unlock() { holder_.store(0, std::memory_order_release); }

  private:
    std::atomic<std::uint64_t> holder_{0};  // 0: free; else the process, counted by forks
};

/// Holds a ForkSafeMutex while it lives.
class Hold {
  public:
    Hold(ForkSafeMutex& mutex, Stop& stop) : mutex_(mutex) { mutex.lock(stop); }
    ~Hold() { mutex_.unlock(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

  private:
    ForkSafeMutex& mutex_;
};

/// Guards the swaps of published pointers: one lock for the process, held for some nanoseconds and
/// never while a fork happens, so that a child finds each pointer whole. Take no lock under it.
std::mutex& publishing();

}  // namespace dsah
