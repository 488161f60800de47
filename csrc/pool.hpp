// A thread pool of our own (an OpenMP runtime would clash with PyTorch's). It starts on first use,
// grows to what is asked, and a child process starts its own.
#pragma once

#include <functional>

#include "stop.hpp"

namespace dsah {

/// Runs work(0) on this thread and work(1) ... work(workers - 1) on pool threads that are free.
///
/// Not every index need run: `work` must share out its items through an atomic counter, so that
/// whoever comes does what is left. Returns when all that started have ended; the first exception
/// is rethrown here.
void run_parallel(unsigned workers, Stop& stop, const std::function<void(unsigned)>& work);

/// CPU time of this thread, in which work that it shared with others counts as if each worker had
/// done as much: so differences tell how long a call takes that has its cores to itself, however
/// busy the machine is and whichever worker came to do the most.
double busy_ns();

}  // namespace dsah
