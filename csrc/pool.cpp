#include "pool.hpp"

#include <pthread.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "error.hpp"

namespace dsah {

namespace {

thread_local double t_not_own_ns = 0;  // what busy_ns() adds to this thread's CPU time

double thread_ns() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

/// One run_parallel call: how many helpers may still join, how many are inside.
struct Job {
    const std::function<void(unsigned)>* work;
    unsigned next = 1;     // worker index of the next helper
    unsigned limit;        // helpers beyond this index are not wanted
    unsigned inside = 0;   // helpers now running
    double helped_ns = 0;  // CPU time of helpers
    std::exception_ptr error;
    std::condition_variable idle;
};

class Pool {
  public:
    void post(Job* job) {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (threads_ + 1 < job->limit) {
            try {
                std::thread(&Pool::serve, this).detach();
            } catch (const std::system_error&) {
                break;  // no more threads to be had: the caller does the work alone
            }
            ++threads_;
        }
        jobs_.push_back(job);
        wake_.notify_all();
    }

    /// No helper joins after this; waits for those inside.
    void finish(Job* job, Stop& stop) {
        std::unique_lock<std::mutex> lock(mutex_);
        for (auto it = jobs_.begin(); it != jobs_.end(); ++it)
            if (*it == job) {
                jobs_.erase(it);
                break;
            }
        while (job->inside) {
            job->idle.wait_for(lock, std::chrono::milliseconds(20));
            if (!job->inside) break;
            lock.unlock();
            try {
                stop.check();  // makes the helpers stop; they still have to leave
            } catch (...) {
                lock.lock();
                if (!job->error) job->error = std::current_exception();
                continue;
            }
            lock.lock();
        }
    }

  private:
    void serve() {
        std::unique_lock<std::mutex> lock(mutex_);
        while (true) {
            wake_.wait(lock, [this] { return !jobs_.empty(); });
            Job* job = jobs_.front();
            const unsigned index = job->next++;
            ++job->inside;
            if (job->next >= job->limit) jobs_.pop_front();
            lock.unlock();
            std::exception_ptr error;
            const double start = thread_ns();
            try {
                (*job->work)(index);
            } catch (...) {
                error = std::current_exception();
            }
            const double spent = thread_ns() - start;
            lock.lock();
            job->helped_ns += spent;
            if (error && !job->error) job->error = error;
            if (--job->inside == 0) job->idle.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job*> jobs_;
    unsigned threads_ = 0;
};

// Never destroyed: detached threads may still wait on it while the process exits. A child process
// has none of the threads and perhaps a locked mutex, so it forgets this pool and starts another.
std::atomic<Pool*> g_pool{nullptr};
const int g_registered = pthread_atfork(nullptr, nullptr, [] { g_pool = nullptr; });

Pool& pool() {
    (void)g_registered;
    Pool* now = g_pool;
    if (now) return *now;
    auto fresh = std::make_unique<Pool>();
    if (g_pool.compare_exchange_strong(now, fresh.get())) return *fresh.release();
    return *now;  // another thread was first
}

}  // namespace

double busy_ns() {
    return thread_ns() + t_not_own_ns;
}

void run_parallel(unsigned workers, Stop& stop, const std::function<void(unsigned)>& work) {
    stop.check();
    if (workers <= 1) return work(0);
    Pool& shared = pool();
    Job job;
    job.work = &work;
    job.limit = workers;
    shared.post(&job);
    std::exception_ptr error;
    const double start = thread_ns();
    try {
        work(0);
    } catch (...) {
        error = std::current_exception();
    }
    const double own = thread_ns() - start;
    shared.finish(&job, stop);
    t_not_own_ns += (own + job.helped_ns) / workers - own;
    if (error) std::rethrow_exception(error);
    if (job.error) std::rethrow_exception(job.error);
}

}  // namespace dsah
