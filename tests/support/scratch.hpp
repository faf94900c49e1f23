// SPDX-License-Identifier: MIT
// What tests share: a store in a directory of its own, a real QEMU with a second monitor that only
// the test uses, and the real commands as child processes. Everything that is started is ended by
// its pid; every directory goes with its object.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_

#include "tests/support/command.hpp"
#include "tests/support/process.hpp"
#include "tests/support/qemu.hpp"
#include "tests/support/rows.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/scratch_domain.hpp"
#include "tests/support/scratch_store.hpp"
#include "tests/support/verdict.hpp"

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
