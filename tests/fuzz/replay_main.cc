// The driver of fuzz targets in builds without libFuzzer: runs every file of the corpus folders
// given as arguments, then inputs mutated from them.
// COWTGT_FUZZ_SEED=<number>     repeats a run; without it the seed is random. It is printed.
// COWTGT_FUZZ_INPUTS=<number>   how many mutated inputs: with a seed, the same on every machine
// COWTGT_FUZZ_SECONDS=<number>  how long instead; without both for a second
// COWTGT_FUZZ_KEEP=1            writes each input to a file before it runs, so that the last one is
//                               there after a crash

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr std::size_t input_size_max = 65536;
constexpr std::uint64_t seconds_by_default = 1;
constexpr int inputs_per_look_at_the_clock = 64;

constexpr const char* crash_file = "fuzz-last-input";

std::vector<Input> read_corpus(int argument_count, char** arguments) {
    std::vector<std::filesystem::path> paths;
    for (int i = 1; i < argument_count; ++i) {
        if (!std::filesystem::is_directory(arguments[i])) {
            std::fprintf(stderr, "no corpus folder %s\n", arguments[i]);
            std::exit(2);
        }
        for (const auto& entry : std::filesystem::recursive_directory_iterator(arguments[i])) {
            if (entry.is_regular_file()) paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<Input> corpus;
    for (const auto& path : paths) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return corpus;
}

class Mutator {
public:
    explicit Mutator(std::uint64_t seed) : random_(seed) {}

    Input mutate(const std::vector<Input>& corpus) {
        Input input = corpus.empty() ? Input(below(256)) : corpus[below(corpus.size())];
        const std::size_t changes = 1 + below(4);
        for (std::size_t i = 0; i < changes; ++i)
            change(input, corpus);
        if (input.size() > input_size_max) input.resize(input_size_max);
        return input;
    }

private:
    std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }
    std::uint8_t any_byte() {
        constexpr std::uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
        return below(2) == 0 ? edges[below(std::size(edges))]
                             : static_cast<std::uint8_t>(random_());
    }

    void change(Input& input, const std::vector<Input>& corpus) {
        const auto at = static_cast<std::ptrdiff_t>(below(input.size() + 1));
        const auto there = input.begin() + at;
        const auto room = static_cast<std::size_t>(input.end() - there);
        switch (below(6)) {
            case 0:
                if (room > 0) *there ^= static_cast<std::uint8_t>(1U << below(8));
                return;
            case 1:
                if (room > 0) *there = any_byte();
                return;
            case 2: {
                const std::size_t count = 1 + below(8);
                input.insert(there, count, any_byte());
                return;
            }
            case 3:
                input.erase(there, there + static_cast<std::ptrdiff_t>(below(room + 1)));
                return;
            case 4: {  // a piece of the input again
                const auto size = static_cast<std::ptrdiff_t>(below(room + 1));
                const Input piece(there, there + size);
                const auto to = static_cast<std::ptrdiff_t>(below(input.size() + 1));
                input.insert(input.begin() + to, piece.begin(), piece.end());
                return;
            }
            default: {  // the end of another one
                if (corpus.empty()) return;
                const Input& other = corpus[below(corpus.size())];
                const auto from = static_cast<std::ptrdiff_t>(below(other.size() + 1));
                input.erase(there, input.end());
                input.insert(input.end(), other.begin() + from, other.end());
                return;
            }
        }
    }

    std::mt19937_64 random_;
};

void run(const Input& input) {
    // An exact allocation, so that a sanitizer sees every byte beyond the end.
    const Input exact(input.begin(), input.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void keep_for_later(const Input& input) {
    std::ofstream file(crash_file, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
}

/// The variable as a number; a text that is none ends the program.
std::uint64_t number_from(const char* variable, std::uint64_t absent) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return absent;
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        std::fprintf(stderr, "%s=%s is not a number\n", variable, text);
        std::exit(2);
    }
    return number;
}

/// When to stop: after so many inputs, or after so long.
struct Bounds {
    std::uint64_t inputs;
    std::chrono::seconds time;

    static Bounds from_environment() {
        constexpr std::uint64_t endless = std::numeric_limits<std::uint64_t>::max();
        const std::uint64_t inputs = number_from("COWTGT_FUZZ_INPUTS", endless);
        constexpr std::uint64_t day = 86400;
        const std::uint64_t seconds =
            number_from("COWTGT_FUZZ_SECONDS", inputs == endless ? seconds_by_default : day);
        return {inputs, std::chrono::seconds(std::min(seconds, day))};
    }
};

}  // namespace

int main(int argument_count, char** arguments) {
    const std::vector<Input> corpus = read_corpus(argument_count, arguments);
    const std::uint64_t seed = number_from("COWTGT_FUZZ_SEED", std::random_device{}());
    const Bounds bounds = Bounds::from_environment();
    std::printf("corpus: %zu inputs; COWTGT_FUZZ_SEED=%llu\n", corpus.size(),
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    for (const Input& input : corpus)
        run(input);

    const bool keeps_inputs = std::getenv("COWTGT_FUZZ_KEEP") != nullptr;
    Mutator mutator(seed);
    std::uint64_t count = 0;
    const auto end = std::chrono::steady_clock::now() + bounds.time;
    for (; count < bounds.inputs; ++count) {
        if (count % inputs_per_look_at_the_clock == 0 && std::chrono::steady_clock::now() >= end) {
            break;
        }
        const Input input = mutator.mutate(corpus);
        if (keeps_inputs) keep_for_later(input);
        run(input);
    }
    std::printf("mutated: %llu inputs\n", static_cast<unsigned long long>(count));
    return 0;
}
