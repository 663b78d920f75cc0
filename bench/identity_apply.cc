// How much CPU a clone spends on the identity of an image: the recipe is made once, then applied
// again and again, from the page cache. Run by bench/identity.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

#include "cow-store/descriptor.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/image_source.h"

namespace {

using namespace cowtgt;

constexpr int rounds = 200;

double cpu_us() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// Prints one line; false when the image cannot be read or nothing of it changes.
bool measure(const char* path) {
    const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC));
    const off_t size = file.is_open() ? ::lseek(file.get(), 0, SEEK_END) : -1;
    if (size < 0) return false;
    const store::ImageSource image(file.get(), static_cast<std::uint64_t>(size), path);
    const auto recipe = identity::examine(image);
    if (!recipe) return false;
    std::vector<double> times;
    std::size_t clusters = 0;
    for (int round = 0; round < rounds; ++round) {
        identity::IdentityChoice choice;
        choice.seed.bytes = {static_cast<std::uint8_t>(round), 1};
        const double begin = cpu_us();
        const auto patching = identity::make_patches(*recipe, image, choice);
        if (!patching) return false;
        const auto changed = identity::to_clusters(patching->patches, image);
        times.push_back(cpu_us() - begin);
        if (!changed || changed->empty()) return false;
        clusters = changed->size();
    }
    std::ranges::sort(times);
    std::printf("%8.0f us  %8.0f us  %6zu clusters  %s\n", times[rounds / 2],
                times[rounds * 99 / 100], clusters, path);
    return true;
}

}  // namespace

int main(int count, char** paths) {
    std::printf("%11s  %11s\n", "median", "99 %");
    bool is_good = count > 1;
    for (int i = 1; i < count; ++i) {
        if (measure(paths[i])) continue;
        std::fprintf(stderr, "%s: cannot be read, or has nothing that changes\n", paths[i]);
        is_good = false;
    }
    return is_good ? 0 : 1;
}
