// SPDX-License-Identifier: MIT
// Long output on a terminal goes through a pager, as git and systemctl do it.
#ifndef XLSTORE_TOOLS_COMMON_PAGER_HPP_
#define XLSTORE_TOOLS_COMMON_PAGER_HPP_

#include <string>

namespace xlstore::tools {

/// From now on standard output goes through a pager, if it is a terminal now: $XLSTORE_PAGER, else
/// $PAGER, else less, which ends at once where all fits on one screen. "cat" or an empty variable:
/// none. Where it cannot be started there is none. Once a process; no descriptor of the store's may
/// be open that a child must not have (they are all close-on-exec).
void start_pager();
/// From now on start_pager() does nothing.
void no_pager();
/// Writes out what is left, and waits until the reader has left the pager. Nothing without one.
void end_pager();
/// The command of the pager that end_pager() found not to have run: what went to it was not
/// shown. "": it has.
[[nodiscard]] std::string pager_not_run();
/// A descriptor of the terminal that standard output is, or that a pager of ours shows it on; -1:
/// it is none.
[[nodiscard]] int terminal_behind_output();

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_PAGER_HPP_
