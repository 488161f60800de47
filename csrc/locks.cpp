#include "locks.hpp"

#include <pthread.h>

#include <chrono>
#include <thread>

namespace dsah {
namespace {

std::mutex g_publishing;
std::atomic<std::uint64_t> g_forks{1};

// When the library is loaded, while there is one thread.
const int g_registered = pthread_atfork([] { g_publishing.lock(); }, [] { g_publishing.unlock(); },
                                        [] {
                                            g_publishing.unlock();
                                            ++g_forks;
                                        });

}  // namespace

std::mutex& publishing() {
    (void)g_registered;
    return g_publishing;
}

bool ForkSafeMutex::try_lock() {
    const std::uint64_t us = g_forks.load(std::memory_order_relaxed);
    std::uint64_t holder = holder_.load(std::memory_order_relaxed);
    return holder != us && holder_.compare_exchange_strong(holder, us, std::memory_order_acquire);
}

void ForkSafeMutex::lock(Stop& stop) {
    for (int turn = 0; !try_lock(); ++turn) {
        stop.check();
        if (turn < 100)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

}  // namespace dsah
