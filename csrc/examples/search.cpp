// The ranker from C++: add codes, search, save, open the file in place.
#include <cstdio>
#include <dsah/file.hpp>
#include <dsah/index.hpp>
#include <random>

int main() {
    dsah::Options options;
    options.bits = 48;
    dsah::Index index(options);
    const std::size_t bytes = index.layout().bytes;

    std::mt19937_64 random(1);
    std::vector<std::uint8_t> gallery(100000 * bytes);
    for (auto& byte : gallery) byte = static_cast<std::uint8_t>(random());
    index.add(gallery.data(), 100000, nullptr);  // ids 0, 1, 2, ...

    dsah::Request request;
    request.queries = gallery.data();  // the first two codes
    request.count = 2;
    request.k = 3;
    dsah::Stop never;
    for (const auto& hits : index.search(*index.snapshot(), request, never)) {
        for (const dsah::Ranked& hit : hits)
            std::printf("id %lld at distance %d   ", static_cast<long long>(hit.id), hit.distance);
        std::printf("\n");
    }

    const std::string path = "example-" + std::to_string(random()) + ".dsah";
    dsah::write_index(*index.snapshot(), {{"note", "any bytes"}}, path);
    const dsah::IndexFile file = dsah::read_index(path, /*mapped=*/true, dsah::Verify::lazy);
    dsah::Index opened(options);
    opened.adopt(file, /*verified=*/false);
    std::printf("%zu codes on %u threads with %s\n", opened.size(), opened.threads(),
                opened.kernel().name);
    return std::remove(path.c_str());
}
