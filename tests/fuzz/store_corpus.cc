// SPDX-License-Identifier: MIT
// The store's fuzzer without libFuzzer, as a test: over each file that is kept, and over so many
// inputs that XLSTORE_TURN chooses.
//
//   store_corpus DIRECTORY [COUNT]
//
// An input at which it ends is written to store_corpus.input in the working directory first.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void try_input(const std::string& input)
{
    std::ofstream("store_corpus.input", std::ios::binary) << input;
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

// One to four blows (store_fuzz.cc): file and kind, the place, the length, and the bytes.
std::string input_of(std::mt19937& chance)
{
    const auto below = [&](unsigned bound) { return static_cast<unsigned>(chance() % bound); };
    const auto byte = [&](unsigned bound) { return static_cast<char>(below(bound)); };
    std::string input(1, byte(8));
    for (unsigned blows = 1 + below(4); blows != 0; --blows) {
        input += byte(20);
        input += byte(8);  // half a megabyte, more than any of the files has
        input += byte(256);
        input += byte(256);
        const unsigned length = 1 + below(40);
        input += static_cast<char>(length);
        for (unsigned i = 0; i < length; ++i)
            input += byte(below(2) == 0 ? 2 : 256);
    }
    return input;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 2) return 2;
    int tried = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        std::ifstream file(entry.path(), std::ios::binary);
        try_input({std::istreambuf_iterator<char>(file), {}});
        ++tried;
    }
    const char* turn = std::getenv("XLSTORE_TURN");
    std::mt19937 chance(static_cast<unsigned>(turn ? std::atoi(turn) : 0));
    for (int left = argc > 2 ? std::atoi(argv[2]) : 0; left > 0; --left, ++tried)
        try_input(input_of(chance));
    std::filesystem::remove("store_corpus.input");
    std::cout << tried << " damaged stores\n";
    return tried == 0;
}
