# SPDX-License-Identifier: MIT
# A test of ctest's for each suite of a GoogleTest program: most of a short test is the start of its process,
# so that the tests of a suite share one.
#
#   cmake -DPROGRAM=FILE -DNAME=unit -DSECONDS=120 -DOUT=FILE -P suites.cmake    (after each build of PROGRAM)
execute_process(COMMAND ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" lines "${listed}")
set(tests "")
foreach(line IN LISTS lines)
    if(line MATCHES "^([A-Za-z0-9_/]+)\\.")
        set(suite ${CMAKE_MATCH_1})
        string(APPEND tests "add_test([=[${NAME}.${suite}]=] [=[${PROGRAM}]=] [=[--gtest_filter=${suite}.*]=])\n"
               "set_tests_properties([=[${NAME}.${suite}]=] PROPERTIES TIMEOUT ${SECONDS})\n")
    endif()
endforeach()
file(WRITE ${OUT} "${tests}")
