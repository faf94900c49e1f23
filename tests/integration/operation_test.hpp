// SPDX-License-Identifier: MIT
// A domain that runs, for tests of operations on it.
#ifndef XLSTORE_TESTS_INTEGRATION_OPERATION_TEST_HPP_
#define XLSTORE_TESTS_INTEGRATION_OPERATION_TEST_HPP_

#include "tests/support/domain_test.hpp"

namespace xlstore::test {

class OperationTest : public DomainTest {};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_INTEGRATION_OPERATION_TEST_HPP_
