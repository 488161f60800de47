#include "stop.hpp"

#include "error.hpp"

namespace dsah {

Stop& Stop::never() {
    static Stop stop;
    return stop;
}

void Stop::check() {
    if (stopped_.load(std::memory_order_relaxed))
        throw Error(Fault::interrupted, "the call was interrupted");
    if (!wanted_ || std::this_thread::get_id() != owner_) return;
    const auto now = Clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    if (wanted_()) {
        stopped_.store(true, std::memory_order_relaxed);
        throw Error(Fault::interrupted, "the call was interrupted");
    }
}

}  // namespace dsah
