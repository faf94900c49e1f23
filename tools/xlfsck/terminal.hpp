// SPDX-License-Identifier: MIT
// xlfsck on a terminal: its questions, and a bar that says how far it is.
#ifndef XLSTORE_TOOLS_XLFSCK_TERMINAL_HPP_
#define XLSTORE_TOOLS_XLFSCK_TERMINAL_HPP_

#include <map>
#include <string>

#include "recovery/base/check.hpp"

namespace xlstore::tools {

/// On standard output; on a terminal no wider than that.
void print_line(const std::string& line);

class Terminal {
public:
    /// `bar`: draw one, on standard error.
    explicit Terminal(bool bar) : bar_(bar) {}
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() { erase_bar(); }

    /// y or Enter: yes; n: no; a: yes to all of this kind; s: no to all of this kind; q, or the end
    /// of the input: no to everything from here on.
    bool ask(const recovery::Problem& about, const recovery::Subject& subject);
    /// A line on standard output, where no bar is in its way.
    void say(const std::string& line);
    void progress(int pass, int done, int of);
    void progress_ends() { erase_bar(); }

private:
    void erase_bar();

    bool bar_;
    bool drawn_ = false;
    bool quit_ = false;
    std::map<recovery::Code, bool> for_all_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLFSCK_TERMINAL_HPP_
