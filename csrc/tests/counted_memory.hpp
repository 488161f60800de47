// Counts what a program asks for through operator new and through the core's mmap, and ends it
// when that is more than was allowed. The program is linked with --wrap=mmap.
#pragma once

#include <cstddef>

namespace dsah {

/// Bytes asked for since the last `allow`, returned ones too.
std::size_t asked_for();

/// From now on so many bytes altogether may be asked for; SIZE_MAX ends the watch.
void allow(std::size_t bytes);

}  // namespace dsah
