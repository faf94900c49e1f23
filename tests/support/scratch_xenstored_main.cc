// SPDX-License-Identifier: MIT
// The real xenstored for scripts:
//
// clang-format off
//   scratch_xenstored DIR start                 runs on after this command; DIR/pid has its pid
//   scratch_xenstored DIR load <TREE            writes a tree, in the form of scratch_xenstored.hpp
//   scratch_xenstored DIR dump [PATH]           prints one
//   scratch_xenstored DIR write PATH VALUE | rm PATH | permit PATH N0,R7
//   scratch_xenstored DIR introduce DOMID | release DOMID
// clang-format on
//
// Exit status: 0, 77 where there is no xenstored to run, else 1.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "tests/support/scratch_xenstored.hpp"

namespace {

using xlstore::test::give_up;
using xlstore::test::ScratchXenstored;
using xlstore::test::XenstoreTool;

int run(const xlstore::test::Words& words)
{
    const auto word = [&words](std::size_t at) -> const std::string& {
        if (at >= words.size()) give_up("a word is missing behind " + words.back());
        return words[at];
    };
    const std::string& directory = word(0);
    const std::string& verb = word(1);
    if (verb == "start") {
        if (const auto missing = xlstore::test::xenstored_missing(); !missing.empty()) {
            std::cerr << missing << "\n";
            return 77;
        }
        static_cast<void>(new ScratchXenstored(directory));  // its destructor would end the daemon
        return 0;
    }
    XenstoreTool tool(directory + "/socket");
    if (verb == "load")
        tool.load({std::istreambuf_iterator<char>(std::cin), {}});
    else if (verb == "dump")
        std::cout << tool.dump(words.size() > 2 ? words[2] : "/");
    else if (verb == "write")
        tool.write(word(2), word(3));
    else if (verb == "rm")
        tool.remove(word(2));
    else if (verb == "permit")
        tool.set_permissions(word(2), word(3));
    else if (verb == "introduce")
        tool.introduce(static_cast<unsigned>(std::stoul(word(2))));
    else if (verb == "release")
        tool.release(static_cast<unsigned>(std::stoul(word(2))));
    else
        give_up("no such verb: " + verb);
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        const int status = run({argv + 1, argv + argc});
        std::cout.flush();
        std::_Exit(status);  // the daemon of `start` is left, and no leak is looked for
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
