// How many cores this process may really use.
#pragma once

namespace dsah {

/// The smaller of the CPU affinity mask and the cgroup's CPU quota (v1 or v2), at least 1.
unsigned available_cores();

}  // namespace dsah
